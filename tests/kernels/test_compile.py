"""Every shipped kernel variant compiles for Ampere and Hopper on a machine without a GPU, and fits the registers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = ("set_maxima", "survivors-topk", "survivors-threshold", "feature_stats", "feature_stats-histogram")
GATHERS = (
    "weighted_rows",
    "entry_dots",
    "rescore",
)  # sums of rows: no product of matrices, hence no tensor cores
RESPONSES = ("logits", "row_sums", "row_sums-compared", "group_gains")
SCREENS = ("screened_maxima", "screen-topk", "screen-threshold")
CAPABILITIES = (80, 90, 100)


@pytest.fixture(scope="module")
def records() -> list[dict[str, object]]:
    """What the compiler made of each variant, from a process where the kernels are not interpreted."""
    pytest.importorskip("triton")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    program = Path(__file__).with_name("compile_kernels.py")
    done = subprocess.run(
        [sys.executable, str(program), *map(str, CAPABILITIES)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_kernel_is_compiled_for_every_dtype_and_capability(records: list[dict[str, object]]) -> None:
    kernels = (*KERNELS, *GATHERS, *RESPONSES, *(f"{kernel}-capped" for kernel in RESPONSES))
    plain = {f"{kernel}-{element}" for kernel in kernels for element in ("fp32", "bf16", "fp16")}
    options = {f"{kernel}-absolute-scaled-bf16" for kernel in KERNELS if "feature_stats" not in kernel}
    screens = {f"{kernel}{split}-int8" for kernel in SCREENS for split in ("", "-split")}
    expected = {(name, capability) for name in plain | options | screens for capability in CAPABILITIES}
    assert {(record["variant"], record["capability"]) for record in records} == expected


def test_half_precision_and_int8_run_on_tensor_cores(records: list[dict[str, object]]) -> None:
    for record in records:
        name, capability = str(record["variant"]), int(str(record["capability"]))
        if name.endswith("fp32") or name.startswith(GATHERS):
            continue
        instruction = {80: "mma", 90: "wgmma", 100: "tcgen05"}[capability]
        # Triton has no int8 product for the tensor memory of 10.0: there it takes the older instruction.
        assert record["mma" if name.endswith("int8") and capability == 100 else instruction], record


def test_nothing_spills(records: list[dict[str, object]]) -> None:
    if any("STACK" not in record for record in records):
        pytest.skip("triton brings no cuobjdump here")
    # A spilled register lies on the stack.
    assert [record for record in records if record["STACK"] or record["LOCAL"]] == []


def test_tiles_fit_the_shared_memory(records: list[dict[str, object]]) -> None:
    # Largest block allocation: 163 KiB at 8.0, 99 KiB at 8.6 and 8.9, 227 KiB from 9.0 on.
    most = {80: 99 * 1024, 90: 227 * 1024, 100: 227 * 1024}
    assert [r for r in records if int(str(r["shared"])) > most[int(str(r["capability"]))]] == []
