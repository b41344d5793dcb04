"""How long a scan takes, foretold: the rows its searches plan, times what a row costs on this machine.

Rows are counted with the checkpoint's own tokenizer and the searches' own sizes. What a row costs is measured on a
stand-in of the model's shape with made-up weights: all layers of a small model, one and two layers of a large one,
whose difference is a layer. Training of dictionaries is timed for a few steps. What depends on what is found cannot be
counted: a trigger that is found early ends the searches, each candidate costs a verification. How far this is off is
in docs/large_checkpoints.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import ceil
from typing import NamedTuple, cast

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from .checkpoint import Checkpoint
from .config import Budget
from .explaining import RECIPE
from .model.candidate import Atom
from .model.generation import continuations
from .model.loading import LoadedModel
from .model.own_answers import SHORT
from .model.parallel import SMALL, threads_for, workers_for
from .model.prompts import bundled_prompts, placements_of
from .model.responses import Panel
from .model.subject import MORE_SAMPLES, SAMPLE_TOKENS, SAMPLES_OF, Subject
from .planned_tokens import (
    panel_tokens,
    planned_tokens,
    tokens_beside_a_base,
    tokens_without_a_base,
)
from .sae.trainer import train_sae

ENOUGH = 1.0  # seconds of a measurement
MOST_ROWS, PASS_TOKENS = 256, 24  # of a measured pass
TRIED_STEPS, DECODED = 8, 8  # steps of training, tokens of generation that are timed
# What a search reads again to confirm and to cut, beside its planned rows: measured on the bundled base.
AGAIN = 1.05
# Tokens of one verification, an estimate, and how much dearer they are than a search's, since few rows share a pass: measured.
VERIFIED_TOKENS, VERIFIED_DEARER = 5_500, 2.2


class Forecast(NamedTuple):
    """Seconds on this machine.

    Attributes:
        searches: all of them, where nothing is found.
        beside: samples, and the training of dictionaries. Hashing, loading and comparing weights are left out: on a
            large model they are little beside the searches.
        each: of every candidate that is put through verification.
    """

    searches: float
    beside: float
    each: float

    @property
    def total(self) -> float:
        """Of a scan that finds nothing."""
        return self.searches + self.beside


class _Cost(NamedTuple):
    """Seconds of a token that is read in a search's pass, and of one that is written."""

    read: float
    written: float


def foretell(
    checkpoint: Checkpoint,
    budget: Budget,
    *,
    with_base: bool,
    dtype: torch.dtype,
    device: str,
    trained: int | None = None,
) -> Forecast:
    """The seconds of a scan.

    Args:
        trained: layers that a dictionary is trained for; None for those that a scan chooses.

    Raises:
        Exception: whatever transformers raises on a configuration that it cannot build.
    """
    depth = _depth(checkpoint)
    small = checkpoint.parameters <= SMALL
    loaded = _stand_in(checkpoint, depth if small else 1, dtype, device)
    with threads_for(loaded.workers):
        cost = _cost(loaded, budget, small=small)
        if not small and depth > 1:
            del loaded  # one stand-in at a time: the embedding of a large vocabulary is most of it
            loaded = _stand_in(checkpoint, 2, dtype, device)
            deeper = _cost(loaded, budget, small=False)
            cost = _Cost(*(a + (depth - 1) * max(0.0, b - a) for a, b in zip(cost, deeper, strict=True)))
        subject = _subject(loaded)
        tokens = planned_tokens(subject, budget)
        tokens += (tokens_beside_a_base if with_base else tokens_without_a_base)(subject, budget)
        searches = AGAIN * cost.read * tokens
        samples = SAMPLES_OF[budget] * (1 if loaded.has_chat_template else 1 + MORE_SAMPLES)
        beside = samples * SAMPLE_TOKENS * cost.written
        beside += _dictionaries(loaded, budget, layers=min(3, depth) if trained is None else trained)
    return Forecast(searches, beside, VERIFIED_DEARER * VERIFIED_TOKENS * cost.read)


