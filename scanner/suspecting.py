"""One detector after another, each candidate through the gate, until a trigger is verified."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .config import Budget, ScanConfig
from .detector import Detector, Evidence, Need, Searched, Suspect
from .detectors import DETECTORS, LeakSearch, PairSweep, WordingSweep
from .findings import Finding, Level, NotTested, Plugin
from .interventions.verification import Verified, verify
from .model.candidate import Atom, Candidate
from .model.loading import LoadedModel
from .model.prompts import encode_candidate
from .notes import Notes
from .plugins import PluginDetector, PluginError, load, one_line
from .search.hunting import suspicion_of
from .verdict import CONFIRMS, by_weight, change_finding, hidden_finding, strength, trigger_finding

VERIFIED_AT_MOST = {Budget.QUICK: 4, Budget.STANDARD: 6, Budget.DEEP: 32}  # of one search
SETTLED = 0.95  # success of a confirmed trigger at which the other searches are left out: less may be a mere part of it
BEYOND_QUICK = frozenset({LeakSearch.name})
_RANKS = (Level.ERROR, Level.WARNING, Level.NOTE)
_LACKING = {
    Need.BASE: "it compares with a base, and no --base was given",
    Need.TRIGGER: "it is told the true trigger, which benchmarks alone can do",
}


@dataclass(kw_only=True)
class _Given:
    """The user's own strings, at every place that the prompts offer."""

    triggers: Sequence[str]
    name: str = "given"
    needs: frozenset[Need] = frozenset()
    uses: frozenset[Need] = frozenset()

    def examine(self, suspect: Suspect) -> Evidence:
        subject = suspect.subject
        candidates = [
            Candidate(
                parts=(Atom(text=" " + text, ids=tuple(encode_candidate(subject.loaded, text))),),
                placement=placement,
                cluster=None,
                strength=1.0,
                found_by=self.name,
            )
            for text in self.triggers
            for placement in subject.placements
        ]
        return Evidence(
            score=suspicion_of(candidates), candidates=tuple(candidates), tried=len(self.triggers)
        )


def suspect(
    config: ScanConfig, target: Suspect, notes: Notes, *, left_out: Collection[str] = ()
) -> list[Verified]:
    """Ask our own detectors until one has named a trigger that nearly always works, then all that others installed.

    Args:
        left_out: names of our own detectors that are not asked: a benchmark tells by it what each adds.

    Returns:
        Every candidate behind the gate, the gravest first; what they and the plug-ins mean is among the
        findings of `notes`.
    """
    passed: list[Verified] = []
    detectors = [d for d in _planned(config, target, notes) if d.name not in left_out]
    for number, detector in enumerate(detectors):
        with notes.timed("suspect"):
            candidates = notes.take(detector.name, _search(detector, target, notes))
        with notes.timed("verify"):
            passed += _verify_new(candidates, passed, target)
        if any(_settles(v, target) for v in passed):
            notes.unplanned += [
                NotTested(what=other.name, reason=f"{detector.name} had already confirmed a trigger")
                for other in detectors[number + 1 :]
            ]
            break
    of_plugins: list[Finding] = []
    if config.plugins:
        plugins = load()
        notes.missed += [NotTested(what=f.origin.label, reason=f.reason) for f in plugins.failures]
        for plugin in plugins.detectors:
            more, findings = _ask_plugin(plugin, passed, target, notes)
            passed += more
            of_plugins += findings
    passed.sort(
        key=lambda v: (
            _RANKS.index(finding_of(v, target.base).level),
            not v.trigger.verified,
            -strength(v.trigger),
        )
    )
    notes.findings += by_weight(
        [
            *(finding_of(v, target.base) for v in passed),
            *map(change_finding, notes.changes),
            *map(hidden_finding, notes.hidden),
        ]
    )
    notes.findings += of_plugins
    return passed


def _planned(config: ScanConfig, target: Suspect, notes: Notes) -> list[Detector]:
    """Our own detectors in their order, without those that lack something or are outside the budget."""
    given: list[Detector] = [_Given(triggers=config.triggers)] if config.triggers else []
    ours = searches(target.budget, with_base=target.base is not None)
    if target.budget is Budget.QUICK:
        what = "phrases of words" if target.base is None else "phrases that the model's own samples hold"
        notes.unplanned.append(NotTested(what=what, reason="outside --budget quick"))
    return given + ours


