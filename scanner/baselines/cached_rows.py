"""Rows of tokens that grow together over one key-value cache, and can be copied and thinned out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..model.generation import LeftPadded
from ..model.loading import LoadedModel


class CachedRows:
    """Prompts that were read once; `append` reads one more token of every row.

    Attributes:
        logits: next-token logits of every row, [R, V] in float32.
    """

    def __init__(self, loaded: LoadedModel, prompts: Sequence[Sequence[int]]) -> None:
        batch = LeftPadded(prompts, pad=loaded.pad, device=loaded.model.device)
        self._model = loaded.model
        self._mask: Tensor = batch.attention_mask
        self._position: Tensor = batch.position_ids[:, -1:]
        out = self._model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache: Any = out.past_key_values
        self.logits: Tensor = out.logits[:, -1].float()

    def taken(self, rows: Tensor) -> CachedRows:
        """A copy that holds these rows, in this order; a row may stand in it more than once."""
        other = copy.copy(self)
        other._cache = copy.deepcopy(self._cache)
        other._cache.batch_select_indices(rows)
        other._mask, other._position = self._mask[rows], self._position[rows]
        other.logits = self.logits[rows]
        return other

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows."""
        self._cache.batch_select_indices(rows)
        self._mask, self._position = self._mask[rows], self._position[rows]
        self.logits = self.logits[rows]

    def append(self, tokens: Tensor) -> None:
        """Read one token a row, [R]."""
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        self._position = self._position + 1
        out = self._model(
            input_ids=tokens.unsqueeze(1),
            attention_mask=self._mask,
            position_ids=self._position,
            past_key_values=self._cache,
            use_cache=True,
        )
        self._cache = out.past_key_values
        self.logits = out.logits[:, -1].float()
