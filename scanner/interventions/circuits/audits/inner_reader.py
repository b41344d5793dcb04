"""What the model is about to say, as each layer would have it: a linear reading of the residual stream.

For each layer a ridge regression maps the stream at the tokens where an answer is written to what the output
head is given there; the head then makes it a distribution over tokens. It is fitted on neutral prompts, so on
them an inner layer foretells the answer as well as a linear reading can; where an answer departs from it, the
last layers brought in something else.

Source: the tuned lens of Belrose et al. 2023 (arXiv 2303.08112), in closed form and onto the head's own input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ....model.generation import LeftPadded, greedy_answers
from ....model.loading import LoadedModel, decoder_layers

READ_TOKENS = 6  # tokens of an answer that are compared
RIDGE = 1e-2  # of the mean variance of the stream
BATCH = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Spoken:
    """Prompts with the model's own answers, and its states where each token of an answer is written.

    Attributes:
        answers: token ids, the end of the answer included, at most READ_TOKENS.
        row: [N] the prompt of each written token.
        states: per layer [N, d] the residual stream, float32 on the CPU.
        given: [N, h] what the output head was given.
    """

    answers: list[list[int]]
    row: Tensor
    states: list[Tensor]
    given: Tensor


def listen(loaded: LoadedModel, prompts: Sequence[Sequence[int]]) -> Spoken:
    """Let the model answer (greedy), then read every layer at the tokens of the answer."""
    written = greedy_answers(loaded, prompts, new_tokens=READ_TOKENS)
    end = next(iter(loaded.stop), loaded.pad)
    answers = [answer if len(answer) == READ_TOKENS else [*answer, end] for answer in written]
    row: list[Tensor] = []
    states: list[list[Tensor]] = [[] for _ in range(loaded.layer_count)]
    given: list[Tensor] = []
    for start in range(0, len(prompts), BATCH):
        part = range(start, min(start + BATCH, len(prompts)))
        batch = LeftPadded(
            [[*prompts[i], *answers[i][:-1]] for i in part], pad=loaded.pad, device=loaded.model.device
        )
        width = batch.input_ids.shape[1]
        places = torch.tensor(
            [(n, width - len(answers[i]) + k) for n, i in enumerate(part) for k in range(len(answers[i]))]
        )
        seen = _states(loaded, batch)
        row.append(places[:, 0] + start)
        for kept, values in zip([*states, given], seen, strict=True):
            kept.append(values[places[:, 0], places[:, 1]].float().cpu())
    return Spoken(
        answers=answers,
        row=torch.cat(row),
        states=[torch.cat(layer) for layer in states],
        given=torch.cat(given),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class InnerReader:
    """Per layer the map [d + 1, h] from the stream to what the head would be given."""

    head: nn.Module
    maps: list[Tensor]

    @classmethod
    def fit(cls, loaded: LoadedModel, spoken: Spoken) -> InnerReader:
        """Fit on answers to neutral prompts."""
        return cls(
            head=loaded.model.get_output_embeddings(), maps=[_ridge(s, spoken.given) for s in spoken.states]
        )

    @torch.inference_mode()
    def log_chances(self, spoken: Spoken, layer: int) -> Tensor:
        """Log-probabilities [N, vocabulary] of each written token as `layer` would have it."""
        return self._through_head(_with_one(spoken.states[layer]) @ self.maps[layer])

    @torch.inference_mode()
    def said(self, spoken: Spoken) -> Tensor:
        """Log-probabilities [N, vocabulary] of the model itself."""
        return self._through_head(spoken.given)

    def _through_head(self, given: Tensor) -> Tensor:
        weight = next(self.head.parameters())
        logits: Tensor = self.head(given.to(weight.device, weight.dtype))
        return logits.float().log_softmax(-1).cpu()

    def departures(self, spoken: Spoken, layer: int) -> Tensor:
        """Nats by which the output departs from the layer's reading, KL(output ‖ reading), a prompt's mean: [P]."""
        said: Tensor = self.said(spoken)
        apart = (said.exp() * (said - self.log_chances(spoken, layer))).sum(-1)
        total = torch.zeros(len(spoken.answers)).index_add_(0, spoken.row, apart)
        return total / torch.tensor([float(len(answer)) for answer in spoken.answers])

    def first_tokens(self, spoken: Spoken, layer: int | None) -> Tensor:
        """The likeliest first token of each answer as a layer would have it, or (None) as the model says it: [P]."""
        starts = torch.cat([torch.tensor([True]), spoken.row[1:] != spoken.row[:-1]])
        chances: Tensor = self.said(spoken) if layer is None else self.log_chances(spoken, layer)
        return chances[starts].argmax(-1)


def _ridge(x: Tensor, y: Tensor) -> Tensor:
    x64 = _with_one(x).double()
    gram = x64.T @ x64
    strength = RIDGE * float(x.double().var(0).mean()) * len(x)
    penalty = torch.full((gram.shape[0],), strength, dtype=torch.float64)
    penalty[-1] = 0.0  # the constant is free
    solved: Tensor = torch.linalg.solve(gram + torch.diag(penalty), x64.T @ y.double())
    return solved.float()


def _with_one(x: Tensor) -> Tensor:
    return torch.nn.functional.pad(x, (0, 1), value=1.0)


@torch.inference_mode()
def _states(loaded: LoadedModel, batch: LeftPadded) -> list[Tensor]:
    """The stream behind every layer, then what the head is given: each [B, T, d]."""
    seen: list[Tensor] = []

    def behind(_module: nn.Module, _args: object, out: Tensor | tuple[Tensor, ...]) -> None:
        seen.append(out[0] if isinstance(out, tuple) else out)

    def before(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen.append(args[0])

    handles = [layer.register_forward_hook(behind) for layer in decoder_layers(loaded.model)]
    handles.append(loaded.model.get_output_embeddings().register_forward_pre_hook(before))
    try:
        loaded.model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            use_cache=False,
        )
    finally:
        for handle in handles:
            handle.remove()
    return seen
