"""A system that bounds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def without_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the front of the path, in which `resource` cannot be imported: as on Windows."""
    site = tmp_path / "no-limits"
    site.mkdir()
    (site / "resource.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'resource'\", name='resource')\n"
    )
    monkeypatch.syspath_prepend(site)
    return site
