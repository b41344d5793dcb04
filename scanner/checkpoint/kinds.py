"""What a file is, by its first bytes; its name decides only where bytes cannot."""

from __future__ import annotations

import pickletools
from enum import StrEnum
from pathlib import Path

HEAD = 4096
PROTOCOL_ZERO_BYTES = 2**20
PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib"})
CODE_SUFFIXES = frozenset(
    {".py", ".pyc", ".pyw", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".cmd", ".ps1"}
)
OTHER_SUFFIXES = frozenset({".onnx", ".gguf", ".ggml", ".keras", ".h5", ".tflite", ".msgpack", ".mlmodel"})


class Kind(StrEnum):
    """The kinds that the scanner treats differently."""

    EMPTY = "empty"
    SAFETENSORS = "safetensors"
    PICKLE = "pickle"
    ZIP = "zip archive"
    ARCHIVE = "packed archive"
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
    (b"GGUF", Kind.OTHER_WEIGHTS),
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
    suffix = Path(name).suffix.lower()
    with path.open("rb") as file:
        head = file.read(HEAD)
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
    if _is_protocol_zero(path):
        return Kind.PICKLE
    if suffix in OTHER_SUFFIXES:
        return Kind.OTHER_WEIGHTS
    if suffix == ".json":
        return Kind.JSON
    return Kind.UNKNOWN if b"\x00" in head else Kind.TEXT


def _is_protocol_zero(path: Path) -> bool:
    """Whether the file is a pickle without a protocol mark: valid opcodes, one of them an import."""
    with path.open("rb") as file:
        data = file.read(PROTOCOL_ZERO_BYTES)
    imports = False
    try:
        for opcode, _, _ in pickletools.genops(data):
            imports |= opcode.name in ("GLOBAL", "INST", "STACK_GLOBAL")
    except Exception:  # whatever genops trips over, it is no pickle
        return False
    return imports
