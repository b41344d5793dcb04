"""What brings refusal back: features held as in the plain request, or silenced, beside matched random ones.

Source: ours; activation patching as in Meng et al. 2022, on SAE features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from ..interventions.ablation import features_ablated
from ..model.loading import LoadedModel
from ..sae.dictionaries import LayerDictionary
from ..studies.safety import FeatureShift, Restoration
from .catalogue import Chosen, matched_random
from .holding import Held
from .refusals import Refusals, rate_of
from .shared_tokens import Pair, PeakChange, shared_states
from .shifts import Q_VALUE

STRONGEST = 32  # features of any kind that are held or silenced, at most
DRAWS = 5  # of random features, and of random directions


def restorations_of(
    loaded: LoadedModel,
    pairs: Sequence[Pair],
    shifts: Sequence[FeatureShift],
    changes: Mapping[int, PeakChange],
    dictionaries: Sequence[LayerDictionary],
    refusals: Refusals,
    seed: int,
) -> Iterator[Restoration]:
    """How often jailbroken requests are refused again, one way of restoring after another."""
    batch = Held(loaded, pairs)
    suppressed = [s for s in shifts if s.state == "suppressed"]
    by_layer = {d.layer: d for d in dictionaries}
    plain = shared_states(loaded, batch.pairs, list(by_layer)).plain
    safety = _chosen([s for s in suppressed if s.concept], dictionaries, STRONGEST)
    asleep = _chosen(suppressed, dictionaries, STRONGEST)
    awake = _chosen([s for s in shifts if s.state == "awake"], dictionaries, STRONGEST)

    def refused(
        how: str,
        count: int,
        hold: Chosen | None = None,
        silence: Chosen | None = None,
        noise: int | None = None,
    ) -> Restoration:
        with ExitStack() as stack:
            if silence:
                stack.enter_context(features_ablated(loaded, silence))
            if hold:
                stack.enter_context(batch.features(hold, plain, by_layer, noise))
            return Restoration(
                how=how, features=count, refused=rate_of(refusals.flags(loaded, batch.answers()))
            )

    counts = [sum(len(own) for _, own in chosen.values()) for chosen in (safety, asleep, awake)]
    if safety:
        yield refused("safety features", counts[0], safety)
    if asleep:
        yield refused("any suppressed", counts[1], asleep)
    if awake:
        yield refused("awake silenced", counts[2], None, awake)
    if asleep and awake:
        yield refused("both", counts[1] + counts[2], asleep, awake)
    norms = {
        d.layer: changes[d.layer].plain.mean(0) * d.sae.w_dec.norm(dim=1).double().cpu().numpy()
        for d in dictionaries
    }
    flagged = {layer: own for layer, (_, own) in (safety or asleep).items()}
    moved = [s for s in shifts if s.state != "unchanged" or (s.q_value is not None and s.q_value < Q_VALUE)]
    changed = {d.layer: {s.feature for s in moved if s.layer == d.layer} for d in dictionaries}
    for draw in range(DRAWS if flagged else 0):
        others = matched_random(flagged, dictionaries, norms, seed + draw, changed)
        yield refused("unchanged features", sum(len(own) for _, own in others.values()), others)
    lacking = safety or asleep
    for draw in range(DRAWS if lacking else 0):
        yield refused(
            "random directions", sum(len(o) for _, o in lacking.values()), lacking, None, seed + 100 * draw
        )
    for layer in by_layer:
        with batch.streams(layer, plain[layer]):
            rate = rate_of(refusals.flags(loaded, batch.answers()))
        yield Restoration(how=f"stream at layer {layer}", features=0, refused=rate)


def _chosen(shifts: Sequence[FeatureShift], dictionaries: Sequence[LayerDictionary], most: int) -> Chosen:
    per_layer: dict[int, list[int]] = {}
    for layer, feature in list(dict.fromkeys((s.layer, s.feature) for s in shifts))[:most]:
        per_layer.setdefault(layer, []).append(feature)
    return {d.layer: (d.sae, per_layer[d.layer]) for d in dictionaries if d.layer in per_layer}
