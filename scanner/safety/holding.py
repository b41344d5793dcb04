"""Putting back, at the shared tokens of jailbroken requests, what the plain request had there.

The change is made while the prompt is read, at all its shared tokens; what is then written reads it from the
key-value cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ..interventions.changed_states import StateEdit, changed
from ..model.generation import continuations
from ..model.loading import LoadedModel, decoder_layers
from ..sae.autoencoder import SparseAutoencoder
from ..sae.dictionaries import LayerDictionary
from .refusals import ANSWER_TOKENS
from .shared_tokens import Pair, dense_codes

# Changes, in place, the states [B, T, d] of the request of a number at the columns of its shared tokens.
Change = Callable[[Tensor, int, list[int]], None]


class Held:
    """Jailbroken requests in one batch, with what is put back into each layer's stream.

    Args:
        pairs: sorted by the length of the jailbroken form, as a batch keeps them.
    """

    def __init__(self, loaded: LoadedModel, pairs: Sequence[Pair]) -> None:
        self._loaded = loaded
        self._pairs = sorted(pairs, key=lambda pair: len(pair.jailbroken))
        self._width = len(self._pairs[-1].jailbroken)

    @property
    def pairs(self) -> list[Pair]:
        """The pairs in the order of the answers."""
        return self._pairs

    def answers(self) -> list[list[int]]:
        """What the model writes on the jailbroken requests as it runs now, all in one batch."""
        return continuations(
            self._loaded.model, [pair.jailbroken for pair in self._pairs], new_tokens=ANSWER_TOKENS,
            stop=self._loaded.stop, pad=self._loaded.pad, batch=len(self._pairs), workers=1,
        )  # fmt: skip

    @contextmanager
    def streams(self, layer: int, plain: Sequence[Tensor]) -> Iterator[None]:
        """Within the block one layer's whole stream at the shared tokens is the plain request's, [shared, d] a pair."""

        def change(states: Tensor, number: int, columns: list[int]) -> None:
            states[number, columns] = plain[number].to(states)

        with self._hooked({layer: change}):
            yield

    @contextmanager
    def features(
        self,
        chosen: Mapping[int, tuple[SparseAutoencoder, Sequence[int]]],
        plain: Mapping[int, Sequence[Tensor]],
        dictionaries: Mapping[int, LayerDictionary],
        seed: int | None = None,
    ) -> Iterator[None]:
        """Within the block the chosen features of each layer are as active at the shared tokens as in the plain request.

        Args:
            seed: where given, what they lack is written along random directions of the same lengths instead.
        """

        def changer(layer: int) -> Change:
            sae, own = chosen[layer]
            index = torch.tensor(list(own))
            directions = sae.w_dec[index.to(sae.w_dec.device)].float()
            if seed is not None:
                noise = torch.randn(directions.shape, generator=torch.Generator().manual_seed(seed + layer))
                noise = noise.to(directions)
                directions = noise * (directions.norm(dim=1) / noise.norm(dim=1))[:, None]
            wanted = [dense_codes(dictionaries[layer], states)[:, index] for states in plain[layer]]

            def change(states: Tensor, number: int, columns: list[int]) -> None:
                here = states[number, columns].float()
                lack = wanted[number] - dense_codes(dictionaries[layer], here)[:, index]
                written = lack.to(directions) @ directions
                states[number, columns] = (here + written.to(here)).to(states.dtype)

            return change

        with self._hooked({layer: changer(layer) for layer, (_, own) in chosen.items() if own}):
            yield

    @contextmanager
    def _hooked(self, changes: Mapping[int, Change]) -> Iterator[None]:
        def edit_of(change: Change) -> StateEdit:
            def edit(states: Tensor) -> Tensor:
                if states.shape[:2] != (len(self._pairs), self._width):
                    return states  # a step of writing, not the prompt
                states = states.clone()
                for number, pair in enumerate(self._pairs):
                    start = self._width - len(pair.jailbroken)
                    change(states, number, [start + at for at in pair.at_jailbroken])
                return states

            return edit

        modules = decoder_layers(self._loaded.model)
        with changed([(modules[layer], edit_of(change)) for layer, change in changes.items()]):
            yield
