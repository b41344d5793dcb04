"""The result as JSON: the format that everything else can be rendered from."""

from __future__ import annotations

import json

from ..findings import ScanResult


def render(result: ScanResult) -> str:
    """The result as pure ASCII JSON text.

    Beyond ASCII everything is written as JSON's own escapes: the file means the same to a parser, and
    shown on a terminal or in an editor no bidi, zero-width or control character of a model can act.
    """
    return in_ascii(result.to_json())


def in_ascii(text: str) -> str:
    """JSON text as pure ASCII, indented."""
    escaped = json.dumps(json.loads(text), indent=2, ensure_ascii=True)
    return escaped.replace("\x7f", "\\u007f") + "\n"
