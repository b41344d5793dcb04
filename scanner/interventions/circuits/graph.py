"""Attribution graphs: what of a prompt, through which features, makes the next token; cut to what matters.

Source: Ameisen et al. 2025 (Circuit Tracing), with a transcoder for each layer instead of a cross-layer one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from ...model.loading import LoadedModel
from ...progress import Progress
from ...studies.circuits import AttributionGraph, GraphEdge, GraphNode
from .linearised import Held
from .pruning import prune, scores
from .traced_prompt import TracedPrompt
from .tracing import EXPLORED, trace
from .transcoders import Transcoder


def attribution_graph(
    loaded: LoadedModel,
    transcoders: Sequence[Transcoder],
    ids: Sequence[int],
    *,
    node_share: float = 0.8,
    edge_share: float = 0.98,
    held: Held = "nothing",
    explored: int = EXPLORED,
    checkpoint: str = "",
    progress: Progress | None = None,
) -> tuple[AttributionGraph, TracedPrompt]:
    """The pruned graph of one prompt as data, and the whole of it for further questions."""
    start = time.perf_counter()
    traced = trace(loaded, transcoders, ids, held=held, explored=explored, progress=progress)
    always = traced.where("token") | traced.where("logit")
    kept = prune(traced.effects, traced.weights, always, node_share=node_share, edge_share=edge_share)
    replacement, completeness = scores(
        traced.effects, traced.weights, traced.where("error"), traced.where("token")
    )
    chosen = kept.nodes.nonzero().squeeze(1).tolist()
    edges = kept.edges.nonzero().tolist()
    return AttributionGraph(
        checkpoint=checkpoint,
        prompt=loaded.decode(ids),
        held=held,
        tokens=[str(loaded.tokenizer.decode([token])) for token in ids],
        nodes=[_node(loaded, traced, n, float(kept.influence[n])) for n in chosen],
        edges=[GraphEdge(source=s, target=t, weight=float(traced.effects[t, s])) for t, s in edges],
        node_share=node_share,
        edge_share=edge_share,
        replacement=replacement,
        completeness=completeness,
        explained={t.layer: t.explained for t in transcoders},
        unpruned_nodes=len(traced.effects),
        unpruned_edges=int((traced.effects != 0).sum()),
        seconds=time.perf_counter() - start,
    ), traced


def _node(loaded: LoadedModel, traced: TracedPrompt, n: int, influence: float) -> GraphNode:
    size = len(traced.ids)
    if n < traced.count:
        layer, position, feature = (int(v[n]) for v in (traced.layer, traced.position, traced.feature))
        return GraphNode(
            id=n, kind="feature", layer=layer, position=position, feature=feature,
            text=f"{layer}/{feature}", activation=float(traced.activation[n]), influence=influence,
        )  # fmt: skip
    if n < traced.token(0):
        layer, position = divmod(n - traced.count, size)
        return GraphNode(
            id=n, kind="error", layer=layer, position=position, feature=None,
            text="error", activation=None, influence=influence,
        )  # fmt: skip
    if n < traced.logit(0):
        position = n - traced.token(0)
        text = str(loaded.tokenizer.decode([traced.ids[position]]))
        return GraphNode(
            id=n, kind="token", layer=-1, position=position, feature=None,
            text=text, activation=None, influence=influence,
        )  # fmt: skip
    number = n - traced.logit(0)
    return GraphNode(
        id=n, kind="logit", layer=traced.layers, position=size - 1, feature=None,
        text=str(loaded.tokenizer.decode([traced.logits[number]])), activation=float(traced.chances[number]),
        influence=float(traced.weights[n]),
    )  # fmt: skip
