"""The story of one study of a jailbreak: what it puts to sleep inside, what it wakes, and what brings refusal back.

Only pairs that the jailbreak opens are dissected: the plain request is refused, its jailbroken form is not. Half
of them choose the features, on the other half these are put back, beside matched random ones.

Source: ours; activation patching as in Meng et al. 2022, on SAE features.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import UsageError
from ..findings import NotTested
from ..model.activations import last_token_states
from ..model.loading import LoadedModel
from ..progress import Progress, Silent
from ..sae.dictionaries import LayerDictionary
from ..studies.safety import FeatureShift, JailbreakStudy, SafetyFeature, TokenTrace
from .refusal import encoded_prompts
from .refusals import Refusals, answers_to, rate_of
from .restoring import DRAWS, restorations_of
from .shared_tokens import SharedStates, aligned, dense_codes, peak_changes, shared_states
from .shifts import feature_shifts, worth_listing

HALVED = 8  # opened pairs from which on finding and restoring use different ones
TRACED = 12  # features shown token by token
AT_MOST = 32  # pairs that are restored


def dissect_jailbreak(
    loaded: LoadedModel,
    pairs: Sequence[tuple[str, str]],
    dictionaries: Sequence[LayerDictionary],
    *,
    features: Sequence[SafetyFeature] = (),
    refusals: Refusals,
    checkpoint: str,
    direction: Tensor | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> JailbreakStudy:
    """Hold requests beside their jailbroken forms.

    Args:
        pairs: a request and its jailbroken form, each.
        features: the safety features of a catalogue made with the same dictionaries.
        direction: the refusal direction [d], to be read along the layers.

    Raises:
        UsageError: no pairs, or a feature of a layer that no dictionary is for.
    """
    if not pairs:
        raise UsageError("a jailbreak needs at least one request with its jailbroken form, got none")
    layers = [d.layer for d in dictionaries]
    if missing := {f.layer for f in features} - set(layers):
        raise UsageError(
            f"the catalogue has features at layers {sorted(missing)}, the dictionaries are of {layers}"
        )
    started, progress = time.perf_counter(), progress or Silent()
    with progress.stage("answers to both forms", 2) as stage:
        rows = [encoded_prompts(loaded, [pair[side] for pair in pairs]) for side in (0, 1)]
        answers = []
        for side in rows:
            answers.append(answers_to(loaded, side))
            stage.advance()
    flags = [refusals.flags(loaded, side) for side in answers]
    opened = [i for i in range(len(pairs)) if flags[0][i] and not flags[1][i]]
    study = JailbreakStudy(
        checkpoint=checkpoint, pairs=len(pairs), plain_refused=rate_of(flags[0]), jailbroken_refused=rate_of(flags[1]),
        opened=len(opened), found_on=0, restored_on=0, held_out=False, suppressed=0, awake=0,
        shifts=[], tokens=[], traces=[], restorations=[], example=None, not_tested=[], seconds=0.0,
    )  # fmt: skip
    if not opened:
        reason = "no pair has a plain form that is refused and a jailbroken form that is not"
        return study.model_copy(
            update={
                "not_tested": [NotTested(what="anatomy", reason=reason)],
                "seconds": time.perf_counter() - started,
            }
        )
    apart = len(opened) >= HALVED
    finding, restoring = (opened[::2], opened[1::2]) if apart else (opened, opened)
    both = [aligned(rows[0][i], rows[1][i]) for i in finding]
    with progress.stage("features at the shared tokens"):
        states = shared_states(loaded, both, layers)
        changes = peak_changes(states, dictionaries)
        shifts = feature_shifts(changes, dictionaries, features)
    marked = {state: [s for s in shifts if s.state == state] for state in ("suppressed", "awake")}
    listed = worth_listing(shifts)
    held = [aligned(rows[0][i], rows[1][i]) for i in restoring[:AT_MOST]]
    with progress.stage("putting back what sleeps", 4 + 2 * DRAWS + len(layers)) as stage:
        restorations = []
        for made in restorations_of(loaded, held, shifts, changes, dictionaries, refusals, seed):
            restorations.append(made)
            stage.advance()
    first = opened[0]
    along = {} if direction is None else _along(loaded, direction, [rows[k] for k in (0, 1)], opened)
    lacking = [] if features else [
        NotTested(what="safety features", reason="no catalogue was given (--catalogue), so no feature has a concept")
    ]  # fmt: skip
    return study.model_copy(
        update={
            "found_on": len(finding), "restored_on": len(held), "held_out": apart,
            "suppressed": len({(s.layer, s.feature) for s in marked["suppressed"]}),
            "awake": len({(s.layer, s.feature) for s in marked["awake"]}),
            "shifts": listed,
            "tokens": [_shown(loaded, both[0].plain[at]) for at in both[0].at_plain],
            "traces": _traces(states, dictionaries, listed),
            "restorations": restorations,
            **along,
            "example": (
                pairs[first][0], pairs[first][1], loaded.decode(answers[0][first]).strip(),
                loaded.decode(answers[1][first]).strip(),
            ),
            "not_tested": lacking,
            "seconds": time.perf_counter() - started,
        }
    )  # fmt: skip


def _traces(
    states: SharedStates, dictionaries: Sequence[LayerDictionary], listed: Sequence[FeatureShift]
) -> list[TokenTrace]:
    """The changed features along the shared tokens of the first pair, catalogued ones first."""
    changed = [s for s in listed if s.state != "unchanged"]
    traces: dict[tuple[int, int], TokenTrace] = {}
    codes = {
        d.layer: [dense_codes(d, side[d.layer][0]) for side in (states.plain, states.jailbroken)]
        for d in dictionaries
    }
    for shift in changed:
        if (shift.layer, shift.feature) in traces or len(traces) == TRACED:
            continue
        plain, jailbroken = (c[:, shift.feature].tolist() for c in codes[shift.layer])
        traces[shift.layer, shift.feature] = TokenTrace(
            layer=shift.layer,
            feature=shift.feature,
            concept=shift.concept,
            plain=plain,
            jailbroken=jailbroken,
        )
    return list(traces.values())


def _shown(loaded: LoadedModel, token: int) -> str:
    """A token's text; a special one's own name."""
    return loaded.piece(token) or str(loaded.tokenizer.decode([token]))


def _along(
    loaded: LoadedModel, direction: Tensor, rows: Sequence[Sequence[Sequence[int]]], opened: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Per layer the mean part of the stream along the direction where the answer starts, in both forms."""
    if direction.shape != (loaded.width,):
        raise UsageError(
            f"the refusal direction is {len(direction)} wide, this model's stream {loaded.width}"
        )
    unit = direction.float() / direction.float().norm()
    layers = list(range(loaded.layer_count))
    made = {}
    for name, side in zip(("direction_plain", "direction_jailbroken"), rows, strict=True):
        ends = last_token_states(loaded, [side[i] for i in opened], layers)
        made[name] = {str(layer): float(torch.mean(ends[layer] @ unit)) for layer in layers}
    return made