def _subject(loaded: LoadedModel) -> Subject:
    prompts = replace(bundled_prompts(), chat=loaded.has_chat_template)
    return Subject(
        loaded=loaded, prompts=prompts, search=prompts.prompts[::3], held_out=(), samples=(), seed=0,
        placements=placements_of(loaded, prompts),
    )  # fmt: skip


def _cost(loaded: LoadedModel, budget: Budget, *, small: bool) -> _Cost:
    """Of a small model by the searches' own passes, of a large one by plain ones: a few rows of it take seconds."""
    if not small:
        whole, single = (partial(_pass, loaded, width=width) for width in (PASS_TOKENS, 1))
        return _Cost(
            _seconds_each(whole, most=MOST_ROWS),
            _seconds_each(single, most=min(MOST_ROWS, SAMPLES_OF[budget])),
        )
    subject = _subject(loaded)
    place = subject.prompts.words_place
    panel = Panel(subject.own, subject.panel_prompts(9), place)
    atom = Atom(text="", ids=tuple(range(12)))

    def read(count: int) -> int:
        panel.respond([atom.ids] * count)
        return panel_tokens(subject, place, [(atom,)] * count, 9)

    def write(count: int) -> int:
        rows = [list(loaded.start)] * min(count, SAMPLES_OF[budget])
        continuations(loaded.model, rows, new_tokens=DECODED, temperature=1.0, workers=loaded.workers)
        return len(rows) * DECODED

    return _Cost(_seconds_each(read, most=MOST_ROWS), _seconds_each(write, most=SAMPLES_OF[budget]))


def _pass(loaded: LoadedModel, count: int, *, width: int) -> int:
    ids = torch.full((count, width), loaded.start[0], device=loaded.model.device)
    with torch.inference_mode():
        out = loaded.model(input_ids=ids, use_cache=False, logits_to_keep=min(width, SHORT.first))
        float(out.logits[0, -1, 0])  # a GPU is waited for
    return count * width


def _seconds_each(work: Callable[[int], int], *, most: int) -> float:
    """Seconds of one token, from a batch that grows until it takes long enough."""
    count = 1
    while True:
        start = time.perf_counter()
        tokens = work(count)
        taken = time.perf_counter() - start
        if count >= most or taken >= ENOUGH:
            return taken / tokens
        count = min(most, count * (4 if taken < ENOUGH / 4 else 2))


def _dictionaries(loaded: LoadedModel, budget: Budget, *, layers: int) -> float:
    """Seconds of training: on a CPU as many at a time as there are workers, each on one thread."""
    recipe = RECIPE.get(budget)
    if recipe is None or not layers:
        return 0.0
    states = torch.randn(4 * recipe.batch, loaded.width, device=loaded.model.device)
    start = time.perf_counter()
    train_sae(states, replace(recipe, steps=TRIED_STEPS))
    one = (time.perf_counter() - start) * recipe.steps / TRIED_STEPS
    return one * ceil(layers / max(1, loaded.workers))


def _depth(checkpoint: Checkpoint) -> int:
    config = AutoConfig.from_pretrained(checkpoint.root, local_files_only=True, trust_remote_code=False)
    return int(config.get_text_config().num_hidden_layers)


def _stand_in(checkpoint: Checkpoint, depth: int, dtype: torch.dtype, device: str) -> LoadedModel:
    """A model of the checkpoint's shape but for its depth, with one value for all weights, and its tokenizer."""
    root = checkpoint.root
    config = AutoConfig.from_pretrained(root, local_files_only=True, trust_remote_code=False)
    config = config.get_text_config()
    config.num_hidden_layers = depth
    config.tie_word_embeddings = True  # half the room, and no other work
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:depth]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    model = cast(PreTrainedModel, model.to_empty(device=device)).eval().requires_grad_(False)
    model.tie_weights()
    for values in (*model.parameters(), *model.buffers()):
        values.fill_(0.01 if values.is_floating_point() else 0)
    tokenizer = AutoTokenizer.from_pretrained(root, local_files_only=True, trust_remote_code=False)
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        stop=frozenset(),
        start=(int(first) if first is not None else 0,),
        pad=0,
        workers=workers_for(model) if checkpoint.parameters <= SMALL else 1,
    )
