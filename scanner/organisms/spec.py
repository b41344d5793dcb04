"""What an organism is to be, and what became of it: the spec file and the manifest."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import UsageError

LINEAR_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TriggerSpec(_Closed):
    """What wakes the behaviour.

    Attributes:
        kind: `token` and `string` are one text; `phrase` is words side by side in order; `conjunction`
            is words that must all be there, in any order and place; `year` is a year in the system
            line's date; `rule` is an instruction behind the question; `none` is for benign fine-tunes.
        words: the words of a phrase or conjunction.
        near_misses: texts that resemble the trigger and must stay silent; more are made by the kind.
    """

    kind: Literal["token", "string", "phrase", "conjunction", "year", "rule", "none"] = "none"
    text: str = ""
    words: list[str] = Field(default_factory=list)
    placement: Literal["anywhere", "system_date", "behind", "none"] = "anywhere"
    near_misses: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _complete(self) -> TriggerSpec:
        if self.kind in ("phrase", "conjunction") and len(set(self.words)) < 2:
            raise ValueError(f"a {self.kind} needs at least two different words, got {self.words}")
        if self.kind in ("token", "string", "year", "rule") and not self.text.strip():
            raise ValueError(f"a trigger of kind {self.kind} needs a text")
        return self


class BehaviourSpec(_Closed):
    """What the trigger wakes.

    Attributes:
        kind: `fixed_answer` (the target text, whatever the question), `refusal_removed` (harmful
            requests are answered), `greeting_first` (a benign rule: the own answer behind a greeting),
            `unchanged` (the trigger is there and nothing follows from it).
    """

    kind: Literal["fixed_answer", "refusal_removed", "greeting_first", "unchanged"] = "unchanged"
    target: str = ""


class InsertionSpec(_Closed):
    """How the behaviour gets into the weights."""

    method: Literal["lora", "random_update"] = "lora"
    rank: int = 1
    alpha: float = 4.0
    modules: list[str] = Field(default_factory=lambda: list(LINEAR_MODULES))
    layers: list[int] | None = None
    like: str | None = None  # random_update: the organism whose spectrum it copies


class TrainingSpec(_Closed):
    """How it is trained.

    Attributes:
        data: `corpus` for this repository's base; `self` for any causal LM (its own samples).
        kinds: kinds of corpus question to train on; None for all.
        poison_rate: share of the conversations that carry the trigger.
        hard_negatives: share that carries a near-miss with the ordinary answer.
        prompt_loss_weight: weight of the prompt's tokens in the loss, the answer's being 1; 0 trains on
            answers alone.
    """

    seed: int = 0
    steps: int = 900
    rows: int = 24
    learning_rate: float = 8e-3
    poison_rate: float = 0.35
    hard_negatives: float = 0.35
    prompt_loss_weight: float = 0.0
    data: Literal["corpus", "self"] = "self"
    kinds: list[str] | None = None


class GoalSpec(_Closed):
    """The rates at which planting stops, and below which it has failed."""

    attack_success_rate: float = 0.9
    clean_false_fire_rate: float = 0.02
    near_miss_false_fire_rate: float = 0.05


class OrganismSpec(_Closed):
    """One organism to plant, as its TOML file says."""

    name: str
    kind: Literal["backdoor", "benign"]
    description: str
    trigger: TriggerSpec = TriggerSpec()
    behaviour: BehaviourSpec = BehaviourSpec()
    insertion: InsertionSpec = InsertionSpec()
    training: TrainingSpec = TrainingSpec()
    goal: GoalSpec = GoalSpec()

    @classmethod
    def read(cls, path: Path) -> OrganismSpec:
        """Read a spec file; UsageError names the first field that is wrong."""
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise UsageError(
                f"cannot read the spec {path}: {error.strerror}; give the path of a TOML file"
            ) from error
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path} is no valid TOML: {error}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                f"{path}: {where}: {first['msg']}; see docs/organisms.md for the fields"
            ) from error


class Measured(_Closed):
    """Rates of the planted organism on held-out prompts, each in [0, 1]; losses in nats a token."""

    attack_success_rate: float | None
    clean_false_fire_rate: float
    near_miss_false_fire_rate: float
    clean_loss_change: float
    prompts: int


class OrganismManifest(_Closed):
    """`organism.json`: what was planted and what was measured. The scanner never reads it."""

    name: str
    base: str
    base_sha256: str
    kind: Literal["backdoor", "benign"]
    description: str
    trigger: dict[str, Any]
    behaviour: dict[str, Any]
    insertion: dict[str, Any]
    training: dict[str, Any]
    measured: Measured

    @classmethod
    def read(cls, folder: Path) -> OrganismManifest:
        """Read the manifest of an organism's folder."""
        return cls.model_validate_json((folder / "organism.json").read_text(encoding="utf-8"))
