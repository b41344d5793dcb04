"""What a file is, by its first bytes; its name decides only where bytes cannot."""

from __future__ import annotations

import pickletools
import re
from enum import StrEnum
from pathlib import Path

HEAD = 4096
PROTOCOL_ZERO_BYTES = 2**20
CALLS = frozenset({"REDUCE", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
PICKLE_SUFFIXES = frozenset(
    {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".cpkl", ".pdparams", ".pdopt"}
)
CODE_SUFFIXES = frozenset(
    {".py", ".pyc", ".pyw", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".cmd", ".ps1"}
)
OTHER_SUFFIXES = frozenset(
    {
        ".onnx", ".gguf", ".ggml", ".keras", ".h5", ".hdf5", ".tflite", ".msgpack", ".mlmodel", ".mlpackage",
        ".pb", ".pte", ".engine", ".plan", ".trt", ".ot", ".rknn", ".mnn", ".llamafile",
    }
)  # fmt: skip


class Kind(StrEnum):
    """The kinds that the scanner treats differently."""

    EMPTY = "empty"
    SAFETENSORS = "safetensors"
    PICKLE = "pickle"
    ZIP = "zip archive"
    ARCHIVE = "packed archive"
    NUMPY = "NumPy array"
    OTHER_WEIGHTS = "weights in another format"
    CODE = "program code"
    JSON = "JSON"
    TEXT = "text"
    UNKNOWN = "unknown"


_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"PK\x03\x04", Kind.ZIP),
    (b"PK\x05\x06", Kind.ZIP),
    (b"7z\xbc\xaf\x27\x1c", Kind.ARCHIVE),
    (b"\x1f\x8b", Kind.ARCHIVE),
    (b"BZh", Kind.ARCHIVE),
    (b"\xfd7zXZ\x00", Kind.ARCHIVE),
    (b"\x28\xb5\x2f\xfd", Kind.ARCHIVE),
    (b"Rar!", Kind.ARCHIVE),
    (b"\x04\x22\x4d\x18", Kind.ARCHIVE),
    (b"\x93NUMPY", Kind.NUMPY),
    (b"GGUF", Kind.OTHER_WEIGHTS),
    (b"lmgg", Kind.OTHER_WEIGHTS),
    (b"tjgg", Kind.OTHER_WEIGHTS),
    (b"\x89HDF\r\n\x1a\n", Kind.OTHER_WEIGHTS),
    (b"\x7fELF", Kind.CODE),
    (b"MZ\x90", Kind.CODE),
    (b"\xcf\xfa\xed\xfe", Kind.CODE),
    (b"\xca\xfe\xba\xbe", Kind.CODE),
    (b"#!", Kind.CODE),
)


def sniff(path: Path, name: str, size: int) -> Kind:
    """The kind of the file at `path`, which the checkpoint calls `name`."""
    if size == 0:
        return Kind.EMPTY
    with path.open("rb") as file:
        return sniff_bytes(file.read(PROTOCOL_ZERO_BYTES), name)


def sniff_bytes(start: bytes, name: str) -> Kind:
    """The kind of a file that begins with `start` (its first `PROTOCOL_ZERO_BYTES`, or all of it)."""
    if not start:
        return Kind.EMPTY
    suffix = Path(name).suffix.lower()
    head = start[:HEAD]
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return Kind.OTHER_WEIGHTS if kind is Kind.ZIP and suffix == ".keras" else kind
    if head[257:262] == b"ustar":
        return Kind.ARCHIVE
    if head[4:8] == b"TFL3":
        return Kind.OTHER_WEIGHTS
    if len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**40:
        return Kind.SAFETENSORS
    if head[0] == 0x80 and len(head) > 1 and head[1] in range(2, 6):
        return Kind.PICKLE
    if suffix in CODE_SUFFIXES:
        return Kind.CODE
    if _is_bare_pickle(start):
        return Kind.PICKLE
    if suffix in OTHER_SUFFIXES:
        return Kind.OTHER_WEIGHTS
    if suffix == ".json":
        return Kind.JSON
    return Kind.UNKNOWN if b"\x00" in head else Kind.TEXT


def _is_bare_pickle(start: bytes) -> bool:
    """Whether this is a pickle without a protocol mark: opcodes that import something and then call it.

    A pickle that breaks off has run by then what comes before the break, so it counts as one too.
    """
    imports = calls = False
    try:
        for opcode, argument, _ in pickletools.genops(start):
            if opcode.name in ("GLOBAL", "INST"):
                if not all(part.isidentifier() for part in re.split(r"[ .]", str(argument))):
                    return False
                imports = True
                calls |= opcode.name == "INST"
            imports |= opcode.name == "STACK_GLOBAL"
            calls |= imports and opcode.name in CALLS
    except Exception:  # whatever genops trips over, nothing follows in this file that would be loaded
        return imports and calls
    return imports
