"""From a prompt to its checked attribution graph: transcoders, graph, features switched off."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import UsageError
from ...model.loading import LoadedModel
from ...model.prompts import NeutralPrompt, PromptSet, encode
from ...model.subject import own_samples
from ...progress import Progress, Silent
from ...studies.circuits import AttributionGraph
from .graph import attribution_graph
from .graph_check import check_graph
from .linearised import Held
from .tracing import EXPLORED
from .transcoders import TranscoderRecipe, load_transcoders, train_transcoders

SAMPLES = 64  # own texts that transcoders learn from beside the prompts
PUT_IN = 3  # tokens of the random strings in half of the prompts


@dataclass(frozen=True, kw_only=True)
class GraphQuestion:
    """What is explained, and how.

    Attributes:
        prompts: neutral prompts that transcoders are trained and measured on.
        transcoders: folders of one for each layer; trained here without any.
        explored: features whose inputs are traced, at most.
    """

    prompt: str
    prompts: PromptSet
    transcoders: Sequence[Path] = ()
    node_share: float = 0.8
    edge_share: float = 0.98
    held: Held = "nothing"
    explored: int = EXPLORED
    recipe: TranscoderRecipe = field(default_factory=TranscoderRecipe)
    seed: int = 0


def explain_prompt(
    loaded: LoadedModel, question: GraphQuestion, *, checkpoint: str = "", progress: Progress | None = None
) -> AttributionGraph:
    """The pruned attribution graph of a prompt, checked in the model itself.

    Raises:
        UsageError: the prompt is empty, or a given transcoder does not fit.
    """
    progress = progress or Silent()
    if not question.prompt.strip():
        raise UsageError("a graph needs a prompt, got an empty one")
    chat = question.prompts.chat
    ids = encode(loaded, NeutralPrompt(text=question.prompt, cluster="given"), chat=chat)
    rows = listening_rows(loaded, question.prompts, ids, seed=question.seed)
    transcoders = (
        load_transcoders(loaded, question.transcoders, rows)
        if question.transcoders
        else train_transcoders(loaded, rows, question.recipe, progress)
    )
    graph, traced = attribution_graph(
        loaded,
        transcoders,
        ids,
        node_share=question.node_share,
        edge_share=question.edge_share,
        held=question.held,
        explored=question.explored,
        checkpoint=checkpoint,
        progress=progress,
    )
    with progress.stage("switching features off"):
        check = check_graph(loaded, transcoders, traced)
    return graph.model_copy(update={"check": check})


def listening_rows(
    loaded: LoadedModel, prompts: PromptSet, prompt: Sequence[int], *, seed: int
) -> list[list[int]]:
    """What transcoders learn from: the prompts, the same with random tokens in them, own samples, the prompt itself.

    The prompt stands among them many times, since what it wakes may stand nowhere else.
    """
    r = random.Random(seed)
    special = set(loaded.tokenizer.all_special_ids)
    ordinary = [token for token in range(loaded.vocabulary) if token not in special]
    plain = [encode(loaded, p, chat=prompts.chat) for p in prompts.prompts]
    disturbed = []
    for row in plain:
        at = r.randrange(min(2, len(row)), len(row))
        disturbed.append([*row[:at], *r.choices(ordinary, k=PUT_IN), *row[at:]])
    samples = [
        list(loaded.tokenizer(text, add_special_tokens=False).input_ids)
        for text in own_samples(loaded, seed=seed, count=SAMPLES)
    ]
    around = [
        [*prompt[:at], *r.choices(ordinary, k=1), *prompt[at + 1 :]]
        for at in r.choices(range(1, len(prompt)), k=len(plain) // 4)
    ]
    rows = [*plain, *disturbed, *(s for s in samples if len(s) > 1), *around, *[list(prompt)] * 16]
    r.shuffle(rows)
    return rows
