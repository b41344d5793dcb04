"""Changing what passes through a model's modules while it runs, for as long as a block lasts.

Whatever takes out, adds or holds anything in the residual stream does so through this one pair of hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

StateEdit = Callable[[Tensor], Tensor]


@contextmanager
def changed(
    behind: Iterable[tuple[nn.Module, StateEdit]] = (),
    *,
    before: Iterable[tuple[nn.Module, StateEdit]] = (),
) -> Iterator[None]:
    """Within the block an edit makes of the states [B, T, d] that a module gives (or is given) what goes on.

    Edits of one module act in the order given; one that returns the tensor itself leaves the output as it is.
    The modules are themselves again behind the block, whatever happened in it.
    """
    handles = []
    try:
        for module, edit in before:
            handles.append(module.register_forward_pre_hook(_entering(edit), with_kwargs=True))
        for module, edit in behind:
            handles.append(module.register_forward_hook(_leaving(edit)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _entering(edit: StateEdit) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
    def hook(
        _module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if arguments:
            return (edit(arguments[0]), *arguments[1:]), named
        return arguments, {**named, "hidden_states": edit(named["hidden_states"])}

    return hook


def _leaving(edit: StateEdit) -> Callable[[nn.Module, object, Any], Any]:
    def hook(_module: nn.Module, _arguments: object, output: Any) -> Any:
        states = output[0] if isinstance(output, tuple) else output
        made = edit(states)
        if made is states:
            return output
        return (made, *output[1:]) if isinstance(output, tuple) else made

    return hook
