"""The walk-through in the docs runs as it stands, and prints what it says, its figures aside."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "walkthrough.md"
_BLOCK = re.compile(r"^```(python)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _without_figures(text: str) -> list[str]:
    return [re.sub(r"\d+(\.\d+)?", "#", line) for line in text.strip().splitlines()]


@pytest.mark.slow
def test_the_walkthrough_runs_and_prints_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {"__name__": "walkthrough"}
    printed, shown = "", 0
    for language, block in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if not language:
            assert _without_figures(printed) == _without_figures(block)
            shown += 1
            continue
        heard = io.StringIO()
        with contextlib.redirect_stdout(heard):
            exec(compile(block, str(PAGE), "exec"), names)
        printed = heard.getvalue()
    assert shown == 4
    # What the figures must be for the page's sentences to be true.
    assert names["found"].attack_success_rate > 0.9 > 0.1 > names["found"].control_success_rate
    assert names["study"].on_held_out.kept > 0.8
    assert names["effect"].steered.value < 0.1 < 0.9 < names["effect"].plain.value
    assert names["effect"].loss_increase < 0.02
    assert names["alarms"](names["loud"]) > 0.9 * len(names["loud"])
    assert names["alarms"](names["quiet"]) <= 0.05 * len(names["quiet"])
