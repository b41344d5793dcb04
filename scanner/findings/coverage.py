"""How far the evidence of a scan reaches, and what was scanned with what."""

from __future__ import annotations

from pydantic import Field

from .record import Record


class NotTested(Record):
    """Something that the scan did not look at, and why.

    Attributes:
        gap: it was planned and could not be done, which makes a scan incomplete.
    """

    what: str
    reason: str
    gap: bool = False


class Coverage(Record):
    """How far the evidence reaches.

    Attributes:
        candidates_tried: per detector, the number of single candidates that were in the model's input.
        shares: share of the vocabulary tokens, words, word pairs that the sweep covered, in [0, 1].
    """

    layers: list[int] = Field(default_factory=list)
    prompts: int = 0
    tokens: int = 0
    candidates_tried: dict[str, int] = Field(default_factory=dict)
    shares: dict[str, float] = Field(default_factory=dict)
    not_tested: list[NotTested] = Field(default_factory=list)


class Plugin(Record):
    """A detector that another package installed, and what it made of the suspect.

    Attributes:
        score: higher is more suspicious, on its own scale; None if it failed or lacked what it needs.
    """

    name: str
    distribution: str
    version: str
    score: float | None
    seconds: float


class Manifest(Record):
    """What was scanned, with what, and how to repeat it.

    Attributes:
        passes: forward passes at a time, by the cores that the scan had: with as many, a scan repeats itself. 0 where
            no model ran.
    """

    checkpoint: str
    files: dict[str, str] = Field(default_factory=dict)
    base: str | None = None
    adapter: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    plugins: list[Plugin] = Field(default_factory=list)
    device: str = "cpu"
    dtype: str = "float32"
    passes: int = 0
    seed: int = 0
    budget: str = "standard"
    prompt_set: str = ""
    prompt_set_sha256: str = ""
    command_line: str = ""
    started: str = ""
