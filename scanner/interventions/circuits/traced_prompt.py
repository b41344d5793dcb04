"""A prompt's whole graph, before anything is left out.

Nodes are the transcoder features that fire on the prompt, what each transcoder leaves out of its MLP (errors),
the token embeddings, and the likeliest next tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class TracedPrompt:
    """Nodes, and the effect of each on each.

    Attributes:
        ids: the prompt.
        layer, position, feature, activation: [F] of the features that fire.
        logits: the likeliest next tokens, and `chances` [K] their probabilities.
        effects: [n, n] target by source; nodes are features, errors (layer by layer, position by
            position), tokens, logits.
        constants: [n] what the transcoders' decoder biases add to a target: no node explains it.
        values: [n] pre-activations and centred logits; 0 for errors and tokens.
        explored: bool [F] features whose inputs were traced.
    """

    ids: tuple[int, ...]
    layer: Tensor
    position: Tensor
    feature: Tensor
    activation: Tensor
    logits: tuple[int, ...]
    chances: Tensor
    effects: Tensor
    constants: Tensor
    values: Tensor
    explored: Tensor
    layers: int

    @property
    def count(self) -> int:
        """Number of features."""
        return len(self.feature)

    def error(self, layer: int, position: int) -> int:
        """Index of an error node."""
        return self.count + layer * len(self.ids) + position

    def token(self, position: int) -> int:
        """Index of a token node."""
        return self.count + (self.layers * len(self.ids)) + position

    def logit(self, number: int) -> int:
        """Index of a logit node."""
        return self.token(len(self.ids)) + number

    @property
    def size(self) -> int:
        """Number of nodes, n."""
        return self.logit(len(self.logits))

    @property
    def weights(self) -> Tensor:
        """[n] the logits' probabilities, made to sum to 1; 0 elsewhere."""
        weights = torch.zeros(self.size)
        weights[self.logit(0) :] = self.chances / self.chances.sum()
        return weights

    def kinds(self) -> list[str]:
        """What each node is."""
        return (
            ["feature"] * self.count
            + ["error"] * (self.layers * len(self.ids))
            + ["token"] * len(self.ids)
            + ["logit"] * len(self.logits)
        )

    def where(self, kind: str) -> Tensor:
        """Bool [n]: the nodes of one kind."""
        return torch.tensor([k == kind for k in self.kinds()])
