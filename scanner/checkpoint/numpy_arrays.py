"""NumPy's array files: whether one holds Python objects, which are a pickle inside (CVE-2019-6446).

Layout: `\\x93NUMPY`, two bytes of version, the header's length (2 bytes, from version 2 on 4), and a
Python dictionary as text with `descr`, `fortran_order` and `shape`.

Source: NumPy Enhancement Proposal 1.
"""

from __future__ import annotations

import ast
from typing import NamedTuple

MAX_HEADER_BYTES = 10_000


class ArrayHeader(NamedTuple):
    """Where the data start, and whether they are pickled Python objects."""

    data_start: int
    holds_objects: bool


def read_array_header(start: bytes) -> ArrayHeader:
    """The header at the start of an array file.

    Raises:
        ValueError: damaged, or longer than `MAX_HEADER_BYTES`.
    """
    if not start.startswith(b"\x93NUMPY") or len(start) < 12 or start[6] not in (1, 2, 3):
        raise ValueError("it has no array header of a known version")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(start[8 : 8 + width], "little")
    end = 8 + width + length
    if length > MAX_HEADER_BYTES or end > len(start):
        raise ValueError(f"its header says it has {length} bytes")
    try:
        header = ast.literal_eval(start[8 + width : end].decode("latin-1").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError("its header is no table of descr, fortran_order and shape") from None
    if not isinstance(header, dict) or "descr" not in header:
        raise ValueError("its header is no table of descr, fortran_order and shape")
    return ArrayHeader(end, _has_objects(header["descr"]))


def _has_objects(descr: object) -> bool:
    """Whether a type description, or a field of it at any depth, is `O`."""
    if isinstance(descr, str):
        return "O" in descr
    return isinstance(descr, (list, tuple)) and any(_has_objects(part) for part in descr)
