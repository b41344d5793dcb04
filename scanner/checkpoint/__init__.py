"""Bytes on disk: what a checkpoint folder holds, whether it is safe to read, and how its weights differ.

Nothing here loads a model, runs code of a checkpoint, or prints.

- `folder.py` opens a checkpoint; `opened.py` is the result
- `static_report.py` checks the files alone and goes on where `folder.py` would stop
- `inventory.py`, `kinds.py` list and hash the files, by content
- `safetensors_header.py`, `weights.py`, `tensors.py` find and read tensors
- `bounded_json.py`, `documents.py`, `remote_code.py` read the JSON files and say what loaders would act on
- `packed_files.py`, `pickles.py`, `ordinary_globals.py`, `archives.py`, `numpy_arrays.py` take packed files apart
- `chat_template.py`, `template_conditions.py`, `template_flow.py`, `template_structure.py` read chat templates; `patterns.py` regular expressions
- `tokenizer_files.py`, `tokenizer_bounds.py`, `consistency.py` hold configuration, tokenizer and tensors together
- `adapter_config.py`, `adapter.py`, `merge.py` read LoRA adapters and fold them in
- `difference.py`, `spectrum.py` compare a suspect with its base
- `rules.py` lists the rule ids; `wording.py` makes untrusted names fit for a message

What works on tensors is imported when it is first asked for, so that checking files alone needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .folder import open_checkpoint
from .opened import Checkpoint
from .rules import RULES
from .safetensors_header import StoredTensor
from .static_report import StaticReport, check_adapter, check_files, compare_templates

if TYPE_CHECKING:
    from .adapter import Adapter, LowRank, open_adapter
    from .difference import TensorDifference, WeightDifference, compare
    from .merge import merged_tensors, write_merged

_ON_TENSORS = {
    "Adapter": "adapter",
    "LowRank": "adapter",
    "open_adapter": "adapter",
    "TensorDifference": "difference",
    "WeightDifference": "difference",
    "compare": "difference",
    "merged_tensors": "merge",
    "write_merged": "merge",
}

__all__ = [
    "RULES",
    "Adapter",
    "Checkpoint",
    "LowRank",
    "StaticReport",
    "StoredTensor",
    "TensorDifference",
    "WeightDifference",
    "check_adapter",
    "check_files",
    "compare",
    "compare_templates",
    "merged_tensors",
    "open_adapter",
    "open_checkpoint",
    "write_merged",
]


def __getattr__(name: str) -> Any:
    if name in _ON_TENSORS:
        return getattr(import_module(f".{_ON_TENSORS[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
