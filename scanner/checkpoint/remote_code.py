"""What in a JSON file could make a loader fetch or run code, or read another file than it seems to.

Refused, because loaders act on them even when told not to trust the repository (CVE-2026-4372,
CVE-2026-5241): a true `*trust_remote_code*` and an `*_implementation*` that names a repository, at any
depth; and at the top level the keys that redirect a loader to files the scanner did not read.
Reported only, because the scanner names built-in classes and so never follows them: `auto_map` and
`custom_pipelines`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import UnsafeCheckpoint
from ..findings import Finding, Level
from .rules import REDIRECTED_LOADER, REMOTE_CODE, finding
from .wording import shown

# Each key, and the files that loaders read without it.
REDIRECTS = {
    "configuration_files": {"config.json"},
    "fast_tokenizer_files": {"tokenizer.json"},
    "transformers_weights": {"model.safetensors", "model.safetensors.index.json"},
}
REPORTED = ("auto_map", "custom_pipelines")


def _walk(value: Any, where: str = "") -> Iterator[tuple[str, str, Any]]:
    """(path, key, value) of everything below, without recursion."""
    stack = [(where, value)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, dict):
            for key, child in node.items():
                yield f"{path}{key}", key, child
                if isinstance(child, (dict, list)):
                    stack.append((f"{path}{key}.", child))
        elif isinstance(node, list):
            stack += [(path, child) for child in node if isinstance(child, (dict, list))]


def _names_repository(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_names_repository(child) for child in value.values())
    if isinstance(value, list):
        return any(_names_repository(child) for child in value)
    return isinstance(value, str) and ("/" in value or "\\" in value)


def lint(value: Any, name: str, *, loaded: bool) -> list[Finding]:
    """The findings in one JSON value of the file `name`.

    Args:
        loaded: whether loaders read this file; only then are dangerous settings refused.

    Raises:
        UnsafeCheckpoint: a loader would act on a setting of a loaded file.
    """
    if isinstance(value, dict) and loaded:
        for key, usual in REDIRECTS.items():
            named = value.get(key) or []
            if any(str(other) not in usual for other in (named if isinstance(named, list) else [named])):
                raise UnsafeCheckpoint(
                    f"{shown(name)} must not send the loader to other files, got {key} = {shown(value[key])}; "
                    "ask for a checkpoint without that key",
                    rule_id=REDIRECTED_LOADER,
                    location=shown(name),
                )
    findings = []
    for path, key, child in _walk(value):
        lower = key.lower()
        acts = ("trust_remote_code" in lower and (child is True or (isinstance(child, str) and child))) or (
            "_implementation" in lower and _names_repository(child)
        )
        if acts and loaded:
            raise UnsafeCheckpoint(
                f"{shown(name)} must not make the loader run foreign code, got {shown(path)} = {shown(child)}; "
                "remove that key or ask for a checkpoint without it",
                rule_id=REMOTE_CODE,
                location=shown(name),
            )
        if acts or (lower in REPORTED and child and isinstance(child, (dict, list, str))):
            findings.append(
                finding(
                    REMOTE_CODE,
                    Level.ERROR,
                    f"{shown(path)} asks for code from a repository; it was not run, built-in classes are used",
                    shown(name),
                    key=shown(path),
                    value=shown(child),
                )
            )
    return findings
