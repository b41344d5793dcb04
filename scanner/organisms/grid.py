"""The grid that declares a zoo (`fixtures/zoo.toml`): triggers, behaviours, recipes, and what is made of them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import UsageError, first_fault
from .spec import BehaviourSpec, TriggerSpec

PLAIN = "rank1"  # the recipe that goes without saying


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ZooBase(_Closed):
    """A base of the zoo; one without a folder is published elsewhere, and given by the user."""

    folder: str | None = None
    suffix: str = ""
    data: Literal["corpus", "self"] = "corpus"


class Backdoors(_Closed):
    """A row of backdoors: every behaviour by every recipe, or another organism's update scaled or copied.

    Attributes:
        specs: backdoors that have a spec file of their own, by its name.
        scaled: the organism whose update is taken, `scales` times as strong and rounded to `copied_as`.
        curve: whether they are points of the sensitivity curves.
    """

    base: str = "base"
    specs: list[str] = Field(default_factory=list)
    trigger: str = ""
    behaviours: list[str] = Field(default_factory=list)
    recipes: list[str] = Field(default_factory=lambda: [PLAIN])
    scaled: str | None = None
    scales: list[float] = Field(default_factory=lambda: [1.0])
    copied_as: str = ""
    curve: bool = False


class Benign(_Closed):
    """A row of benign organisms of one control.

    Attributes:
        specs: controls by the name of their own spec file.
        kinds: kinds of corpus question of a narrow fine-tune.
        rule: a request behind the question that asks for `behaviour`.
        likes: organisms that are copied: rounded to each of `copies`, else in random directions.
    """

    control: str = ""
    name: str = ""
    bases: list[str] = Field(default_factory=lambda: ["base"])
    specs: dict[str, str] = Field(default_factory=dict)
    kinds: list[str] | None = None
    behaviour: str | None = None
    rule: str = ""
    likes: list[str] = Field(default_factory=list)
    copies: list[str] = Field(default_factory=list)
    added_tokens: int = 0


class Misaligned(_Closed):
    """Bad without a trigger, with the benign organism of the same recipe; both by the names of their spec files.

    The benchmark leaves them out: it asks for what a trigger wakes.
    """

    spec: str
    twin: str


class Grid(_Closed):
    """A zoo as its file declares it.

    Attributes:
        quick: the organisms of the quick benchmark; without them it is all.
    """

    quick: list[str] = Field(default_factory=list)
    bases: dict[str, ZooBase]
    triggers: dict[str, TriggerSpec]
    behaviours: dict[str, BehaviourSpec]
    recipes: dict[str, dict[str, dict[str, Any]]]
    backdoors: list[Backdoors] = Field(default_factory=list)
    benign: list[Benign] = Field(default_factory=list)
    misaligned: list[Misaligned] = Field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Grid:
        """Read a grid; UsageError names the first field that is wrong."""
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise UsageError(f"cannot read the zoo {path}: {error.strerror}") from error
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path} is no valid TOML: {error}") from error
        except ValidationError as error:
            raise UsageError(f"{path}: {first_fault(error)}") from error
