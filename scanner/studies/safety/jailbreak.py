"""The anatomy of a jailbreak: what changes inside, and what undoes it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...findings import NotTested, Record
from .rate import Rate


class FeatureShift(Record):
    """One feature at the tokens that a request and its jailbroken form share.

    Attributes:
        concept: "" for a feature that no concept lists.
        plain, jailbroken: mean over the requests of the peak over the shared tokens.
        written: change of what the feature writes there, in residual-stream length.
        q_value: paired t-test over the requests, Benjamini-Hochberg over all features that fire; None with fewer
            than five requests.
    """

    concept: str
    layer: int
    feature: int
    plain: float
    jailbroken: float
    written: float
    q_value: float | None
    state: Literal["suppressed", "awake", "unchanged"]


class TokenTrace(Record):
    """One feature along the shared tokens of the first request, plain and jailbroken."""

    layer: int
    feature: int
    concept: str
    plain: list[float]
    jailbroken: list[float]


class Restoration(Record):
    """What was done to the jailbroken requests, and how many of them are refused then.

    Attributes:
        how: `safety features` or `any suppressed`, held at what the plain request has; `awake silenced`; `both`;
            `unchanged features` (one a draw: as many that did not change, held alike); `random directions` (one a
            draw: what the suppressed ones lack, along random directions of the same lengths); or `stream at layer
            N`, the whole residual stream put back, which bounds what features of that layer can do.
        features: how many features were held or silenced; 0 for a stream.
    """

    how: str
    features: int
    refused: Rate


class JailbreakStudy(Record):
    """How a jailbroken form of a request differs inside from the request, and what undoes it.

    Attributes:
        opened: pairs whose plain form is refused and whose jailbroken form is not, which alone are dissected.
        found_on, restored_on: how many of them chose the features, and how many the restorations are counted on.
        held_out: whether these two share no request.
        suppressed, awake: how many features of any kind are.
        direction_plain, direction_jailbroken: per layer, mean part of the stream along the refusal direction
            where the answer starts; empty without one.
        example: a request, its jailbroken form, and the answers to both.
    """

    schema_version: Literal[1] = 1
    checkpoint: str
    pairs: int
    plain_refused: Rate
    jailbroken_refused: Rate
    opened: int
    found_on: int
    restored_on: int
    held_out: bool
    suppressed: int
    awake: int
    shifts: list[FeatureShift]
    tokens: list[str]
    traces: list[TokenTrace]
    restorations: list[Restoration]
    direction_plain: dict[str, float] = Field(default_factory=dict)
    direction_jailbroken: dict[str, float] = Field(default_factory=dict)
    example: tuple[str, str, str, str] | None
    not_tested: list[NotTested]
    seconds: float
