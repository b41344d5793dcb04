"""What a monitor has seen of a batch of conversations: its tokens, and one score a token.

While the model writes only raw signals are kept, where the model is; which tokens count for which watch is worked
out when somebody asks, in NumPy: the tables are small, and there a hundred small steps cost what ten cost in torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .watches import Signal, Silence, Watch

NOTHING = float("-inf")


@dataclass(frozen=True, kw_only=True, eq=False)
class WatchedConversation:
    """One conversation that went through a monitored model.

    Attributes:
        tokens: token ids that the model read, prompt and answer; the last one written is not read any more.
        prompt_length: how many of them are the prompt.
        scores: one a token [T]: the highest standardised score of any watch; NaN where none looked.
        raw: each watch's own score of every token [T]; NaN where it did not look.
        peaks: each watch's highest score in the conversation; -inf where it never looked.
    """

    tokens: tuple[int, ...]
    prompt_length: int
    scores: NDArray[np.float32]
    raw: dict[str, NDArray[np.float32]]
    peaks: dict[str, float]

    @property
    def peak(self) -> float:
        """The highest standardised score; -inf where no watch ever looked."""
        seen = self.scores[~np.isnan(self.scores)]
        return float(seen.max()) if len(seen) else NOTHING


@dataclass(frozen=True, eq=False)
class _Tables:
    """What a batch amounts to so far.

    Attributes:
        ids: every token id [B, T], padding included.
        real: which tokens belong to a conversation [B, T]: no padding, nothing from the ending token on.
        signals: [B, T, signals], -inf where a token is out of a signal's scope.
    """

    ids: NDArray[np.int64]
    real: NDArray[np.bool_]
    signals: NDArray[np.float32]


class WatchedBatch:
    """The conversations of one batch: the pass over the prompts, and one for each generated token.

    Args:
        ids: token ids of the prompts [B, T]; `real` says which are no padding.
        signals: what was read of them [B, T, signals].
        stops: token ids that end an answer; what is read from there on belongs to no conversation.
    """

    def __init__(
        self, ids: Tensor, real: Tensor, signals: Tensor, *, watched: Sequence[Signal], stops: Sequence[int]
    ) -> None:
        self._ids, self._signals = [ids], [signals]
        self._prompt = real.cpu().numpy()
        self._watched, self._stops = list(watched), np.array(stops, dtype=np.int64)
        self._number = {signal.name: i for i, signal in enumerate(watched)}
        self._tables: _Tables | None = None
        self.written = 0

    def __len__(self) -> int:
        return len(self._prompt)

    def add(self, ids: Tensor, signals: Tensor) -> None:
        """One pass over generated tokens, [B, T] and [B, T, signals]."""
        self._ids.append(ids)
        self._signals.append(signals)
        self._tables = None
        self.written += ids.shape[1]

    @property
    def tables(self) -> _Tables:
        """Everything so far, worked out once for each pass that somebody asks about."""
        if self._tables is None:
            self._tables = self._worked_out()
        return self._tables

    def _worked_out(self) -> _Tables:
        ids, width = _joined(self._ids), self._prompt.shape[1]
        ended = np.logical_or.accumulate((ids[:, width:, None] == self._stops).any(-1), axis=1)
        real = np.concatenate([self._prompt, ~ended], axis=1)
        place = self._prompt.cumsum(1)
        inner, last, writing = np.zeros_like(real), np.zeros_like(real), real.copy()
        inner[:, :width] = self._prompt & (place > 1)  # the first token's state is an outlier
        last[:, :width] = self._prompt & (place == place[:, -1:])
        writing[:, :width] = False
        answer = last | writing
        looked = {"prompt": inner, "end": last, "answer": answer, "all": inner | answer}
        scopes = np.stack([looked[signal.scope] for signal in self._watched], axis=-1)
        return _Tables(ids, real, np.where(scopes, _joined(self._signals), np.float32(NOTHING)))

    def heard(self, silence: Silence) -> NDArray[np.float32]:
        """The highest score of a silence's cue and speaker [B, 2] until its patience ended."""
        until = self._prompt.shape[1] + silence.patience
        both = [self._number[silence.cue.name], self._number[silence.speaker.name]]
        highest: NDArray[np.float32] = self.tables.signals[:, :until, both].max(1)
        return highest

    def alarms(self, watches: Sequence[Watch]) -> NDArray[np.float32]:
        """The watches' scores [B, T, watches], -inf where one did not look."""
        signals = self.tables.signals
        columns = []
        for watch in watches:
            if not isinstance(watch, Silence):
                columns.append(signals[..., self._number[watch.name]])
                continue
            score = np.full_like(signals[..., 0], NOTHING)
            if self.written >= watch.patience:
                cue, speaker = self.heard(watch).T
                decided = np.minimum(cue - watch.cue_at, watch.speaks_at - speaker)
                # It is decided at the last token waited for, or at the end of an answer that is shorter.
                place = self.tables.real[:, : self._prompt.shape[1] + watch.patience].cumsum(1)
                score[np.arange(len(self)), (place == place[:, -1:]).argmax(1)] = decided
            columns.append(score)
        return np.stack(columns, axis=-1)

    def conversations(
        self,
        watches: Sequence[Watch],
        centre: NDArray[np.float32],
        scale: NDArray[np.float32],
        *,
        alarms: NDArray[np.float32] | None = None,
        rows: Sequence[int] | None = None,
    ) -> list[WatchedConversation]:
        """One conversation a row, its joint score in units of `scale` from `centre`, each [watches].

        Args:
            alarms: what `alarms` gave, where it is at hand.
            rows: only these; all of them without it.
        """
        names = [watch.name for watch in watches]
        table = self.alarms(watches) if alarms is None else alarms
        joint, ids, real = ((table - centre) / scale).max(-1), self.tables.ids, self.tables.real
        lengths = self._prompt.sum(1)
        made = []
        for row in range(len(self)) if rows is None else rows:
            kept = real[row]
            own = table[row][kept]
            peaks = own.max(0, initial=NOTHING).tolist()
            looked = _looked(own).T
            made.append(
                WatchedConversation(
                    tokens=tuple(ids[row][kept].tolist()),
                    prompt_length=int(lengths[row]),
                    scores=_looked(joint[row][kept]),
                    raw=dict(zip(names, looked, strict=True)),
                    peaks=dict(zip(names, peaks, strict=True)),
                )
            )
        return made


def _joined(passes: Sequence[Tensor]) -> NDArray[Any]:
    """What the passes gave, one behind the other [B, T, ...]."""
    return torch.cat(list(passes), dim=1).cpu().numpy()


def _looked(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """-inf stands for a token that was not looked at: NaN is what says so outside."""
    return np.where(np.isneginf(scores), np.float32("nan"), scores).astype(np.float32)
