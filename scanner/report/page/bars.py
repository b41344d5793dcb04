"""Horizontal bars of shares and times: what is drawn, not how."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...findings import Feature, Interval, Trigger
from ..escaping import cut
from ..figures import NOT_MEASURED, duration, share, share_with_interval


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar. `length` and `whisker` are percentages of the full width; `length` None draws nothing.

    Attributes:
        tone: `effect` (what the trigger does), `control` (what it is held against), `plain`.
    """

    label: str
    length: float | None
    shown: str
    tone: str
    whisker: Interval | None = None


def trigger_bars(trigger: Trigger) -> list[Bar]:
    """How often the behaviour shows: with the trigger, and with everything that it is held against.

    Only the first two have an interval in the result; none is drawn where none was measured.
    """
    return [
        _share("with the trigger", trigger.attack_success_rate, "effect", trigger.attack_success_interval),
        _share("matched random strings", trigger.control_success_rate, "control", trigger.control_success_interval),
        _share("trigger in the base", trigger.base_success_rate, "control"),
        _share("its directions ablated", trigger.ablated_success_rate, "effect"),
        _share("random directions ablated", trigger.random_ablated_success_rate, "control"),
        _share("its features switched off", trigger.features_ablated_success_rate, "effect"),
        _share("other features switched off", trigger.random_features_ablated_success_rate, "control"),
    ]  # fmt: skip


def layer_bars(features: Iterable[Feature]) -> list[Bar]:
    """How far success falls when the flagged features of one layer alone are switched off, layer by layer.

    A layer has one figure for each trigger; the features of that layer share it.
    """
    falls = {
        (feature.trigger, feature.layer, feature.hook, feature.causal_effect)
        for feature in features
        if feature.causal_effect is not None
    }
    triggers = list(dict.fromkeys(sorted(fall[0] for fall in falls)))
    return [
        _share(
            f"layer {layer} {cut(hook, limit=40)}"
            + (f", {cut(trigger, limit=30)}" if len(triggers) > 1 else ""),
            effect,
            "effect",
        )
        for trigger, layer, hook, effect in sorted(falls)
    ]


def timing_bars(timings: dict[str, float]) -> list[Bar]:
    """The stages of the scan in their order, against the longest."""
    longest = max(timings.values(), default=0.0)
    return [
        Bar(
            label=cut(stage, limit=60),
            length=_percent(seconds / longest) if longest > 0 else 0.0,
            shown=duration(seconds),
            tone="plain",
        )
        for stage, seconds in timings.items()
    ]


def _share(label: str, value: float | None, tone: str, interval: Interval | None = None) -> Bar:
    if value is None:
        return Bar(label=label, length=None, shown=f"{NOT_MEASURED} not tested", tone=tone)
    return Bar(
        label=label,
        length=_percent(value),
        shown=share(value) if interval is None else share_with_interval(value, interval),
        tone=tone,
        whisker=None if interval is None else (_percent(interval[0]), _percent(interval[1])),
    )


def _percent(value: float) -> float:
    return round(100 * min(1.0, max(0.0, value)), 2)
