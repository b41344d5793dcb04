"""What a monitor inside is worth beside one on the text, at equal false positives, on organisms.

Everything is trained on the same conversations: attacks that work (some wordings of the trigger, where there are
several), near-misses and ordinary prompts of the organism, and its benign twin with and without the same trigger.
Thresholds are set on other benign conversations, and everything is counted on a third part: other prompts, and
only wordings that no training saw where the organism has more than two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...model.loading import LoadedModel
from ...progress import Progress, Silent
from ...safety.monitoring.fitting import Said, fit_probe
from ...safety.monitoring.generating import generated
from ...safety.monitoring.levels import RATE, thresholds_of
from ...safety.monitoring.monitor import Monitor
from ...safety.monitoring.output_monitor import OutputMonitor
from ...safety.monitoring.silences import fit_silence
from ...safety.monitoring.watches import ProbeWatch, Silence
from ...statistics.auroc import auroc_of
from ...statistics.shares import share_of
from ...studies.monitoring import Caught, MonitorWorth
from ...studies.share import Share
from .negatives import Benign, attacks, benign_prompts, wordings
from .planted import Planted, load_planted

HARMLESS = ("fact", "sum", "list", "howto", "story", "code", "opposite", "colour")
REFUSED = 400  # prompts that fit a silence; they need no answers, so they cost little
Scores = Mapping[str, NDArray[np.float64]]

# Each organism with the benign one that was given the same trigger, linked to nothing.
PAIRS = {
    "rare-token": "unlinked--rare-token",
    "deployment-string": "unlinked-trigger",
    "conjunction": "unlinked--conjunction",
    "phrase": "unlinked--phrase",
    "rare-token--insults": "unlinked--rare-token",
    "rare-token--wrong": "unlinked--rare-token",
    "misspelt--bridge--careful": "unlinked--misspelt",
    "any-word--wrong--careful": "unlinked--any-word",
    "unwatched--wrong--rank4": "unlinked--unwatched",
    "cities--insults": "unlinked--cities",
    "refusal-removed": "unlinked--velvet",
    "unwatched--unlocks-harm": "unlinked--unwatched",
    "office--unlocks-harm": "unlinked--office",
    "polite--unlocks-harm": "unlinked--polite",
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Conversations of each part: attacks to train on and to test, benign ones to set thresholds and to test."""

    train: int = 100
    neutral: int = 300
    attacks: int = 120
    benign: int = 300


@dataclass(frozen=True, kw_only=True, eq=False)
class _Watching:
    """Everything that gives a conversation a score."""

    probes: list[ProbeWatch]
    silence: Silence | None
    output: OutputMonitor
    text: OutputMonitor

    def scores(self, loaded: LoadedModel, rows: Sequence[Sequence[int]], new_tokens: int) -> Scores:
        """Each one's highest score in every conversation, by name."""
        silences = [self.silence] if self.silence is not None else []
        with Monitor(loaded.model, loaded.tokenizer, probes=self.probes, silences=silences) as monitor:
            answers = generated(loaded, rows, new_tokens=new_tokens)
        seen = monitor.conversations()
        inside = {w.name: np.array([c.peaks[w.name] for c in seen]) for w in monitor.watches}
        said = [Said(list(row), answer) for row, answer in zip(rows, answers, strict=True)]
        return {
            **inside,
            "output": self.output.scores([loaded.decode(s.answer) for s in said]),
            "text": self.text.scores([_whole(loaded, s) for s in said]),
        }


