"""Regular expressions from untrusted files: which ones may take exponential time."""

from __future__ import annotations

import re

LONGEST_PATTERN = 2000
MAX_COUNTED = 100_000  # how often counted repetitions, one in another, may repeat in all
COUNTED = re.compile(r"\{(\d{1,9})(?:,(\d{0,9}))?\}")


def may_explode(pattern: str) -> bool:
    """Whether a repeated group holds a repetition, as in `(a+)+`, or the pattern is or unrolls to very long.

    >>> may_explode("(a+)+$"), may_explode("(.*a){30}"), may_explode(r"(?:'s|'t)| ?[a-z]+")
    (True, True, False)

    A heuristic: it does not see every slow pattern, and calls some harmless ones slow.
    """
    if len(pattern) > LONGEST_PATTERN or _unrolled(pattern) > MAX_COUNTED:
        return True
    repeats = [False]  # per open group: whether something in it repeats without bound
    closed: bool | None = None  # whether the group that has just closed held a repetition
    in_class = escaped = False
    for position, sign in enumerate(pattern):
        just_closed, closed = closed, None
        if escaped:
            escaped = False
        elif sign == "\\":
            escaped = True
        elif in_class:
            in_class = sign != "]"
        elif sign == "[":
            in_class = True
        elif sign == "(":
            repeats.append(False)
        elif sign == ")" and len(repeats) > 1:
            closed = repeats.pop()
            repeats[-1] |= closed
        elif sign in "+*" or (sign == "{" and _repeats_often(pattern, position)):
            possessive = sign == "+" and position > 0 and pattern[position - 1] in "+*?"
            if just_closed and not possessive:
                return True
            repeats[-1] = True
    return False


def _unrolled(pattern: str) -> int:
    """The product of all counted repetitions: how long the pattern may become when it is compiled."""
    product = 1
    for match in COUNTED.finditer(pattern):
        product *= max(1, int(match[2] or match[1]))
        if product > MAX_COUNTED:
            break
    return product


def _repeats_often(pattern: str, position: int) -> bool:
    match = COUNTED.match(pattern, position)
    return match is not None and (match[2] is not None or int(match[1]) >= 10)
