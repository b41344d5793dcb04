"""Hostile pickles, archives, arrays and foreign formats."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

from .edits import Build, Call, Hostile, archive, calling, command, payload, put

PICKLE, DISGUISE, BOMB = "pickle code execution", "wrong extension, broken archives", "bombs, traversal"
NPZ, HDF5, OTHER = ".npz", "HDF5 as input", "GGUF, Keras, ONNX"
NPY_HEAD = b"\x93NUMPY\x01\x00"


def beside(name: str, data: Callable[[Path], bytes] | bytes) -> Build:
    """Lay a file beside the sound weights, or in place of what has its name."""
    return lambda folder: put(folder / name, data if isinstance(data, bytes) else data(folder))


def instead(name: str, data: Callable[[Path], bytes]) -> Build:
    """Lay a file in place of the weights."""

    def build(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        put(folder / name, data(folder))

    return build


def saved_by_torch(value: Callable[[Path], object], *, legacy: bool = False) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        buffer = io.BytesIO()
        torch.save(value(folder), buffer, _use_new_zipfile_serialization=not legacy)
        return buffer.getvalue()

    return make


def system(folder: Path) -> object:
    import os

    return {"state": Call(os.system, command(folder))}


def in_zip(folder: Path) -> bytes:
    return archive({"model/data.pkl": payload(folder), "model/version": b"3"})


def through_memo(folder: Path) -> bytes:
    """The module's name comes out of the memo, past a number."""
    text = command(folder).encode()
    return (
        b"\x80\x04\x8c\x02os\x940K\x010h\x00\x8c\x06system\x93"
        + b"\x8c" + bytes([len(text)]) + text + b"\x85R."
    )  # fmt: skip


def nested(folder: Path) -> bytes:
    return pickle.dumps(Call(pickle.loads, payload(folder)))


def wrong_checksum(folder: Path) -> bytes:
    data = bytearray(in_zip(folder))
    at = data.index(b"PK\x01\x02") + 16
    data[at] ^= 0xFF
    return bytes(data)


def other_local_name(folder: Path) -> bytes:
    return in_zip(folder).replace(b"model/data.pkl", b"model/data.txt", 1)


def marked_encrypted(folder: Path) -> bytes:
    data = bytearray(in_zip(folder))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def member_twice(folder: Path) -> bytes:
    data = archive({"a/data.pkl": pickle.dumps([1]), "b/data.pkl": payload(folder)})
    return data.replace(b"b/data.pkl", b"a/data.pkl")


def two_archives(folder: Path) -> bytes:
    return archive({"data.pkl": pickle.dumps([1])}) + in_zip(folder)


