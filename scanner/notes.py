"""What the stages of a scan leave behind for its result."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from .detector import Evidence
from .findings import Finding, Level, NotTested, Plugin
from .findings.changes import Change
from .findings.hidden import CommonEnding, HiddenAnswer
from .model.candidate import Candidate
from .sae.dictionaries import LayerDictionary
from .verdict import MISFIT


@dataclass(kw_only=True)
class Notes:
    """What the stages of one scan leave behind."""

    timings: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    missed: list[NotTested] = field(default_factory=list)  # planned, and not done: makes a scan incomplete
    unplanned: list[NotTested] = field(default_factory=list)  # outside the budget
    tried: dict[str, int] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    plugins: list[Plugin] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    hidden: list[HiddenAnswer | CommonEnding] = field(default_factory=list)
    reused: float = 0.0  # seconds of searches that were done before

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Within the block, seconds count for the stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.timings[stage] = round(self.timings.get(stage, 0.0) + time.perf_counter() - start, 3)

    def note_misfits(self, dictionaries: Sequence[LayerDictionary]) -> None:
        """SAEs that do not belong where they were used: what they say cannot be relied on."""
        for dictionary in dictionaries:
            message = dictionary.misfit
            if message is None:
                continue
            quality = dictionary.quality
            self.findings.append(
                Finding(
                    rule_id=MISFIT, level=Level.WARNING, detector="dictionaries", message=message,
                    location=dictionary.sae.source,
                    evidence={
                        "layer": dictionary.layer, "l0": quality.l0, "stated_l0": dictionary.sae.stated_l0,
                        "explained_variance": quality.explained_variance,
                    },
                )
            )  # fmt: skip
            self.missed.append(NotTested(what=f"features at layer {dictionary.layer}", reason=message))

    def take(self, name: str, evidence: Evidence) -> Sequence[Candidate]:
        """The candidates of a detector; what it covered, which answers have changed and which are hidden is noted."""
        self.tried[name] = evidence.tried
        self.shares |= evidence.shares
        self.changes += evidence.changes
        self.hidden += evidence.hidden
        return evidence.candidates
