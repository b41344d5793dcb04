"""Watching a model while it generates: one score a token, and an alert as soon as one is too high.

    with Monitor(model, tokenizer, probes=[probe], silences=[refusal], thresholds=levels) as monitor:
        model.generate(...)
    monitor.alerts, monitor.conversations()

Any Hugging Face causal LM whose decoder layers can be hooked; batched `generate` with a key-value cache, greedy
or sampled. Prompts are padded on the left and go through in one pass; beam search, which moves rows, is not
followed. What a conversation's score is does not depend on the others in its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import gt
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ...studies.monitoring import Alert, Thresholds
from .alerting import make_alert
from .conversations import WatchedBatch, WatchedConversation
from .readouts import readouts_of
from .taps import Taps
from .watches import CircuitWatch, FeatureWatch, ProbeWatch, Silence, Watch, signals_of

Scores = NDArray[np.float32]


class Monitor:
    """Watches everything that the model generates while the `with` block lasts.

    Args:
        probes, features, circuits, silences: what is listened to; at least one.
        thresholds: from `set_thresholds`; without them there are scores and no alerts.
        sink: called with each alert while the model is still writing.

    Attributes:
        alerts: every alert so far; each watch raises one a conversation, at the first token.

    Raises:
        ValueError: nothing to watch, two watches of one name, thresholds that lack a watch, or a watch that
            does not fit the model.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        probes: Iterable[ProbeWatch] = (),
        features: Iterable[FeatureWatch] = (),
        circuits: Iterable[CircuitWatch] = (),
        silences: Iterable[Silence] = (),
        thresholds: Thresholds | None = None,
        sink: Callable[[Alert], None] | None = None,
    ) -> None:
        self.watches: tuple[Watch, ...] = (*probes, *features, *circuits, *silences)
        if not self.watches:
            raise ValueError("a monitor needs a probe, feature, circuit or silence to watch, got none")
        self.model, self.tokenizer, self.thresholds = model, tokenizer, thresholds
        self.alerts: list[Alert] = []
        self._sink = sink
        self._signals = signals_of(self.watches)
        self._taps = Taps(readouts_of(model, self._signals), len(self._signals), model)
        self._patience = {watch.patience for watch in self.watches if isinstance(watch, Silence)}
        self._centre, self._scale, self._limits = self._standards()
        self._listens = bool(np.isfinite(self._limits).any())  # whether any answer can raise an alert at once
        self._stops = sorted(_ends(model, tokenizer))
        self._handles: list[Any] = []
        self._closed: list[WatchedConversation] = []
        self._batch: WatchedBatch | None = None

    def __enter__(self) -> Self:
        if self._handles:
            raise RuntimeError("this monitor is watching already; leave its block before entering it again")
        self._handles = [
            *self._taps.attach(),
            self.model.register_forward_hook(self._behind, with_kwargs=True),
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._taps.drop()
        self._close()

    def conversations(self) -> list[WatchedConversation]:
        """Every conversation so far, in the order of the rows that went in."""
        if self._batch is None:
            return list(self._closed)
        return [*self._closed, *self._batch.conversations(self.watches, self._centre, self._scale)]

    def _standards(self) -> tuple[Scores, Scores, Scores]:
        """Centre and scale of each watch, and the threshold of each signal while the model writes."""
        count = len(self.watches)
        limits = np.full(len(self._signals), np.inf, dtype=np.float32)
        if self.thresholds is None:
            return np.zeros(count, dtype=np.float32), np.ones(count, dtype=np.float32), limits
        levels = self.thresholds.levels
        missing = [watch.name for watch in self.watches if watch.name not in levels]
        if missing:
            raise ValueError(
                f"the thresholds know nothing of {', '.join(missing)}; set them again with these watches"
            )
        for number, signal in enumerate(self._signals):
            if signal in self.watches and signal.scope in ("answer", "all"):
                limits[number] = levels[signal.name].threshold
        own = [levels[watch.name] for watch in self.watches]
        return (
            np.array([level.centre for level in own], dtype=np.float32),
            np.array([level.scale for level in own], dtype=np.float32),
            limits,
        )

    def _behind(self, _model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], _output: Any) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if ids is None:
            raise ValueError("a monitored model must be given input_ids, got embeddings")
        signals, batch, mask = self._taps.take(), self._batch, kwargs.get("attention_mask")
        rows, width = ids.shape  # asked once, and `len` never: in a step every microsecond shows
        if batch is None or rows != len(batch) or _begins(width, mask, kwargs.get("past_key_values")):
            self._begin(ids, mask, signals)
            return
        batch.add(ids, signals)
        if self.thresholds is None:
            return
        # Per row and signal: what has raised an alert once is not asked again.
        # As plain numbers: for the few that there are, that is ten times as fast as asking a tensor.
        if batch.written in self._patience or (
            self._listens and any(map(gt, _last(signals, width), self._open_numbers))
        ):
            self._look(batch)

    def _begin(self, ids: Tensor, mask: Tensor | None, signals: Tensor) -> None:
        """The pass over the prompts of a new batch."""
        self._close()
        width = ids.shape[1]
        real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask[:, -width:].bool()
        self._batch = WatchedBatch(ids, real, signals, watched=self._signals, stops=self._stops)
        self._open_limits = np.tile(self._limits, (len(ids), 1))
        self._open_numbers = self._open_limits.ravel().tolist()
        self._raised: set[tuple[int, int]] = set()
        if self.thresholds is not None:
            self._look(self._batch)

    def _look(self, batch: WatchedBatch) -> None:
        """Something may be above its threshold: raise what is and was not raised before."""
        if self.thresholds is None:
            return
        alarms = batch.alarms(self.watches)
        over = (alarms - self._centre) / self._scale > self.thresholds.level
        found = [tuple(entry) for entry in np.argwhere(over).tolist()]
        new = {
            (row, alarm): column for row, column, alarm in reversed(found) if (row, alarm) not in self._raised
        }
        rows = sorted({row for row, _ in new})
        seen = dict(
            zip(
                rows,
                batch.conversations(self.watches, self._centre, self._scale, alarms=alarms, rows=rows),
                strict=True,
            )
        )
        real = batch.tables.real
        self._open_limits[~real[:, -1]] = np.inf  # its answer has ended
        for (row, alarm), column in sorted(new.items(), key=lambda entry: (entry[1], entry[0])):
            self._raised.add((row, alarm))
            watch = self.watches[alarm]
            if not isinstance(watch, Silence):
                self._open_limits[row, self._signals.index(watch)] = np.inf
            alert = make_alert(
                watch,
                seen[row],
                conversation=len(self._closed) + row,
                token=int(real[row, :column].sum()),
                tokenizer=self.tokenizer,
                thresholds=self.thresholds,
                parts=self._parts(watch, batch, row),
            )
            self.alerts.append(alert)
            if self._sink is not None:
                self._sink(alert)
        self._open_numbers = self._open_limits.ravel().tolist()

    def _parts(self, watch: Watch, batch: WatchedBatch, row: int) -> dict[str, float]:
        if not isinstance(watch, Silence):
            return {}
        cue, speaker = batch.heard(watch)[row].tolist()
        return {watch.cue.name: round(cue, 4), watch.speaker.name: round(speaker, 4)}

    def _close(self) -> None:
        """The batch has ended: keep its conversations, and nothing of its passes."""
        self._closed = self.conversations()
        self._batch = None


def _begins(width: int, mask: Tensor | None, cache: Any) -> bool:
    """Whether a pass over so many tokens was the first of its conversations: nothing was cached before it."""
    if mask is not None and mask.ndim == 2:  # it covers what is cached, too
        return mask.shape[1] == width
    return cache is None or int(cache.get_seq_length()) == width


def _last(signals: Tensor, width: int) -> list[float]:
    """The signals of each row's last token, one row behind the other."""
    numbers: list[float] = (signals if width == 1 else signals[:, -1]).ravel().tolist()
    return numbers


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Token ids that end an answer."""
    ends: set[int] = set()
    for value in (getattr(model.generation_config, "eos_token_id", None), tokenizer.eos_token_id):
        ends |= set(value) if isinstance(value, Sequence) else {value} if value is not None else set()
    return ends
