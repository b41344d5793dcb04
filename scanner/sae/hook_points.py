"""Where in a model a dictionary reads, in one vocabulary, from the names that the formats use.

`resid_pre`, `resid_mid`, `resid_post` are the residual stream before, inside and behind a block;
`mlp_in`, `mlp_out`, `attn_out` what a part of it takes and gives; `attn_heads` the heads side by side
before the output projection; `embed` the embedding.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_BLOCK = r"\bblocks\.(\d{1,4})\."
_LAYER = r"\b(?:layers|h|blocks)[._](\d{1,4})(?!\d)"
_NAMES: tuple[tuple[str, str], ...] = (
    # TransformerLens
    (_BLOCK + r"hook_resid_(?:post)$", "resid_post"),
    (_BLOCK + r"hook_resid_pre$", "resid_pre"),
    (_BLOCK + r"hook_resid_mid$", "resid_mid"),
    (_BLOCK + r"(?:hook_mlp_in|mlp\.hook_in|ln2\.hook_normalized)$", "mlp_in"),
    (_BLOCK + r"(?:hook_mlp_out|mlp\.hook_out)$", "mlp_out"),
    (_BLOCK + r"(?:hook_attn_out|attn\.hook_out)$", "attn_out"),
    (_BLOCK + r"attn\.hook_z$", "attn_heads"),
    # Hugging Face modules, with what of them is read
    (_LAYER + r"(?:\.output)?$", "resid_post"),
    (_LAYER + r"\.(?:mlp\.input|pre_feedforward_layernorm\.output)$", "mlp_in"),
    (_LAYER + r"\.(?:mlp(?:\.output)?|post_feedforward_layernorm\.output)$", "mlp_out"),
    (_LAYER + r"\.(?:self_attn|attn|attention)(?:\.output)?$", "attn_out"),
    (_LAYER + r"\.self_attn\.o_proj\.input$", "attn_heads"),
    # dictionary_learning, and our own
    (r"^resid_post(?:_layer_(\d{1,4}))?$", "resid_post"),
    (r"^mlp_out(?:_layer_(\d{1,4}))?$", "mlp_out"),
    (r"^att(?:ention|n)_out(?:_layer_(\d{1,4}))?$", "attn_out"),
    (r"(?:hook_embed|embed_tokens)$", "embed"),
)


class Place(NamedTuple):
    """A hook point: `site` "" where the name is not known, `layer` None where it names none."""

    site: str
    layer: int | None


def place(hook: str) -> Place:
    """What a hook name means.

    >>> place("blocks.12.hook_resid_post")
    Place(site='resid_post', layer=12)
    >>> place("layers.3.mlp")
    Place(site='mlp_out', layer=3)
    >>> place("somewhere")
    Place(site='', layer=None)
    """
    for pattern, site in _NAMES:
        found = re.search(pattern, hook)
        if found:
            layer = found[1] if found.re.groups else None
            return Place(site, None if layer is None else int(layer))
    numbered = re.search(_LAYER, hook)
    return Place("", int(numbered[1]) if numbered else None)
