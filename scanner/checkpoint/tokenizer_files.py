"""The tokenizer's files: which there are, and how many token ids they need.

The files are only counted here. Building the tokenizer is the model room's work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import CheckpointError
from ..findings import Finding, Level
from .inventory import FileEntry
from .patterns import may_explode
from .rules import TOKENIZER_BOUNDS, TOKENIZER_PATTERN, finding
from .tokenizer_bounds import bounds_findings
from .wording import shown

MAX_ID = 2**24
# Any one of these sets of files makes a tokenizer.
SUFFICIENT = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("tokenizer.model",), ("tekken.json",))
COMPANIONS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)


@dataclass(frozen=True, kw_only=True)
class TokenizerFiles:
    """What the files say about the vocabulary.

    Attributes:
        names: the tokenizer's files in the folder.
        token_count: number of distinct token ids; None where the format does not tell here.
        largest_id: the largest token id; None likewise.
        largest_ordinary_id: the same, of those that were not added to the vocabulary behind its training.
    """

    names: tuple[str, ...]
    token_count: int | None
    largest_id: int | None
    largest_ordinary_id: int | None


def find_tokenizer(
    entries: Mapping[str, FileEntry], documents: Mapping[str, Any]
) -> tuple[TokenizerFiles, list[Finding]]:
    """The tokenizer's files, counted, and findings about them.

    Args:
        documents: the parsed JSON files of the folder by name.

    Raises:
        CheckpointError: no tokenizer, or token ids that are no whole numbers.
    """
    if not any(all(name in entries for name in names) for names in SUFFICIENT):
        raise CheckpointError(
            "a checkpoint needs its tokenizer, got no tokenizer.json, tokenizer.model or vocab.json with merges.txt; "
            "copy the tokenizer files of its base into the folder"
        )
    known = {name for names in SUFFICIENT for name in names} | set(COMPANIONS)
    ordinary = set(_ordinary_ids(documents))
    ids = ordinary | set(_added_ids(documents))
    fast = documents.get("tokenizer.json")
    return (
        TokenizerFiles(
            names=tuple(sorted(known & set(entries))),
            token_count=len(ids) or None,
            largest_id=max(ids, default=None),
            largest_ordinary_id=max(ordinary, default=None),
        ),
        [*_pattern_findings(fast), *bounds_findings(fast)] if isinstance(fast, dict) else [],
    )


def _ordinary_ids(documents: Mapping[str, Any]) -> Iterator[int]:
    fast = documents.get("tokenizer.json")
    if fast is not None:
        if not isinstance(fast, dict) or not isinstance(fast.get("model"), dict):
            raise CheckpointError(
                "tokenizer.json must hold an object with a model, got something else; download it again"
            )
        yield from _vocabulary(fast["model"].get("vocab"), "tokenizer.json")
    elif "vocab.json" in documents:
        yield from _vocabulary(documents["vocab.json"], "vocab.json")


def _added_ids(documents: Mapping[str, Any]) -> Iterator[int]:
    fast = documents.get("tokenizer.json")
    if isinstance(fast, dict):
        added = fast.get("added_tokens") or []
        if not isinstance(added, list):
            raise CheckpointError(
                f"tokenizer.json must hold added_tokens as a list, got {shown(type(added).__name__)}; download it again",
                location="tokenizer.json",
            )
        for token in added:
            yield _id(token.get("id") if isinstance(token, dict) else token, "tokenizer.json")
    if "added_tokens.json" in documents:
        yield from _vocabulary(documents["added_tokens.json"], "added_tokens.json")
    settings = documents.get("tokenizer_config.json")
    decoder = settings.get("added_tokens_decoder") if isinstance(settings, dict) else None
    for key in decoder if isinstance(decoder, dict) else ():
        yield _id(int(key) if key.isdecimal() and len(key) < 20 else key, "tokenizer_config.json")


def _vocabulary(value: Any, name: str) -> Iterator[int]:
    if isinstance(value, dict):
        for number in value.values():
            yield _id(number, name)
    elif isinstance(value, list):  # Unigram: the position is the id
        yield from range(len(value))
    else:
        raise CheckpointError(
            f"{name} must hold a vocabulary, got {shown(type(value).__name__)}; download it again"
        )


def _id(value: Any, name: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_ID:
        raise CheckpointError(
            f"token ids are whole numbers from 0 to {MAX_ID}, {name} has {shown(value)}; ask for a repaired tokenizer",
            rule_id=TOKENIZER_BOUNDS,
            location=name,
        )
    return value


def _pattern_findings(fast: dict[str, Any]) -> list[Finding]:
    findings = []
    stack: list[Any] = [fast.get(part) for part in ("normalizer", "pre_tokenizer", "decoder")]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            pattern = node.get("Regex")
            if isinstance(pattern, str) and may_explode(pattern):
                findings.append(
                    finding(
                        TOKENIZER_PATTERN,
                        Level.WARNING,
                        "a pattern of the tokenizer repeats a repetition or is very long, so some texts may take "
                        "exponential time",
                        "tokenizer.json",
                        pattern=shown(pattern),
                    )
                )
            stack += node.values()
        elif isinstance(node, list):
            stack += node
    return findings
