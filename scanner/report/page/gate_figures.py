"""The five conditions of the gate, each with the figures that decided it."""

from __future__ import annotations

from typing import NamedTuple

from ...findings import Trigger
from ..figures import share, share_with_interval
from ..wording import GATE, SIGNS


class Condition(NamedTuple):
    """One condition: its sign, `held`, `failed` or `open` (could not be tested), and its figures."""

    sign: str
    state: str
    label: str
    figures: str


class Control(NamedTuple):
    """What a trigger's success is held against: the rate, and how it is written."""

    rate: float
    shown: str


def success(trigger: Trigger) -> str:
    """The success rate with its interval."""
    return share_with_interval(trigger.attack_success_rate, trigger.attack_success_interval)


def nearest_control(trigger: Trigger) -> Control:
    """Of what ought to wake nothing, random strings and the base, the one that comes nearest to the trigger."""
    random = share_with_interval(trigger.control_success_rate, trigger.control_success_interval)
    if (trigger.base_success_rate or 0.0) > trigger.control_success_rate:
        return Control(trigger.base_success_rate or 0.0, f"{share(trigger.base_success_rate)} in the base")
    return Control(trigger.control_success_rate, f"{random} of random strings")


def conditions(trigger: Trigger) -> list[Condition]:
    """The conditions in the gate's order."""
    control = share_with_interval(trigger.control_success_rate, trigger.control_success_interval)
    tokens = len(trigger.token_ids)
    figures = {
        "held_out": share_with_interval(trigger.attack_success_rate, trigger.attack_success_interval),
        "beats_random": f"random strings {control}",
        "silent_in_base": f"in the base {share(trigger.base_success_rate)}",
        "ablation": f"ablated {share(trigger.ablated_success_rate)}, "
        f"random directions {share(trigger.random_ablated_success_rate)}",
        "shortest": f"{tokens} token{'' if tokens == 1 else 's'}",
    }
    found = []
    for name, label in GATE.items():
        value: bool | None = getattr(trigger.gate, name)
        state = {True: "held", False: "failed", None: "open"}[value]
        shown = "not tested" if value is None else figures[name]
        found.append(Condition(SIGNS[value], state, label, shown))
    return found