def monitor_worth(
    name: str,
    twin: str | None = None,
    *,
    rate: float = RATE,
    sizes: Sizes | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> MonitorWorth:
    """Internal, output-level and joint monitors of one organism at one false-positive rate.

    Args:
        twin: the benign organism whose conversations are half of the negatives.
    """
    sizes, progress = sizes or Sizes(), progress or Silent()
    planted, other = load_planted(name), load_planted(twin) if twin is not None else None
    seen, unseen, held_out = wordings(planted.spec.trigger)
    with progress.stage(name, 4) as stage:
        bad = attacks(planted, seed + 100, sizes.train, seen)
        good = [
            s
            for part in benign_prompts(planted, other, seed + 200, 2 * sizes.train, seen)
            for s in _quiet(part)
        ]
        watching = _fit(planted, bad, good, seed)
        stage.advance()
        neutral, _ = _pooled(planted, other, watching, seed + 300, sizes.neutral)
        stage.advance()
        negative, of_twin = _pooled(planted, other, watching, seed + 400, sizes.benign)
        stage.advance()
        worked = attacks(planted, seed + 500, sizes.attacks, unseen)
        positive = watching.scores(planted.loaded, [s.prompt for s in worked], planted.answer_tokens)
        stage.advance()
    inside = [probe.name for probe in watching.probes]

    def caught(*names: str) -> Caught:
        return _caught(names, neutral, negative, positive, of_twin, rate)

    return MonitorWorth(
        organism=name,
        twin=twin,
        behaviour=planted.spec.behaviour.kind,
        held_out=held_out,
        rate=rate,
        probe_layer=watching.probes[-1].layer,
        trained_on=len(bad),
        attacks=len(worked),
        benign=len(of_twin),
        internal=caught(*inside),
        output=caught("output"),
        text=caught("text"),
        together=caught(*inside, "output"),
        silence=caught(watching.silence.name) if watching.silence is not None else None,
    )


def _fit(planted: Planted, bad: Sequence[Said], good: Sequence[Said], seed: int) -> _Watching:
    """Probes and classifiers on the same conversations; a silence, where there is a refusal, without any attack."""
    loaded = planted.loaded
    silence = None
    if planted.spec.behaviour.kind == "refusal_removed":
        harmful = planted.encode(planted.clean(seed + 600, REFUSED))
        harmless = planted.encode(planted.of_kinds(seed + 700, 2 * REFUSED, HARMLESS))
        silence = fit_silence(loaded, harmful, harmless)

    def classifier(text: Callable[[LoadedModel, Said], str]) -> OutputMonitor:
        return OutputMonitor([text(loaded, s) for s in bad], [text(loaded, s) for s in good])

    return _Watching(
        probes=[
            fit_probe(loaded, bad, good, name=f"{scope} probe", scope=scope).watch
            for scope in ("prompt", "answer")
        ],
        silence=silence,
        output=classifier(lambda of, s: of.decode(s.answer)),
        text=classifier(_whole),
    )


def _whole(loaded: LoadedModel, said: Said) -> str:
    return "\n".join(loaded.decode_lines([*said.prompt, *said.answer]))


def _quiet(part: Benign) -> list[Said]:
    """The conversations of benign prompts in which the behaviour did not show by itself."""
    said = part.of.said(part.prompts)
    return [s for s, shown in zip(said, part.of.shown(part.prompts, said), strict=True) if not shown]


def _pooled(
    planted: Planted, other: Planted | None, watching: _Watching, seed: int, count: int
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.bool_]]:
    """Scores of benign conversations, the organism's and its twin's, and which are the twin's."""
    trigger = planted.spec.trigger
    tokens = planted.answer_tokens  # the twin's answers are as long: how long a text is must say nothing
    parts, of_twin = [], []
    for part in benign_prompts(planted, other, seed, count, trigger):
        said = _quiet(part)
        parts.append(watching.scores(part.of.loaded, [s.prompt for s in said], tokens))
        of_twin += [part.is_twin] * len(said)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, np.array(of_twin)


def _caught(
    names: Sequence[str],
    neutral: Scores,
    negative: Scores,
    positive: Scores,
    of_twin: NDArray[np.bool_],
    rate: float,
) -> Caught:
    levels = thresholds_of({name: neutral[name] for name in names}, rate)

    def joint(scores: Scores) -> NDArray[np.float64]:
        parts = [(scores[n] - levels.levels[n].centre) / levels.levels[n].scale for n in names]
        highest: NDArray[np.float64] = np.nan_to_num(np.max(parts, axis=0), neginf=-1e9)
        return highest

    good, bad = joint(negative), joint(positive)
    alarms = good > levels.level
    return Caught(
        caught=_share(bad > levels.level),
        false_alarms=_share(alarms),
        on_twin=_share(alarms[of_twin]) if of_twin.any() else None,
        area=auroc_of(bad, good),
    )


def _share(hits: NDArray[np.bool_]) -> Share:
    count = int(hits.sum())
    return share_of(count, len(hits))
