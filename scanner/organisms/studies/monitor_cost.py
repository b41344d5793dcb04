"""What a monitor costs in generation time, on the bundled base with watches that were fitted, not made up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ...model.loading import LoadedModel
from ...model.prompts import bundled_prompts, encode
from ...safety.monitoring.fitting import fit_probe
from ...safety.monitoring.generating import generated
from ...safety.monitoring.levels import set_thresholds
from ...safety.monitoring.monitor import Monitor
from ...safety.monitoring.overhead import TURNS, measure_overhead
from ...safety.monitoring.silences import fit_silence
from ...safety.monitoring.watches import CircuitWatch, Component, ProbeWatch, Silence, Watch
from ...studies.monitoring import Overhead
from .monitor_worth import HARMLESS
from .planted import load_planted

BATCHES = (1, 8, 32)


def monitor_cost(
    organism: str = "refusal-removed",
    *,
    batches: Sequence[int] = BATCHES,
    turns: int = TURNS,
    clock: Callable[[], float] = time.process_time,
    new_tokens: int = 32,
    seed: int = 0,
) -> list[tuple[str, Overhead]]:
    """One figure for each kind of monitor and batch size, in processor seconds of this process unless told otherwise.

    The watches: two probes (prompt and answer); beside them a silence of refusal; beside these a circuit of one
    head and one MLP along the probe's direction.
    """
    planted = load_planted(organism)
    loaded = planted.loaded
    bad = planted.said(planted.with_trigger(seed + 1, 40))
    good = planted.said(planted.clean(seed + 2, 80))
    probes = [fit_probe(loaded, bad, good, name=f"{s} probe", scope=s).watch for s in ("prompt", "answer")]
    harmful = planted.encode(planted.clean(seed + 3, 120))
    silence = fit_silence(loaded, harmful, planted.encode(planted.of_kinds(seed + 4, 240, HARMLESS)))
    direction = probes[1].weight
    circuit = CircuitWatch(
        name="head and MLP",
        components=(
            Component(layer=1, site="head", head=0, direction=direction),
            Component(layer=2, site="mlp", direction=direction),
        ),
    )
    kinds: dict[str, list[Watch]] = {
        "one probe": [probes[1]],
        "two probes, a silence": [*probes, silence],
        "two probes, a circuit, a silence": [*probes, circuit, silence],
    }
    prompts = [encode(loaded, p, chat=True) for p in bundled_prompts().prompts[::2]]
    made = []
    for label, watches in kinds.items():
        make = _maker(loaded, watches, prompts, new_tokens)
        for batch in batches:
            figure = measure_overhead(
                loaded,
                make,
                prompts[:: max(1, len(prompts) // batch)][:batch],
                new_tokens=new_tokens,
                turns=turns,
                clock=clock,
            )
            made.append((label, figure))
    return made


def _maker(
    loaded: LoadedModel, watches: Sequence[Watch], prompts: Sequence[Sequence[int]], new_tokens: int
) -> Callable[[], Monitor]:
    """What makes a fresh monitor with these watches.

    Its thresholds are set on answers written as the measured ones are, to their full length, so that alerts are
    as rare there as the thresholds promise.
    """
    probes = [w for w in watches if isinstance(w, ProbeWatch)]
    circuits = [w for w in watches if isinstance(w, CircuitWatch)]
    silences = [w for w in watches if isinstance(w, Silence)]
    with Monitor(
        loaded.model, loaded.tokenizer, probes=probes, circuits=circuits, silences=silences
    ) as monitor:
        generated(loaded, prompts, new_tokens=new_tokens, at_least=new_tokens)
    thresholds = set_thresholds(monitor.conversations())
    return lambda: Monitor(
        loaded.model,
        loaded.tokenizer,
        probes=probes,
        circuits=circuits,
        silences=silences,
        thresholds=thresholds,
    )
