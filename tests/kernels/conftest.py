"""Where the Triton kernels run in these tests: on the GPU if there is one, else interpreted on the CPU.

The interpreter is chosen when a kernel is decorated, so this happens before any test module imports one.
"""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest
import torch

# Triton decides for its own functions when it is imported; `transformers` imports it, too.
TOO_LATE = "triton" in sys.modules and os.environ.get("TRITON_INTERPRET") != "1"
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture
def triton_device() -> str:
    """The device whose tensors the Triton implementation takes here."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed")
    if torch.cuda.is_available():
        return "cuda"
    if TOO_LATE:
        pytest.fail(
            "triton was imported before its interpreter could be chosen; "
            "name tests/kernels first, or set TRITON_INTERPRET=1"
        )
    return "cpu"


@pytest.fixture(params=["reference", "cpu", "triton"])
def implementation(request: pytest.FixtureRequest) -> str:
    """Every implementation in turn; the device for it is `device`."""
    return str(request.param)


@pytest.fixture
def device(implementation: str, request: pytest.FixtureRequest) -> str:
    """The device that the implementation runs on."""
    return str(request.getfixturevalue("triton_device")) if implementation == "triton" else "cpu"


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh memory holds NaN or a huge number instead of a lucky zero, so that an unwritten output shows."""
    empty, empty_like = torch.empty, torch.empty_like

    def poison(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype == torch.bool:
            return tensor.fill_(True)
        return tensor.fill_(
            float("nan") if tensor.is_floating_point() else torch.iinfo(tensor.dtype).max // 2
        )

    monkeypatch.setattr(torch, "empty", lambda *a, **k: poison(empty(*a, **k)))
    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: poison(empty_like(*a, **k)))
