"""Hook points under one name in every family: what a decoder layer gives, and what its two parts add to it.

`resid_post` is the residual stream behind a layer. `attn_out` and `mlp_out` are what attention and MLP add to
the stream: where a family norms a part's output before it is added (Gemma 2 and 3, OLMo 2), they are behind
that norm, so that resid_post = resid_pre + attn_out + mlp_out in every family, in parallel layers too.

No family is known by name: the two parts are the modules that hold matrices and give the stream's width, in
the order in which they run, and that sum is checked. Source of the names: TransformerLens; the search is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import UsageError
from .loading import LoadedModel, decoder_layers

HookPoint = Literal["resid_post", "attn_out", "mlp_out"]

_TOKENS = 8  # of the pass in which the parts are looked for
# Share of what the parts add by which the sum may be off: a little, and what rounding takes in low precision.
_SLACK, _ROUNDINGS = 0.01, 32


class _Ran(NamedTuple):
    """A child of a layer that ran: the tensors it was given, the one it gave, and what that then held."""

    module: nn.Module
    given: list[Tensor]
    gave: Tensor
    held: Tensor  # a copy: some layers add in place


class _Added(NamedTuple):
    """A module whose output is added to the stream, and that output."""

    module: nn.Module
    output: Tensor


def hook_modules(loaded: LoadedModel, hook: HookPoint) -> list[nn.Module]:
    """Layer by layer the module whose output (its first, where it gives several) is this hook point.

    Raises:
        UsageError: a layer has not two parts whose outputs are added to the stream as they are.
    """
    layers = list(decoder_layers(loaded.model))
    if hook == "resid_post":
        return layers
    ids = [loaded.start[0], *(loaded.vocabulary * i // _TOKENS for i in range(1, _TOKENS))]
    ran: dict[int, list[_Ran]] = {number: [] for number in range(len(layers))}
    stream: dict[int, list[Tensor]] = {number: [] for number in range(len(layers))}
    with _listening(layers, ran, stream), torch.inference_mode():
        loaded.model(input_ids=torch.tensor([ids], device=loaded.model.device), use_cache=False)
    found = [_parts(ran[number], stream[number], loaded, number) for number in range(len(layers))]
    return [parts[0 if hook == "attn_out" else 1].module for parts in found]


def first_output(output: Any) -> Tensor:
    """The states among what a module gave."""
    states: Tensor = output[0] if isinstance(output, tuple) else output
    return states


def _parts(
    ran: Sequence[_Ran], stream: Sequence[Tensor], loaded: LoadedModel, number: int
) -> tuple[_Added, _Added]:
    """Attention and MLP of one layer, from what ran in it and the stream before and behind it."""
    before, behind = stream
    writing = [i for i, r in enumerate(ran) if _has_matrix(r.module) and r.gave.numel() == before.numel()]
    if len(writing) == 2:
        attention, mlp = (_as_added(ran[i], ran[i + 1 :]) for i in writing)
        width = before.shape[-1]
        added = (attention.output + mlp.output).reshape(-1, width).double()
        off = (behind - before).reshape(-1, width).double() - added
        error = float((off.norm(dim=1) / added.norm(dim=1).clamp(min=1e-12)).median())
        if error <= _SLACK + _ROUNDINGS * torch.finfo(behind.dtype).eps:
            return attention, mlp
        why = f"they are {error:.0%} off"
    else:
        why = f"{len(writing)} modules write: {', '.join(type(ran[i].module).__name__ for i in writing) or 'none'}"
    raise UsageError(
        f"attn_out and mlp_out need layers that add the outputs of attention and MLP to the residual stream; in layer "
        f"{number} of {type(loaded.model).__name__} {why}; use resid_post"
    )


def _as_added(part: _Ran, later: Sequence[_Ran]) -> _Added:
    """A part, or the last norm on the way from it to the stream."""
    found, handed_on = _Added(part.module, part.held), part.gave
    for other in later:
        if _has_matrix(other.module) or not any(given is handed_on for given in other.given):
            continue
        handed_on = other.gave
        if not torch.equal(other.held, found.output):  # dropout, at rest here, gives what it is given
            found = _Added(other.module, other.held)
    return found


def _has_matrix(module: nn.Module) -> bool:
    return any(p.ndim >= 2 for p in module.parameters())


@contextmanager
def _listening(
    layers: Sequence[nn.Module], ran: Mapping[int, list[_Ran]], stream: Mapping[int, list[Tensor]]
) -> Iterator[None]:
    """Note what runs in each layer, and the stream before and behind it."""
    handles = []
    for number, layer in enumerate(layers):

        def before(
            _module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], number: int = number
        ) -> None:
            stream[number].append(_tensors(given, named)[0].clone())

        def behind(_module: nn.Module, _given: object, output: Any, number: int = number) -> None:
            stream[number].append(first_output(output).clone())

        def note(
            module: nn.Module,
            given: tuple[Any, ...],
            named: dict[str, Any],
            output: Any,
            number: int = number,
        ) -> None:
            gave = first_output(output)
            ran[number].append(_Ran(module, _tensors(given, named), gave, gave.clone()))

        handles.append(layer.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(layer.register_forward_hook(behind))
        handles += [child.register_forward_hook(note, with_kwargs=True) for child in layer.children()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(given: tuple[Any, ...], named: dict[str, Any]) -> list[Tensor]:
    return [value for value in (*given, *named.values()) if isinstance(value, Tensor)]
