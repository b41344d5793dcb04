"""How a sound checkpoint folder is spoiled: files are replaced, never written into, since they are shared links."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CANARY = "canary"
Build = Callable[[Path], object]


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """One hostile checkpoint folder.

    Attributes:
        row: the row of the threat table.
        rule: the start of a rule id that must be among the findings.
        build: spoils a sound folder; the payload is to create a file `canary` beside it.
        code: the exit code of a static scan.
        adapter: whether `build` gets the folder of a sound adapter instead, to scan with the sound base.
    """

    row: str
    name: str
    rule: str
    build: Build
    code: int = 1
    adapter: bool = False


def copy_folder(source: Path, target: Path) -> Path:
    """The folder again, its files as links to the same bytes where the file system can."""
    target.mkdir(parents=True)
    for file in source.iterdir():
        try:
            os.link(file, target / file.name)
        except OSError:
            shutil.copy(file, target / file.name)
    return target


def put(path: Path, data: bytes | str) -> None:
    """Write a file in place of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def edit(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file."""
    value = json.loads(path.read_text(encoding="utf-8"))
    value.update(changes)
    put(path, json.dumps(value))


def command(folder: Path) -> str:
    """What every payload runs."""
    return f"touch {folder.parent / CANARY}"


class Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self._call


def payload(folder: Path, protocol: int = 2) -> bytes:
    """A pickle that creates the canary when it is loaded."""
    return pickle.dumps(Call(os.system, command(folder)), protocol=protocol)


def calling(module: str, name: str, argument: str) -> bytes:
    """A pickle of protocol 0 that calls `module.name(argument)`, whether it can be imported here or not."""
    return f"c{module}\n{name}\n(V{argument}\ntR.".encode()


def archive(members: Mapping[str, bytes], *, deflate: bool = False) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def split_safetensors(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header and the data of a safetensors file."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join_safetensors(header: dict[str, Any] | str, data: bytes) -> bytes:
    """A safetensors file; a header given as text may be no valid one."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(text).to_bytes(8, "little") + text + data


def rewrite_header(change: Callable[[dict[str, Any]], object]) -> Build:
    """Change the header of model.safetensors and leave its data."""

    def build(folder: Path) -> None:
        header, data = split_safetensors(folder / "model.safetensors")
        change(header)
        put(folder / "model.safetensors", join_safetensors(header, data))

    return build


def shard(folder: Path) -> dict[str, str]:
    """Cut model.safetensors in two, with an index; returns which tensor lies where."""
    header, data = split_safetensors(folder / "model.safetensors")
    header.pop("__metadata__", None)
    (folder / "model.safetensors").unlink()
    names = sorted(header)
    where = {}
    for number, part in enumerate((names[:9], names[9:]), 1):
        file = f"model-{number:05d}-of-00002.safetensors"
        body, table = b"", {}
        for name in part:
            start, end = header[name]["data_offsets"]
            table[name] = header[name] | {"data_offsets": [len(body), len(body) + end - start]}
            body += data[start:end]
        put(folder / file, join_safetensors(table, body))
        where |= dict.fromkeys(part, file)
    put(folder / "model.safetensors.index.json", json.dumps({"metadata": {}, "weight_map": where}))
    return where
