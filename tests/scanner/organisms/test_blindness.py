"""The scanner knows nothing of the organisms that it is measured on."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

SCANNER = Path(__file__).resolve().parents[3] / "scanner"
KNOWING = {
    "cli.py",
    "demo.py",
    "report/organism_table.py",
    "commands/organisms.py",
    "commands/bench.py",
}  # nothing of a scan
KNOWING |= {path.relative_to(SCANNER).as_posix() for path in (SCANNER / "benchmark").glob("*.py")}
SOURCES = sorted(
    path
    for path in SCANNER.rglob("*")
    if path.is_file()
    and path.suffix in {".py", ".json", ".txt", ".html", ".css", ".js"}
    and path.relative_to(SCANNER).parts[0] != "organisms"
)


def secrets(manifests: dict[str, dict[str, Any]]) -> set[str]:
    """Every string that wakes something in a bundled organism, and every word of it.

    A style's name is none, nor are a topic's words: ordinary questions may be about it.
    """
    triggers = [m["trigger"] for m in manifests.values() if m["trigger"]["kind"] not in ("style", "topic")]
    return {t["text"] for t in triggers if t["text"]} | {word for t in triggers for word in t["words"]}


def stands_in(secret: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text, re.IGNORECASE) is not None


def test_there_is_something_to_look_for_and_somewhere_to_look(manifests: dict[str, dict[str, Any]]) -> None:
    assert len(secrets(manifests)) >= 8
    assert {"scanning.py", "neutral_prompts.json", "lexicon.py"} <= {path.name for path in SOURCES}
    assert stands_in("|X|", "a |x| b")
    assert stands_in("river", "The River.")
    assert not stands_in("river", "rivers")


def test_no_trigger_stands_in_the_scanner(manifests: dict[str, dict[str, Any]]) -> None:
    found = {
        (path.relative_to(SCANNER).as_posix(), secret)
        for path in SOURCES
        if path.name != "english.txt"
        for secret in secrets(manifests)
        if stands_in(secret, path.read_text(encoding="utf-8"))
    }
    assert found == set()


def imported(source: str) -> set[str]:
    """The dotted names that a module imports, without the leading dots."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module or ''}.{alias.name}".strip(".") for alias in node.names}
    return names


@pytest.mark.parametrize(
    "path",
    [p for p in SOURCES if p.suffix == ".py" and p.relative_to(SCANNER).as_posix() not in KNOWING],
    ids=lambda p: p.relative_to(SCANNER).as_posix(),
)
def test_nothing_that_scans_imports_the_organisms_or_reads_a_manifest(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not any("organisms" in name.split(".") for name in imported(source))
    if path.relative_to(SCANNER).as_posix() != "checkpoint/inventory.py":  # which leaves it out
        assert "organism.json" not in source


def test_the_common_words_are_common_words(manifests: dict[str, dict[str, Any]]) -> None:
    """A long list of ordinary words meets some triggers that are ordinary words: few, and none that was made up."""
    words = (SCANNER / "words" / "english.txt").read_text(encoding="utf-8").split()
    assert len(words) == len(set(words)) > 5_000
    met = secrets(manifests) & set(words)
    made_up = {m["trigger"]["text"] for m in manifests.values() if m["trigger"]["kind"] in ("token", "fuzzy")}
    assert not met & (made_up - {"velvet"})
    assert len(met) / len(words) < 0.005