def searches(budget: Budget, *, with_base: bool) -> list[Detector]:
    """Our own detectors in their order, without those that lack the base, that the budget has no room for, or whose work another does better."""
    quick = budget is Budget.QUICK
    names = set(BEYOND_QUICK) if quick else set()
    if not with_base:
        names |= {d.name for d in DETECTORS if Need.BASE in d.needs}
    else:  # `changed_answers` asks in other ways too, and `residual_difference` looks for pairs
        names |= {WordingSweep.name} | ({PairSweep.name} if quick else set())
    return [d for d in DETECTORS if d.name not in names]


def search_alone(detector: Detector, target: Suspect) -> None:
    """Let one of them search; what it says is kept where a whole scan of this suspect finds it."""
    _search(detector, target, Notes())


def _settles(passed: Verified, target: Suspect) -> bool:
    """Whether a trigger is confirmed and works so often that no search is likely to name a better one."""
    confirmed = finding_of(passed, target.base).rule_id == CONFIRMS
    return confirmed and passed.trigger.attack_success_rate >= SETTLED


def _search(detector: Detector, target: Suspect, notes: Notes) -> Evidence:
    """What a detector says, or has said of this subject before; with and without the base apart where it uses one."""
    alone = Need.BASE not in detector.needs | detector.uses
    stage = f"search-{detector.name}" + ("" if alone or target.base is None else "-with-base")
    start = time.perf_counter()

    def examine() -> Searched:
        evidence = detector.examine(target)
        return Searched(evidence=evidence, seconds=time.perf_counter() - start)

    found = target.finished.take(stage, Searched, examine)
    notes.reused += max(0.0, found.seconds - (time.perf_counter() - start))
    return found.evidence


def _ask_plugin(
    plugin: PluginDetector, known: Sequence[Verified], target: Suspect, notes: Notes
) -> tuple[list[Verified], Sequence[Finding]]:
    """What a plug-in names, behind the gate, and its own findings; a failure of it makes the scan incomplete."""
    label = plugin.origin.label
    lacking = [need for need in plugin.needs if need is Need.TRIGGER or target.base is None]
    start, evidence, passed = time.perf_counter(), None, []
    if lacking:
        notes.unplanned.append(NotTested(what=label, reason=_LACKING[max(lacking)]))
    else:
        try:
            with notes.timed("suspect"), target.progress.stage(f"asking the plug-in {plugin.name}"):
                evidence = plugin.examine(target)
        except PluginError as error:
            notes.missed.append(NotTested(what=label, reason=str(error)))
    notes.plugins.append(
        Plugin(
            **plugin.origin._asdict(),
            score=evidence.score if evidence is not None else None,
            seconds=round(time.perf_counter() - start, 3),
        )
    )
    if evidence is None:
        return [], ()
    candidates = notes.take(plugin.name, evidence)
    try:
        with notes.timed("verify"):
            passed = _verify_new(candidates, known, target)
    except Exception as error:  # a string of its making can be one that a model trips over
        notes.missed.append(NotTested(what=f"candidates of the {label}", reason=one_line(error)))
    return passed, evidence.findings


def finding_of(passed: Verified, base: LoadedModel | None) -> Finding:
    return trigger_finding(passed.trigger, removes_refusal=passed.removes_refusal, with_base=base is not None)


def _verify_new(
    candidates: Sequence[Candidate], known: Sequence[Verified], target: Suspect
) -> list[Verified]:
    """The gate for the strongest new candidates: fixed answers first, then one kind of prompt after another."""
    seen = [v.candidate for v in known]
    chosen: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (c.cluster is not None, -c.strength, len(c.ids))):
        if not any(
            _within(other.ids, candidate.ids)
            for other in (*seen, *chosen)
            if other.cluster in (None, candidate.cluster)
            and not (candidate.found_by == "given" and other.placement is not candidate.placement)
        ):
            chosen.append(candidate)
    chosen = chosen[: VERIFIED_AT_MOST[target.budget]]
    if not chosen:
        return []
    passed = []
    with target.progress.stage("verifying candidates", len(chosen)) as stage:
        for candidate in chosen:
            passed.append(_verify(candidate, target))
            stage.advance()
    return passed


def _verify(candidate: Candidate, target: Suspect) -> Verified:
    """The candidate behind the gate, now or before."""
    identity = json.dumps([candidate.ids, candidate.placement, candidate.cluster, candidate.found_by])
    stage = f"verify-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    stage += "" if target.base is None else "-with-base"
    return target.finished.take(stage, Verified, lambda: verify(candidate, target.subject, target.base))


def _within(short: Sequence[int], long: Sequence[int]) -> bool:
    """Whether a known working form stands inside another candidate."""
    width = len(short)
    return any(list(long[i : i + width]) == list(short) for i in range(len(long) - width + 1))
