"""The circuit that carries what a trigger does.

Effects are shares of what the trigger does to one number: the logit of the answer that it wakes minus that
of the ordinary answer, where the two answers part. 0 is the prompt with the control, 1 the one with the
trigger; both ends may be passed.
"""

from __future__ import annotations

from typing import Literal

from ...findings import Record


class Component(Record):
    """One head, attention block or MLP at one group of positions.

    Attributes:
        part: `head 3`, `attention` (all heads of the layer) or `mlp`.
        group: `trigger`, `behind it` (the next token), `question`, `turn` (end of the prompt), `last` (where
            the two answers part).
        screened: effect foretold by attribution patching; None where it was not screened.
        lost: share of the effect that goes when it is noised (necessity); None where not patched.
        gained: share of the effect that it brings when denoised (sufficiency).
    """

    layer: int
    part: str
    group: str
    screened: float | None
    lost: float | None
    gained: float | None
    in_circuit: bool = False


class Agreement(Record):
    """How well the screen foretells exact patching.

    Attributes:
        of: `lost`, `gained`, or `both` (their mean).
        shared: how many of the screen's ten strongest are among exact patching's ten strongest.
        top_correlation: Spearman's rank correlation over the screen's ten strongest, in [-1, 1].
        correlation: the same over every component that was patched.
        patched: how many that are.
    """

    of: Literal["lost", "gained", "both"]
    shared: int
    top_correlation: float
    correlation: float
    patched: int


class Faithfulness(Record):
    """What a circuit does alone, and what is left without it, on one set of pairs.

    Attributes:
        kept: effect with everything outside the circuit under the control (normalised faithfulness).
        left: effect with the circuit under the control and all else as it is; 0 is complete.
        woken: share of the pairs whose answer still starts as the trigger makes it, by the circuit alone.
        woken_without: the same with the circuit under the control.
        incompleteness: mean over parts K of the circuit of how far circuit without K and model without K
            lie apart; 0 is complete. `incompleteness_worst`: the largest.
        random_kept: mean effect kept by as many components drawn at random; `random_best`: the best of them.
    """

    pairs: int
    kept: float
    left: float
    woken: float
    woken_without: float
    incompleteness: float
    incompleteness_worst: float
    random_kept: float
    random_best: float


class Cost(Record):
    """What it took. A pass is one forward pass over all pairs of the set.

    Attributes:
        exhaustive_passes: what exact patching of every component, both ways, would have taken.
    """

    screen_backward_passes: int
    screen_seconds: float
    patching_passes: int
    patching_seconds: float
    search_passes: int
    search_seconds: float
    exhaustive_passes: int


class CircuitStudy(Record):
    """The circuit that carries what a trigger does, found on some pairs and measured on others.

    Attributes:
        kept_at_least: share of the effect that the circuit had to keep when it was found.
        components: every component, those of the circuit first, then by their strength.
        blocks: whole attention blocks, patched exactly.
        layers, groups: the axes of the grid; `size` is its number of components.
        answers: the most common next tokens where the answers part, with the trigger and with the control.
    """

    schema_version: Literal[1] = 1
    checkpoint: str
    trigger: str
    controls: list[str]
    placement: str
    prompt_cluster: str | None
    answers: tuple[str, str]
    difference: tuple[float, float]
    layers: int
    heads: int
    groups: list[str]
    size: int
    kept_at_least: float
    circuit_size: int
    on_found: Faithfulness
    on_held_out: Faithfulness
    agreement: list[Agreement]
    components: list[Component]
    blocks: list[Component]
    cost: Cost
    seed: int

    @property
    def share(self) -> float:
        """Share of all components that the circuit has."""
        return self.circuit_size / self.size