def link_member(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        link = zipfile.ZipInfo("data")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    return buffer.getvalue()


def tar(name: str) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as file:
            info = tarfile.TarInfo(name)
            data = payload(folder)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
        return buffer.getvalue()

    return make


def objects(folder: Path) -> bytes:
    head = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    return NPY_HEAD + len(head).to_bytes(2, "little") + head + payload(folder)


def _cases(row: str, code: int, rule: str, builds: dict[str, Build]) -> tuple[Hostile, ...]:
    return tuple(
        Hostile(row=row, name=name, rule=rule, build=build, code=code) for name, build in builds.items()
    )


CASES = (
    *_cases(PICKLE, 1, "SS104", {
        "only a .bin": instead("pytorch_model.bin", payload),
        "only a .bin by torch": instead("pytorch_model.bin", saved_by_torch(system)),
        "training_args.bin, protocol 0": beside("training_args.bin", lambda f: payload(f, 0)),
        "optimizer.pt by torch": beside("optimizer.pt", saved_by_torch(system)),
        "optimizer.pt in torch's old format": beside("optimizer.pt", saved_by_torch(system, legacy=True)),
        "scheduler.pt, protocol 4": beside("scheduler.pt", lambda f: payload(f, 4)),
        "rng_state.pth, protocol 5": beside("rng_state.pth", lambda f: payload(f, 5)),
        "weights.ckpt, exec": beside("weights.ckpt", calling("builtins", "exec", "open('canary','w')")),
        "model.joblib, eval of Python 2": beside("model.joblib", calling("__builtin__", "eval", "1")),
        "state.dill, runpy": beside("state.dill", calling("runpy", "run_path", "canary.py")),
        "state.pkl, webbrowser": beside("state.pkl", calling("webbrowser", "open", "http://localhost")),
        "module's name from the memo": beside("state.pkl", through_memo),
        "a pickle in a pickle": beside("state.pkl", nested),
        "breaks off behind the call": beside("state.pkl", lambda f: payload(f)[:-1] + b"\xff\xff"),
        "second of two pickles": beside("state.pkl", lambda f: pickle.dumps([1]) + payload(f)),
        "deep in a folder": beside("checkpoint-500/rng_state_0.pth", payload),
    }),
    *_cases(PICKLE, 1, "SS103", {
        "only a .bin that looks harmless": instead("pytorch_model.bin", lambda _: pickle.dumps({"a": 1})),
    }),
    *_cases(PICKLE, 1, "SS111", {
        "a function on no list": beside("state.pkl", calling("distutils.spawn", "spawn", "touch canary")),
        "a module of the folder": beside("state.pkl", calling("modeling_evil", "Model", "x")),
    }),
    *_cases(PICKLE, 2, "SS105", {"a million instructions": beside("state.pkl", b"\x80\x02" + b"N0" * 600_000 + b"N.")}),
    *_cases(DISGUISE, 1, "SS110", {
        "a pickle as model.safetensors": beside("model.safetensors", payload),
        "an archive as model.safetensors": beside("model.safetensors", in_zip),
        "a pickle as config.json": beside("config.json", lambda f: payload(f, 4)),
        "a pickle as tokenizer.json": beside("tokenizer.json", payload),
        "an archive as generation_config.json": beside("generation_config.json", in_zip),
    }),
    *_cases(DISGUISE, 1, "SS104", {
        "a pickle as notes.txt": beside("notes.txt", payload),
        "a broken bare pickle as README.md": beside("README.md", lambda f: payload(f, 0)[:-1] + b"\xff"),
        "an archive as image.png": beside("image.png", in_zip),
        "a bare pickle with another name in an archive": beside("a.zip", lambda f: archive({"x": payload(f, 0)})),
        "a checksum that is wrong": beside("optimizer.pt", wrong_checksum),
    }),
    *_cases(DISGUISE, 1, "SS112", {
        "a member with two names": beside("optimizer.pt", other_local_name),
        "a member twice": beside("optimizer.pt", member_twice),
        "one archive behind another": beside("optimizer.pt", two_archives),
        "a link in an archive": beside("optimizer.pt", link_member),
    }),
    *_cases(DISGUISE, 1, "SS102", {
        "code in an archive": beside("extra.zip", archive({"setup.py": b"import os\n"})),
    }),
    *_cases(DISGUISE, 2, "SS105", {
        "an archive in an archive": beside("a.zip", lambda f: archive({"b.zip": in_zip(f)})),
        "a truncated archive": beside("optimizer.pt", lambda f: in_zip(f)[:60]),
        "an archive marked encrypted": beside("optimizer.pt", marked_encrypted),
        "a 7z archive": beside("optimizer.pt", b"7z\xbc\xaf\x27\x1c" + bytes(50)),
        "a .pt of noise": beside("optimizer.pt", b"\x01\x02\x03\x00 noise"),
        "a compressed pickle": beside("model.joblib", lambda f: gzip.compress(payload(f))),
    }),
    *_cases(BOMB, 2, "SS105", {
        "a zip bomb": beside("a.zip", archive({"data.pkl": bytes(20_000_000)}, deflate=True)),
        "a tar with a way out": beside("a.tar", tar("../../canary")),
        "a tar as .pt": beside("optimizer.pt", tar("data.pkl")),
        "a gzip bomb": beside("a.gz", gzip.compress(bytes(20_000_000))),
    }),
    *_cases(BOMB, 1, "SS112", {
        "a zip with a way out": beside("a.zip", archive({"../../canary": b"x"})),
        "a zip with an absolute name": beside("a.zip", archive({"/tmp/canary": b"x"})),
        "a zip with a way out for Windows": beside("a.zip", archive({"..\\..\\canary": b"x"})),
    }),
    *_cases(NPZ, 1, "SS124", {
        "an object array": beside("vectors.npy", objects),
        "an object array in .npz": beside("vectors.npz", lambda f: archive({"a.npy": objects(f)})),
    }),
    *_cases(NPZ, 1, "SS104", {"a pickle as .npz": beside("vectors.npz", payload)}),
    *_cases(NPZ, 2, "SS105", {"an array header without an end": beside("v.npy", NPY_HEAD + b"\xff\xff{'descr'")}),
    *_cases(HDF5, 2, "SS106", {
        "an .h5 beside": beside("tf_model.h5", b"\x89HDF\r\n\x1a\n" + bytes(100)),
        "HDF5 under another name": beside("cache.dat", b"\x89HDF\r\n\x1a\n" + bytes(100)),
    }),
    *_cases(OTHER, 2, "SS106", {
        "GGUF beside": beside("model.gguf", b"GGUF\x03\x00\x00\x00"),
        "GGUF under another name": beside("readme.bin", b"GGUF\x03\x00\x00\x00"),
        "ONNX beside": beside("onnx/model.onnx", b"\x08\x07\x12\x00"),
        "Keras beside": beside("model.keras", archive({"config.json": b'{"class_name": "Lambda"}'})),
        "a TensorFlow graph beside": beside("saved_model.pb", b"\x08\x01\x12\x00"),
    }),
)  # fmt: skip
