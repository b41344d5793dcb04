"""Regular expressions from untrusted files: which ones may take exponential time."""

from __future__ import annotations

LONGEST_PATTERN = 2000


def may_explode(pattern: str) -> bool:
    """Whether a repeated group holds a repetition, as in `(a+)+`, or the pattern is very long.

    A heuristic: it does not see every slow pattern, and calls some harmless ones slow.
    """
    if len(pattern) > LONGEST_PATTERN:
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
        elif sign in "+*" or (sign == "{" and "," in pattern[position : position + 8]):
            possessive = sign == "+" and position > 0 and pattern[position - 1] in "+*?"
            if just_closed and not possessive:
                return True
            repeats[-1] = True
    return False
