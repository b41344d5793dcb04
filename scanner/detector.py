"""What a detector is: it looks at a suspect and says how suspicious it finds it, and what may wake it.

Our own detectors, the baselines from the literature and those of third parties are all of this form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from .config import Budget
from .findings import Finding
from .findings.changes import Change
from .findings.hidden import CommonEnding, HiddenAnswer
from .kept.finished import Finished, InMemory
from .model.candidate import Candidate
from .model.loading import LoadedModel
from .model.subject import Subject
from .progress import Progress


class Need(StrEnum):
    """What a detector asks for beyond the suspect itself."""

    BASE = "base"  # the model that the suspect was fine-tuned from
    TRIGGER = "trigger"  # prompts with the true trigger: for benchmarks, never in a scan


@dataclass(frozen=True, kw_only=True)
class KnownTrigger:
    """Prompts as token ids up to where the answer starts; the three lists are about the same questions.

    Attributes:
        triggered: with the trigger in them.
        clean: as they are.
        near_miss: with something in them that resembles the trigger.
    """

    triggered: Sequence[Sequence[int]]
    clean: Sequence[Sequence[int]]
    near_miss: Sequence[Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """All that a detector may look at.

    Attributes:
        folder: the checkpoint's folder, already checked; its weights are safetensors.
        subject: the loaded model with its neutral prompts; only `subject.search` is for searching.
        base: the loaded base, where one was given.
        base_folder: its folder.
        known: prompts with the true trigger, where a benchmark gives them.
        finished: searches of this very subject that are done. Who looks at one subject several times gives them the
            same; what is in it is not searched for again.
    """

    folder: Path
    subject: Subject
    budget: Budget
    seed: int
    progress: Progress
    base: LoadedModel | None = None
    base_folder: Path | None = None
    known: KnownTrigger | None = None
    finished: Finished = field(default_factory=InMemory)

    def base_for(self, detector: str) -> LoadedModel:
        """The loaded base, for a detector that compares with it.

        Raises:
            ValueError: none was given.
        """
        if self.base is None:
            raise ValueError(
                f"{detector} needs the base, got none; give the model that the suspect was made from"
            )
        return self.base


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a detector has found.

    Attributes:
        score: higher is more suspicious; only its order matters, which a benchmark turns into AUROC.
        candidates: strings that may wake something, for the verification gate.
        changes: kinds of question that are no longer answered as the base does.
        hidden: texts that the suspect holds ready and does not show.
        findings: what it has to say for itself; `SS4xx` ids are kept for third parties.
        figures: what its score is made of, by name.
        tried: number of candidates it has tried.
        shares: what share of something it has covered, by name, each in [0, 1].
    """

    score: float
    candidates: Sequence[Candidate] = ()
    changes: Sequence[Change] = ()
    hidden: Sequence[HiddenAnswer | CommonEnding] = ()
    findings: Sequence[Finding] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    tried: int = 0
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A finished search, and the seconds that it took."""

    evidence: Evidence
    seconds: float


@runtime_checkable
class Detector(Protocol):
    """One suspicion. Instances hold settings only: each `examine` starts afresh and is repeatable.

    Attributes:
        name: a short lower-case name, unique among all detectors.
        needs: what it cannot work without; it is left out where that is not given.
        uses: what it makes use of where it is given.
    """

    name: str
    needs: frozenset[Need]
    uses: frozenset[Need]

    def examine(self, suspect: Suspect) -> Evidence:
        """Look at a suspect.

        Whatever a plug-in raises but KeyboardInterrupt makes a scan incomplete and stops no other detector; in
        a benchmark every detector's failure is a row that says so.
        """
        ...
