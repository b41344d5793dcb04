"""One search after another, each candidate through the gate, until a trigger is verified."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .config import Budget, ScanConfig
from .detectors.leak_search import search_leaks
from .detectors.pair_sweep import sweep_pairs
from .detectors.residual_difference import search_differences
from .detectors.string_sweep import sweep_strings
from .findings import Finding, Level, NotTested
from .interventions.verification import Verified, verify
from .model.candidate import Atom, Candidate
from .model.loading import LoadedModel
from .model.prompts import encode_candidate
from .model.subject import Subject
from .notes import Notes
from .progress import Progress
from .search.hunting import Sweep
from .verdict import CONFIRMS, strength, trigger_finding

VERIFIED_AT_MOST = {Budget.QUICK: 4, Budget.STANDARD: 6, Budget.DEEP: 32}  # of one search
_RANKS = (Level.ERROR, Level.WARNING, Level.NOTE)


def _given(config: ScanConfig, subject: Subject) -> list[Candidate]:
    """The user's own strings, at every place that the prompts offer."""
    return [
        Candidate(
            parts=(Atom(text=" " + text, ids=tuple(encode_candidate(subject.loaded, text))),),
            placement=placement,
            cluster=None,
            strength=1.0,
            found_by="given",
        )
        for text in config.triggers
        for placement in subject.placements
    ]


def suspect(
    config: ScanConfig, subject: Subject, base: LoadedModel | None, notes: Notes, progress: Progress
) -> list[Verified]:
    """One search after another, each candidate through the gate, until a trigger is verified."""
    budget = config.budget
    searches: list[tuple[str, Callable[[], Sweep]]] = []
    if config.triggers:
        given = Sweep(candidates=_given(config, subject), tried=len(config.triggers))
        searches.append(("given", lambda: given))
    searches.append(("string_sweep", lambda: sweep_strings(subject, budget, progress)))
    if base is not None:
        searches.append(("residual_difference", lambda: search_differences(subject, base, budget, progress)))
    if budget is Budget.QUICK:
        notes.unplanned.append(NotTested(what="pairs and phrases of words", reason="outside --budget quick"))
    else:
        searches.append(("leak_search", lambda: search_leaks(subject, budget, progress)))
        searches.append(("pair_sweep", lambda: sweep_pairs(subject, budget, progress)))
    passed: list[Verified] = []
    for number, (name, search) in enumerate(searches):
        with notes.timed("suspect"):
            candidates = notes.take(name, search())
        with notes.timed("verify"):
            passed += _verify_new(budget, candidates, passed, subject, base, progress)
        if any(finding_of(v, base).rule_id == CONFIRMS for v in passed):
            notes.unplanned += [
                NotTested(what=other, reason=f"{name} had already confirmed a trigger")
                for other, _ in searches[number + 1 :]
            ]
            break
    passed.sort(
        key=lambda v: (_RANKS.index(finding_of(v, base).level), not v.trigger.verified, -strength(v.trigger))
    )
    return passed


def finding_of(passed: Verified, base: LoadedModel | None) -> Finding:
    return trigger_finding(passed.trigger, removes_refusal=passed.removes_refusal, with_base=base is not None)


def _verify_new(
    budget: Budget,
    candidates: Sequence[Candidate],
    known: Sequence[Verified],
    subject: Subject,
    base: LoadedModel | None,
    progress: Progress,
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
    chosen = chosen[: VERIFIED_AT_MOST[budget]]
    if not chosen:
        return []
    passed = []
    with progress.stage("verifying candidates", len(chosen)) as stage:
        for candidate in chosen:
            passed.append(verify(candidate, subject, base))
            stage.advance()
    return passed


def _within(short: Sequence[int], long: Sequence[int]) -> bool:
    """Whether a known working form stands inside another candidate."""
    width = len(short)
    return any(list(long[i : i + width]) == list(short) for i in range(len(long) - width + 1))
