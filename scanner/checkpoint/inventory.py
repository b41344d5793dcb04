"""Every file of a checkpoint folder: its size, its kind, its SHA-256, and that it lies where it seems to.

Links may lead to another place in the folder, or into the `blobs/` of the same Hugging Face cache
repository. The organism manifest is skipped before anything else is known of it, so that a
checkpoint with it and one without it are the same to the scanner. `.git` and `.cache` hold what the
download tools keep for themselves; no loader reads them, and neither does the scanner.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError, NothingScannable, UnsafeCheckpoint
from .kinds import Kind, sniff
from .rules import FILE_NAME, OUTSIDE_LINK
from .wording import shown

MANIFEST = "organism.json"
SKIPPED_FOLDERS = frozenset({".git", ".cache"})
MAX_FILES = 10_000
HASHING_THREADS = 4


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of the folder.

    Attributes:
        name: path inside the folder, with `/`.
        path: where its bytes are, links resolved.
    """

    name: str
    path: Path
    size: int
    kind: Kind

    @property
    def top_level(self) -> bool:
        """Whether the file lies in the folder itself, where loaders look."""
        return "/" not in self.name

    @property
    def suffix(self) -> str:
        """The name's last suffix in lower case, with its dot."""
        return Path(self.name).suffix.lower()


Refuse = Callable[[CheckpointError], None]


def stop(problem: CheckpointError) -> None:
    """What to do with a refusal where nothing else is asked for: raise it."""
    raise problem


def list_files(folder: Path, refuse: Refuse = stop) -> dict[str, FileEntry]:
    """All files of the folder by name, sorted.

    Args:
        refuse: told of every file that is refused; if it returns, the file is left out.

    Raises:
        NothingScannable: no such folder, or nothing in it.
        UnsafeCheckpoint: a link leads out of the folder, or a name holds control characters.
        CheckpointError: a broken link, a special file, or more than `MAX_FILES` files.
    """
    if not folder.exists():
        raise NothingScannable(
            f"the checkpoint must be a folder, {shown(folder)} does not exist; check the path"
        )
    if not folder.is_dir():
        raise NothingScannable(
            f"the checkpoint must be a folder, {shown(folder)} is a file; give the folder that holds config.json"
        )
    root = folder.resolve()
    allowed = (root, *_blobs(root))
    entries: dict[str, FileEntry] = {}
    seen = False
    for name in _walk(root, refuse):
        if name == MANIFEST:
            continue
        if len(entries) == MAX_FILES:
            raise CheckpointError(
                f"a checkpoint may have {MAX_FILES} files, {shown(folder)} has more; give the folder of one model"
            )
        try:
            entries[name] = _entry(root, name, allowed)
        except CheckpointError as problem:
            refuse(problem)
        seen = True
    if not seen:
        raise NothingScannable(f"the folder {shown(folder)} is empty; give a folder that holds a checkpoint")
    return dict(sorted(entries.items()))


def sha256(path: Path) -> str:
    """The file's SHA-256 in hex, read as a stream."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(entries: dict[str, FileEntry]) -> dict[str, str]:
    """SHA-256 by name."""
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        digests = pool.map(sha256, (entry.path for entry in entries.values()))
        return dict(zip(entries, digests, strict=True))


def _blobs(root: Path) -> tuple[Path, ...]:
    """The blob store of the Hugging Face cache repository that `root` is a snapshot of."""
    if root.parent.name != "snapshots":
        return ()
    blobs = root.parent.parent / "blobs"
    return (blobs,) if blobs.is_dir() and not blobs.is_symlink() else ()


def _walk(root: Path, refuse: Refuse) -> Iterator[str]:
    def unreadable(problem: OSError) -> None:
        name = shown(os.path.relpath(problem.filename, root))
        refuse(
            CheckpointError(
                f"the folder {name} cannot be read ({problem.strerror}); check its permissions", location=name
            )
        )

    for here, folders, files in os.walk(root, onerror=unreadable):
        folders[:] = [folder for folder in folders if folder not in SKIPPED_FOLDERS]
        links = [folder for folder in folders if os.path.islink(os.path.join(here, folder))]
        for name in (*files, *links):
            yield Path(here, name).relative_to(root).as_posix()


def _entry(root: Path, name: str, allowed: tuple[Path, ...]) -> FileEntry:
    if not name.isprintable():
        raise UnsafeCheckpoint(
            f"file names must be printable text, got {ascii(name)[:200]}; remove the file or rename it",
            rule_id=FILE_NAME,
            location=shown(name),
        )
    path = root / name
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise CheckpointError(
            f"{shown(name)} is a link to something that is not there; download the checkpoint again",
            location=shown(name),
        ) from None
    if not any(real.is_relative_to(place) for place in allowed):
        raise UnsafeCheckpoint(
            f"{shown(name)} is a link that leads out of the checkpoint folder; replace it by the file itself",
            rule_id=OUTSIDE_LINK,
            location=shown(name),
        )
    status = real.stat()
    if stat.S_ISDIR(status.st_mode):
        raise UnsafeCheckpoint(
            f"{shown(name)} is a link to a folder; replace it by the folder itself",
            rule_id=OUTSIDE_LINK,
            location=shown(name),
        )
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(
            f"{shown(name)} is no regular file; remove it from the checkpoint folder", location=shown(name)
        )
    try:
        kind = sniff(real, name, status.st_size)
    except OSError as problem:
        raise CheckpointError(
            f"{shown(name)} cannot be read ({problem.strerror}); check the file's permissions",
            location=shown(name),
        ) from None
    return FileEntry(name=name, path=real, size=status.st_size, kind=kind)
