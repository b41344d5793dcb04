"""What in tokenizer.json would make the tokenizer eat memory: padding, texts that grow, endless tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..findings import Finding, Level
from .rules import TOKENIZER_BOUNDS, finding
from .wording import shown

MAX_LENGTH = 2**20  # of a padded or truncated text, in tokens
MAX_TOKEN_TEXT = 10_000  # characters
MAX_STEPS = 64  # of the normalizer or the decoder
MAX_GROWTH = 10_000  # by which all replacements together may lengthen a text


def bounds_findings(fast: dict[str, Any]) -> list[Finding]:
    """One finding for each bound that the parsed tokenizer.json breaks."""
    return [
        finding(
            TOKENIZER_BOUNDS,
            Level.WARNING,
            f"the tokenizer would take too much memory: {what}",
            "tokenizer.json",
        )
        for what in _broken(fast)
    ]


def _broken(fast: dict[str, Any]) -> Iterator[str]:
    padding = fast.get("padding")
    if isinstance(padding, dict):
        strategy = padding.get("strategy")
        fixed = strategy.get("Fixed") if isinstance(strategy, dict) else None
        for value in (fixed, padding.get("pad_to_multiple_of")):
            if isinstance(value, int) and value > MAX_LENGTH:
                yield f"it pads every text to {value} tokens"
    longest = max((len(text) for text in _texts(fast)), default=0)
    if longest > MAX_TOKEN_TEXT:
        yield f"a token has {longest} characters"
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        steps = list(_steps(fast.get(part)))
        if len(steps) > MAX_STEPS:
            yield f"its {part} has {len(steps)} steps"
        growth = 1.0
        for step in steps:
            growth *= _growth(step)
        if growth > MAX_GROWTH:
            yield f"its {part} makes a text up to {shown(f'{growth:.0e}')} times longer"


def _texts(fast: dict[str, Any]) -> Iterator[str]:
    model = fast.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        yield from vocabulary
    elif isinstance(vocabulary, list):
        yield from (row[0] for row in vocabulary if isinstance(row, list) and row and isinstance(row[0], str))
    added = fast.get("added_tokens")
    for token in added if isinstance(added, list) else ():
        if isinstance(token, dict) and isinstance(token.get("content"), str):
            yield token["content"]


def _steps(part: Any) -> Iterator[dict[str, Any]]:
    """The single steps of a part, through sequences of any depth."""
    stack = [part]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack += node
        elif isinstance(node, dict):
            inner = [child for child in node.values() if isinstance(child, list)]
            if node.get("type") == "Sequence":
                stack += inner
            else:
                yield node


def _growth(step: dict[str, Any]) -> float:
    """How many times longer a replacement or a prefix makes a text, at least 1."""
    content = step.get("content") if step.get("type") == "Replace" else step.get("prepend")
    if not isinstance(content, str):
        return 1.0
    pattern = step.get("pattern")
    replaced = pattern.get("String") if isinstance(pattern, dict) else None
    # An expression may match between any two characters.
    return (
        max(1.0, len(content) / len(replaced))
        if isinstance(replaced, str) and replaced
        else 1.0 + len(content)
    )
