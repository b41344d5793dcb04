"""Bytes on disk: what a checkpoint folder holds, whether it is safe to read, and how its weights differ.

Nothing here loads a model, runs code of a checkpoint, or prints.

- `folder.py` opens a checkpoint; `opened.py` is the result
- `inventory.py`, `kinds.py` list and hash the files, by content
- `safetensors_header.py`, `weights.py`, `tensors.py` find and read tensors
- `bounded_json.py`, `remote_code.py`, `pickles.py`, `chat_template.py`, `patterns.py` are the safety checks
- `tokenizer_files.py`, `consistency.py` hold configuration, tokenizer and tensors against each other
- `adapter_config.py`, `adapter.py`, `merge.py` read LoRA adapters and fold them in
- `difference.py`, `spectrum.py` compare a suspect with its base
- `rules.py` lists the rule ids; `wording.py` makes untrusted names fit for a message
"""

from .adapter import Adapter, LowRank, open_adapter
from .difference import TensorDifference, WeightDifference, compare
from .folder import open_checkpoint
from .merge import merged_tensors, write_merged
from .opened import Checkpoint
from .rules import RULES
from .safetensors_header import StoredTensor

__all__ = [
    "RULES",
    "Adapter",
    "Checkpoint",
    "LowRank",
    "StoredTensor",
    "TensorDifference",
    "WeightDifference",
    "compare",
    "merged_tensors",
    "open_adapter",
    "open_checkpoint",
    "write_merged",
]
