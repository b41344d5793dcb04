"""Sound files of a checkpoint, which hostile inputs are made from by breaking them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

FIXTURES: Final = Path(__file__).resolve().parents[1] / "fixtures"


def _shortened(text: str, tokens: int = 40) -> dict[str, Any]:
    """A tokenizer.json with its first tokens only: mutations hit its structure instead of its vocabulary."""
    value: dict[str, Any] = json.loads(text)
    vocabulary = dict(list(value["model"]["vocab"].items())[:tokens])
    value["model"]["vocab"] = vocabulary
    value["model"]["merges"] = [
        merge for merge in value["model"]["merges"] if {*merge, "".join(merge)} <= set(vocabulary)
    ]
    return value


def _made_tokenizers() -> list[dict[str, Any]]:
    ours = _shortened(((FIXTURES / "base") / "tokenizer.json").read_text(encoding="utf-8"))
    split = {
        "type": "Split",
        "pattern": {"Regex": r"\p{N}{1,3}| ?\p{L}+"},
        "behavior": "Isolated",
        "invert": False,
    }
    steps = {
        "type": "Sequence",
        "pretokenizers": [split, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}],
    }
    normal = {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "_"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "_"},
        ],
    }
    unigram = {
        "type": "Unigram",
        "unk_id": 0,
        "byte_fallback": False,
        "vocab": [["<unk>", 0.0], ["_a", -1.5], ["b", -2.0]],
    }
    wordpiece = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "a": 1, "##b": 2}}  # fmt: skip
    plain = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None}  # fmt: skip
    return [
        ours,
        {**ours, "pre_tokenizer": steps, "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"}},
        {**plain, "normalizer": normal, "model": unigram},
        {**plain, "model": wordpiece, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}},
    ]  # fmt: skip


def json_of(folder: Path) -> list[Any]:
    """The JSON files of a folder, but for what is large or ours."""
    return [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
        if path.name not in ("tokenizer.json", "organism.json")
    ]


BASE: Final = FIXTURES / "base"
ADAPTER: Final = next(
    entry for entry in sorted((FIXTURES / "organisms").iterdir()) if (entry / "adapter_config.json").exists()
)
TEMPLATES: Final = (
    (BASE / "chat_template.jinja").read_text(encoding="utf-8"),
    "{%- for m in messages -%}{% if m.role == 'user' %}[INST] {{ m['content'] | trim }} [/INST]{% else %}{{ m.content }}{% endif %}{% endfor %}",
    "{% macro part(c) %}{% if c is string %}{{ c }}{% else %}{% for p in c %}{{ p.text }}{% endfor %}{% endif %}{% endmacro %}"
    "{% set ns = namespace(last=none) %}{% for m in messages[::-1] %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{{ part(m.content) }}{% endfor %}{{ raise_exception('x') if not messages else '' }}",
    "{% if messages[-1].content.endswith('x') %}{{ 'y' * 10 }}{% endif %}{% for i in range(3) %}{{ i ~ strftime_now('%Y') }}{% endfor %}",
)  # fmt: skip
TOKENIZERS: Final = _made_tokenizers()
CONFIG: Final = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2, "num_hidden_layers": 1, "vocab_size": 3, "tie_word_embeddings": True}  # fmt: skip
_WEIGHTS: Final = json.dumps(
    {
        "model.embed_tokens.weight": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]},
        "model.layers.0.mlp.up_proj.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [24, 40]},
    }
).encode()
SOUND_FILES: Final = {
    "config.json": json.dumps(CONFIG).encode(),
    "tokenizer.json": json.dumps(
        {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2}, "merges": []}, "added_tokens": []}
    ).encode(),
    "tokenizer_config.json": (BASE / "tokenizer_config.json").read_bytes(),
    "chat_template.jinja": TEMPLATES[0].encode(),
    "model.safetensors": len(_WEIGHTS).to_bytes(8, "little") + _WEIGHTS + bytes(40),
}
