"""Names that pickles of ordinary training code import: rebuilding tensors, arrays and settings.

What is not listed here and not known to be dangerous is `unknown`, which a report says; nothing is
loaded on the strength of either list.
"""

from __future__ import annotations

from typing import Final

_BY_MODULE: Final[dict[str, str]] = {
    "_codecs": "encode",
    "builtins": "set frozenset bytearray complex slice range int float str bool list dict tuple bytes object",
    "__builtin__": "set frozenset bytearray complex slice xrange int long float str bool list dict tuple unicode object",
    "collections": "OrderedDict defaultdict Counter deque",
    "copyreg": "_reconstructor",
    "copy_reg": "_reconstructor",
    "datetime": "datetime date timedelta timezone",
    "pathlib": "Path PosixPath PurePosixPath WindowsPath",
    "argparse": "Namespace",
    "numpy": "dtype ndarray",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
    "numpy.random": "RandomState Generator",
    "torch": (
        "device dtype Size Tensor float32 float16 bfloat16 float64 int64 int32 int16 int8 uint8 bool "
        "float8_e4m3fn float8_e5m2"
    ),
    "torch._utils": "_rebuild_tensor _rebuild_tensor_v2 _rebuild_parameter _rebuild_device_tensor_from_numpy",
    "torch.nn.parameter": "Parameter",
    "torch.serialization": "_get_layout",
    "torch.storage": "UntypedStorage TypedStorage",
    "torch.torch_version": "TorchVersion",
    "accelerate.state": "PartialState AcceleratorState",
    "accelerate.utils.dataclasses": "DistributedType DeepSpeedPlugin FullyShardedDataParallelPlugin",
    "transformers.training_args": "TrainingArguments OptimizerNames ParallelMode",
    "transformers.training_args_seq2seq": "Seq2SeqTrainingArguments",
    "transformers.trainer_utils": (
        "IntervalStrategy SchedulerType HubStrategy SaveStrategy EvaluationStrategy FSDPOption"
    ),
    "transformers.trainer_pt_utils": "AcceleratorConfig",
    "transformers.integrations.deepspeed": "HfDeepSpeedConfig HfTrainerDeepSpeedConfig",
    "trl.trainer.sft_config": "SFTConfig",
    "trl.trainer.dpo_config": "DPOConfig",
    "trl.trainer.grpo_config": "GRPOConfig",
}

ORDINARY: Final = frozenset(
    f"{module}.{name}" for module, names in _BY_MODULE.items() for name in names.split()
)


def is_ordinary(module: str, name: str) -> bool:
    """Whether pickles of ordinary training code import this.

    >>> is_ordinary("collections", "OrderedDict"), is_ordinary("os", "system")
    (True, False)
    """
    return f"{module}.{name}" in ORDINARY or (
        module == "torch" and name.endswith("Storage") and name.isalnum()
    )
