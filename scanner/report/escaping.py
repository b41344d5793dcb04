"""Hostile text made visible: nothing of it can move a cursor, hide, reorder or overprint its surroundings.

A leaf of the report: every other renderer passes model text through here.
"""

from __future__ import annotations

import unicodedata

# Controls, format characters (bidi, zero-width, tags), surrogates, private use, unassigned, separators.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})

# Drawn as nothing although Unicode files them under letters, marks or symbols.
_HIDDEN_RANGES = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian variation selectors
    (0x2800, 0x2800),  # blank Braille pattern
    (0x3164, 0x3164),  # Hangul filler
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
    (0xE0100, 0xE01EF),  # variation selectors supplement
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_MARKS_IN_A_ROW = 2  # more combining marks than this on one letter overprint the lines around it


def is_hidden(character: str) -> bool:
    """Whether a reader would not see this character for what it is. The plain space is not hidden."""
    if character == " ":
        return False
    code = ord(character)
    return unicodedata.category(character) in _HIDDEN_CATEGORIES or any(
        first <= code <= last for first, last in _HIDDEN_RANGES
    )


def _escape(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str) -> str:
    r"""One line of `text` in which every hidden character is spelt out as Python would, e.g. `\u202e`.

    Backslashes stay as they are, so a literal `\u202e` in the text looks like an escaped one: for
    sentences. Where the exact text matters use `quoted`.

    >>> visible("red \x1b[31m\u200b")
    'red \\x1b[31m\\u200b'
    """
    out: list[str] = []
    marks = _MARKS_IN_A_ROW  # a mark with no letter before it would sit on what we print before it
    for character in text:
        if is_hidden(character):
            out.append(_escape(character))
            marks = _MARKS_IN_A_ROW
        elif unicodedata.category(character) in ("Mn", "Me"):
            out.append(character if marks < _MARKS_IN_A_ROW else _escape(character))
            marks += 1
        else:
            out.append(character)
            marks = 0
    return "".join(out)


def quoted(text: str, limit: int = 300) -> str:
    r"""`text` in double quotes, unambiguous: backslashes and quotes are escaped, hidden characters spelt out.

    Text beyond `limit` characters is cut, and the cut says how many characters are missing.

    >>> quoted('say "hi"\n')
    '"say \\"hi\\"\\n"'
    >>> quoted("abcdef", limit=4)
    '"abcd"… (2 more characters)'
    """
    shown = visible(text[:limit].replace("\\", "\\\\").replace('"', '\\"'))
    left = len(text) - limit
    return f'"{shown}"… ({left:,} more characters)' if left > 0 else f'"{shown}"'


def cut(text: str, limit: int = 600) -> str:
    """`visible(text)`, cut to `limit` characters of the text, saying how many are missing."""
    left = len(text) - limit
    return f"{visible(text[:limit])}… ({left:,} more characters)" if left > 0 else visible(text)
