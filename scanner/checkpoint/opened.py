"""The checkpoint as data: what an opened folder is to the rest of the scanner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..findings import Finding
from .inventory import FileEntry, hash_files
from .safetensors_header import StoredTensor
from .tokenizer_files import TokenizerFiles

if TYPE_CHECKING:
    from torch import Tensor

    from .tensors import TensorReader

# The names of the token embedding and of the output head, over the families of causal models.
EMBEDDINGS = (
    "embed_tokens.weight",
    "wte.weight",
    "embed_in.weight",
    "word_embeddings.weight",
    "tok_embeddings.weight",
)
HEADS = ("lm_head.weight", "embed_out.weight")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint folder that was checked and is safe to read further.

    Attributes:
        root: the folder.
        config: what config.json holds.
        architecture: the causal class that config.json names, e.g. `LlamaForCausalLM`.
        tensors: every stored tensor by name.
        embedding: name of the token embedding; None for a family that is not known here.
        vocabulary_size: rows of the token embedding.
        tied: whether the output head is the token embedding.
        templates: the chat templates by where they stand.
        findings: what a reader should know and what did not stop the opening.
    """

    root: Path
    config: Mapping[str, Any] = field(repr=False)
    architecture: str
    model_type: str
    tensors: Mapping[str, StoredTensor] = field(repr=False)
    tokenizer: TokenizerFiles
    embedding: str | None
    vocabulary_size: int
    tied: bool
    entries: Mapping[str, FileEntry] = field(repr=False)
    templates: Mapping[str, str] = field(default_factory=dict, repr=False)
    findings: tuple[Finding, ...] = ()

    @cached_property
    def files(self) -> dict[str, str]:
        """SHA-256 of every file by name; read on first use, in parallel threads."""
        return hash_files(dict(self.entries))

    @property
    def parameters(self) -> int:
        """The number of stored weights; a tied head counts once."""
        return sum(prod(tensor.shape) for tensor in self.tensors.values())

    @property
    def weight_files(self) -> tuple[str, ...]:
        """The safetensors files that hold the tensors."""
        return tuple(sorted({tensor.file for tensor in self.tensors.values()}))

    def open_tensors(self) -> AbstractContextManager[TensorReader]:
        """A reader of this checkpoint's tensors, for a `with` block."""
        from .tensors import open_tensors  # torch comes in only where tensors are read

        return open_tensors(self.tensors)

    def iterate_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every (name, tensor), one at a time."""
        from .tensors import iterate_tensors

        return iterate_tensors(self.tensors)

    def find(self, name: str) -> str | None:
        """The stored name of a tensor, with or without the prefix of the model's trunk.

        Some families are stored both as `transformer.h.0...` and as `h.0...`.
        """
        if name in self.tensors:
            return name
        for prefix in ("transformer.", "model.", "gpt_neox."):
            other = name.removeprefix(prefix) if name.startswith(prefix) else prefix + name
            if other in self.tensors:
                return other
        return None
