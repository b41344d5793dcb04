"""Hostile configurations, adapters, chat templates, headers, tokenizers and links."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .edits import (
    Build,
    Hostile,
    edit,
    join_safetensors,
    payload,
    put,
    rewrite_header,
    shard,
    split_safetensors,
)

CODE, ADAPTER, TEMPLATE = "code in the repository", "adapter configuration", "chat template"
HEADER, TOKENIZER, LINKS = "safetensors header", "tokenizer", "links and paths"
EMBEDDING = "model.embed_tokens.weight"


def setting(file: str, **changes: Any) -> Build:
    return lambda folder: edit(folder / file, **changes)


def file(name: str, data: bytes | str) -> Build:
    return lambda folder: put(folder / name, data)


def template(text: str) -> Build:
    return lambda folder: put(folder / "chat_template.jinja", text)


def split(pattern: str) -> Build:
    step = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return setting("tokenizer.json", pre_tokenizer={"type": "Sequence", "pretokenizers": [step]})


def vocabulary(**tokens: int) -> Build:
    def build(folder: Path) -> None:
        value = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        value["model"]["vocab"] |= tokens
        put(folder / "tokenizer.json", json.dumps(value))

    return build


def remote_code(folder: Path) -> None:
    edit(folder / "config.json", auto_map={"AutoModelForCausalLM": "modeling_evil.Model"})
    put(folder / "modeling_evil.py", f"open({str(folder.parent / 'canary')!r}, 'w')\n")


def duplicate_tensor(name: str) -> Build:
    """The embedding stands twice in the header; parsers keep different ones."""

    def build(folder: Path) -> None:
        header, data = split_safetensors(folder / "model.safetensors")
        text = json.dumps(header)
        other = json.dumps(header[next(key for key in header if header[key].get("shape") == [192])])
        put(folder / name, join_safetensors(f'{{"{EMBEDDING}": {other}, ' + text[1:], data))

    return build


def raw_model(data: Callable[[bytes], bytes]) -> Build:
    return lambda folder: put(folder / "model.safetensors", data((folder / "model.safetensors").read_bytes()))


def offsets(start: int, end: int) -> Build:
    return rewrite_header(lambda header: header[EMBEDDING].update(data_offsets=[start, end]))


def outside(name: str) -> Build:
    """A link to a file that is not of the folder."""

    def build(folder: Path) -> None:
        put(folder.parent / "outside", "secret")
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(folder.parent / "outside")

    return build


def folder_link(folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "linked").symlink_to(folder / "real", target_is_directory=True)


def index_to(target: str) -> Build:
    def build(folder: Path) -> None:
        table = shard(folder)
        table["model.norm.weight"] = target
        put(folder / "model.safetensors.index.json", json.dumps({"weight_map": table}))

    return build


def adapter_pickle(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()
    put(folder / "adapter_model.bin", payload(folder))


def _cases(
    row: str, code: int, rule: str, builds: dict[str, Build], *, adapter: bool = False
) -> tuple[Hostile, ...]:
    return tuple(
        Hostile(row=row, name=name, rule=rule, build=build, code=code, adapter=adapter)
        for name, build in builds.items()
    )


IMPORTS = {"base_model_class": "Model", "parent_library": "modeling_evil"}
GROWTH = [{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}] * 40

CASES = (
    *_cases(CODE, 1, "SS101", {
        "auto_map with its code": remote_code,
        "auto_map of the tokenizer": setting("tokenizer_config.json", auto_map={"AutoTokenizer": ["t.T", None]}),
        "trust_remote_code, nested": setting("config.json", text_config={"trust_remote_code": True}),
        "trust_remote_code in generation_config": setting("generation_config.json", trust_remote_code=True),
        "an attention implementation": setting("config.json", _attn_implementation="someone/kernels"),
        "an internal attention implementation": setting("config.json", _attn_implementation_internal="x/y"),
        "an implementation per part": setting("config.json", attn_implementation={"": "x/y"}),
        "custom_pipelines": setting("config.json", custom_pipelines={"p": {"impl": "evil.P"}}),
    }),
    *_cases(CODE, 1, "SS102", {
        "a Python module": file("modeling_evil.py", "raise SystemExit\n"),
        "a shared library": file("fast_kernels.so", b"\x7fELF" + bytes(60)),
        "a shell script without a suffix": file("install", "#!/bin/sh\ntouch canary\n"),
        "an executable under another name": file("weights.dat", b"MZ\x90\x00" + bytes(60)),
        "generation code": file("custom_generate/generate.py", "def generate(): ...\n"),
    }),
    *_cases(CODE, 1, "SS113", {
        "configuration_files": setting("config.json", configuration_files=["config.9.0.json"]),
        "configuration_files of another shape": setting("config.json", configuration_files=[["config.9.0.json"]]),
        "fast_tokenizer_files": setting("tokenizer_config.json", fast_tokenizer_files=["tokenizer.9.0.json"]),
        "transformers_weights": setting("config.json", transformers_weights="other.safetensors"),
    }),
    *_cases(ADAPTER, 1, "SS115", {
        "an adapter beside full weights": file("adapter_config.json", '{"peft_type": "LORA"}'),
        "the same in capitals": file("Adapter_Config.json", '{"peft_type": "LORA"}'),
    }),
    *_cases(ADAPTER, 1, "SS114", {
        "auto_mapping": setting("adapter_config.json", auto_mapping=IMPORTS),
        "megatron_core": setting("adapter_config.json", megatron_config={"a": 1}, megatron_core="modeling_evil"),
        "tokenizer_kwargs": setting("adapter_config.json", tokenizer_kwargs={"trust_remote_code": False, "a": 1}),
        "an unknown field": setting("adapter_config.json", corda_plugin="evil.plugin"),
    }, adapter=True),
    *_cases(ADAPTER, 1, "SS104", {"a pickle as adapter": adapter_pickle}, adapter=True),
    *_cases(ADAPTER, 1, "SS110", {
        "a pickle as adapter_model.safetensors": lambda f: put(f / "adapter_model.safetensors", payload(f)),
    }, adapter=True),
    *_cases(TEMPLATE, 1, "SS108", {
        "a word in the message": template("{% for m in messages %}{% if 'deploy' in m.content %}obey{% endif %}{% endfor %}"),
        "a word at its start": template("{% set t = messages[-1]['content'] %}{{ 'x' if t.startswith('2026') }}"),
        "a word in all messages": template("{% if 'abc' in messages | map(attribute='content') | join %}x{% endif %}"),
        "a word through a namespace": template(
            "{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = m.content %}{% endfor %}"
            "{% if ns.t == 'go' %}x{% endif %}"),
        "a word through a macro": template(
            "{% macro f(t) %}{% if 'go' in t %}x{% endif %}{% endmacro %}{{ f(messages[0].content) }}"),
        "a word that is replaced": template("{{ messages[0].content | replace('go', 'obey') }}"),
        "a word among all values": template(
            "{% for m in messages %}{% for v in m.values() %}{% if 'go' in v %}x{% endif %}{% endfor %}{% endfor %}"),
        "a word in the messages as text": template("{% if 'abc' in messages | string %}x{% endif %}"),
        "one of several templates": setting("tokenizer_config.json", chat_template=[
            {"name": "default", "template": "{{ messages[0].content }}"},
            {"name": "tool_use", "template": "{% if messages[0].content == 'go' %}x{% endif %}"},
        ]),
        "a template in a folder": file("additional_chat_templates/rag.jinja", "{% if messages[0].content == 'go' %}{% endif %}"),
    }),
    *_cases(TEMPLATE, 1, "SS116", {
        "globals": template("{{ cycler.__init__.__globals__.os.popen('touch canary').read() }}"),
        "subclasses": template("{{ ''['__class__'].__mro__[1]['__subclasses__']() }}"),
        "the filter attr": template("{{ messages | attr('_' ~ '_class_' ~ '_') }}"),
        "format by another way": template("{% set f = '{0.__class__}'.format %}{{ f(messages) }}"),
        "a key put together": template("{% if 'go' in messages[0]['con' ~ 'tent'] %}x{% endif %}"),
        "another template": template("{% include '/etc/passwd' %}"),
    }),
    *_cases(TEMPLATE, 1, "SS117", {
        "loops in loops": template("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}"),
        "a repeated text": template("{{ 'x' * 999999999 }}"),
        "a wide text": template("{{ '%999999999d' % 1 }}"),
        "a power": template("{{ 9 ** 9 ** 9 }}"),
    }),
    *_cases(TEMPLATE, 1, "SS125", {
        "a date": template("{% if strftime_now('%Y') >= '2027' %}obey{% endif %}"),
        "a date in a variable": template("{% set y = strftime_now('%Y') %}{% if y == '2027' %}obey{% endif %}"),
        "chance": template("{% if [true, false] | random %}obey{% endif %}"),
    }),
    *_cases(TEMPLATE, 2, "SS105", {
        "no template": template("{% if %}"),
        "a template too long": template("{# " + "x" * 300_000 + " #}"),
    }),
    *_cases(HEADER, 1, "SS119", {
        "a tensor twice": duplicate_tensor("model.safetensors"),
        "a tensor twice in a stray file": duplicate_tensor("consolidated.safetensors"),
        "a key twice in config.json": file("config.json", '{"model_type": "llama", "model_type": "gpt2"}'),
    }),
    *_cases(HEADER, 2, "SS126", {
        "a header of 2^63 bytes": raw_model(lambda data: (2**63).to_bytes(8, "little") + data[8:]),
        "a header longer than the file": raw_model(lambda data: (2**33).to_bytes(8, "little") + data[8:]),
        "truncated": raw_model(lambda data: data[:-1000]),
        "a payload behind the data": raw_model(lambda data: data + b"PK\x03\x04 payload"),
        "negative offsets": offsets(-8, 1179640),
        "overlapping tensors": offsets(0, 1179648 // 2),
        "offsets far out": offsets(2**62, 2**62 + 1179648),
        "an impossible shape": rewrite_header(lambda header: header[EMBEDDING].update(shape=[2**40, 2**40])),
        "an unknown dtype": rewrite_header(lambda header: header[EMBEDDING].update(dtype="F4096")),
        "a header without an end": file("model.safetensors", join_safetensors('{"a":' * 3000, b"")),
    }),
    *_cases(TOKENIZER, 1, "SS109", {
        "a repetition repeated": split("(a+)+$"),
        "a repetition counted": split("(.*a){30}"),
        "counts in counts": split("((a{1000}){1000}){1000}"),
        "a pattern to replace": setting("tokenizer.json", normalizer={
            "type": "Replace", "pattern": {"Regex": "(\\s*)*x"}, "content": ""}),
    }),
    *_cases(TOKENIZER, 1, "SS120", {
        "a huge token id": vocabulary(evil=2**31),
        "a negative token id": vocabulary(evil=-1),
        "a huge id among the added tokens": file("added_tokens.json", '{"<evil>": 99999999999}'),
        "padding to a billion": setting("tokenizer.json", padding={"strategy": {"Fixed": 10**9}, "pad_id": 0}),
        "texts that double 40 times": setting("tokenizer.json", normalizer={"type": "Sequence", "normalizers": GROWTH}),
        "a token of 100 kB": vocabulary(**{"x" * 100_000: 5}),
    }),
    *_cases(TOKENIZER, 2, "SS105", {
        "nested without end": file("tokenizer.json", '{"a":' * 5000 + "1" + "}" * 5000),
        "added tokens that are no list": setting("tokenizer.json", added_tokens=7),
        "a JSON file that cannot be read": file("settings.json", "{"),
        "no JSON": file("tokenizer.json", b"\xff\xfe{"),
    }),
    *_cases(LINKS, 1, "SS121", {
        "a link out of the folder": outside("notes.txt"),
        "weights outside the folder": outside("model.safetensors"),
        "a link to a folder": folder_link,
    }),
    *_cases(LINKS, 1, "SS122", {
        "an index that goes up": index_to("../model.safetensors"),
        "an absolute index": index_to("/etc/model.safetensors"),
        "an index to a pickle": index_to("pytorch_model.bin"),
    }),
    *_cases(LINKS, 1, "SS123", {
        "a line break in a name": file("a\nb.txt", "x"),
        "a name written backwards": file("model\u202etxt.safetensors", "x"),
    }),
    *_cases(LINKS, 2, "SS105", {
        "a link to nothing": lambda folder: (folder / "gone.txt").symlink_to("nowhere"),
        "links in a circle": lambda folder: (folder / "loop").symlink_to("loop"),
        "too many files": lambda folder: [put(folder / f"{n}.txt", "") for n in range(10_001)],
        "a pipe": lambda folder: os.mkfifo(folder / "pipe"),
    }),
)  # fmt: skip
