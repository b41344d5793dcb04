"""The attribution graph of a prompt: through which features it makes the next token."""

from __future__ import annotations

from typing import Literal

from ...findings import Record


class GraphNode(Record):
    """A node of an attribution graph.

    Attributes:
        kind: `feature` of a transcoder, `error` (what the transcoder leaves out of an MLP's output),
            `token` (an embedding), or `logit`.
        layer: -1 for a token, the number of layers for a logit.
        activation: of a feature; probability of a logit; None otherwise.
        influence: share of the influence on the output that passes through it.
    """

    id: int
    kind: Literal["feature", "error", "token", "logit"]
    layer: int
    position: int
    feature: int | None
    text: str
    activation: float | None
    influence: float


class GraphEdge(Record):
    """The linear effect of one node on another: on a feature's pre-activation, or on a logit."""

    source: int
    target: int
    weight: float


class GraphCheck(Record):
    """Whether what a graph says holds in the model itself: features switched off one at a time.

    Attributes:
        features: how many were switched off.
        correlation: Spearman's, between the logit's foretold and actual fall.
        sign_agreement: share whose fall has the foretold sign.
    """

    features: int
    correlation: float
    sign_agreement: float


class AttributionGraph(Record):
    """What of a prompt, through which features, makes the next token.

    Attributes:
        tokens: the prompt, token by token.
        held: what was held still when effects were taken; `nothing` is first order throughout.
        node_share, edge_share: the shares of the influence that were kept.
        replacement: share of the influence from tokens to logits that passes features and not errors.
        completeness: share of what enters nodes, weighted by their influence, that comes from no error.
        explained: per layer, explained variance of the transcoder on rows that it was not trained on.
        unpruned_nodes, unpruned_edges: before pruning.
        check: the same effects in the model itself; None where it was not asked.
    """

    schema_version: Literal[1] = 1
    checkpoint: str
    prompt: str
    tokens: list[str]
    held: Literal["nothing", "patterns", "patterns and norms"]
    nodes: list[GraphNode]
    edges: list[GraphEdge]
    node_share: float
    edge_share: float
    replacement: float
    completeness: float
    explained: dict[int, float]
    unpruned_nodes: int
    unpruned_edges: int
    seconds: float
    check: GraphCheck | None = None
