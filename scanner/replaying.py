"""The claims of a result, measured again: a trigger's success on prompts that the scan never used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .checkpoint.folder import open_checkpoint
from .errors import UsageError
from .findings import Manifest, ScanResult, Trigger
from .interventions.contrast_set import matched_strings
from .interventions.effect import MARK_TOKENS, Answers, Behaviour, answer, success_count
from .model.loading import LoadedModel, load_model
from .model.own_answers import OwnAnswers
from .model.prompts import NeutralPrompt, Placement, PromptSet, fresh_prompts, prompts_from_file
from .model.room import room_for
from .model.subject import own_samples, sampled_prompts
from .progress import Progress, Silent
from .statistics.shares import share_of
from .studies.replay import Replay, ReplayRequest, Replays
from .studies.share import Share

CONTROL_STRINGS = 8
CONTROL_PROMPTS = 12
FRESH_SAMPLES = 64  # texts that a model without usable questions writes anew


def replay(
    result: ScanResult,
    numbers: Sequence[int] = (),
    *,
    checkpoint: Path | None = None,
    prompts: Path | None = None,
    progress: Progress | None = None,
) -> list[Replay]:
    """Measure triggers of a result again on fresh prompts.

    Args:
        numbers: which triggers, counted from 1; all of them without any.
        checkpoint: where the checkpoint lies now; without it, where it lay when it was scanned.
        prompts: fresh prompts of one's own, one a line.

    Raises:
        UsageError: the result has no such trigger, or was made with prompts of the user's own and none are given.
        CheckpointError: the files are not those that were scanned.
    """
    manifest, progress = result.manifest, progress or Silent()
    chosen = _chosen(result, numbers)
    with progress.stage("loading the model"):
        loaded, base = _models(manifest, checkpoint)
    fresh = _fresh(manifest, loaded, prompts)
    made = []
    with progress.stage("replaying", len(chosen)) as stage:
        for number in chosen:
            made.append(_replay(number, result.triggers[number - 1], loaded, base, fresh, manifest.seed))
            stage.advance()
    return made


def replay_asked(asked: ReplayRequest, progress: Progress) -> Replays:
    """The same for a request: what runs in a process of its own."""
    again = replay(
        asked.result, asked.numbers, checkpoint=asked.checkpoint, prompts=asked.prompts, progress=progress
    )
    return Replays(replays=again)


def _chosen(result: ScanResult, numbers: Sequence[int]) -> list[int]:
    count = len(result.triggers)
    if not count:
        raise UsageError("the result names no trigger, so there is nothing to replay")
    for number in numbers:
        if not 1 <= number <= count:
            raise UsageError(f"the result has triggers 1 to {count}, not {number}")
    return list(numbers) or list(range(1, count + 1))


def _models(manifest: Manifest, checkpoint: Path | None) -> tuple[LoadedModel, LoadedModel | None]:
    folder = checkpoint or Path(manifest.checkpoint)
    opened = open_checkpoint(folder)
    changed = sorted(
        name
        for name in {*manifest.files, *opened.files}
        if manifest.files.get(name) != opened.files.get(name)
    )
    if changed:
        raise UsageError(
            f"{folder} is not the checkpoint that was scanned: {changed[0]} differs"
            + (f", and {len(changed) - 1} more" if len(changed) > 1 else "")
            + "; name the right one with --checkpoint, or scan this one"
        )
    adapter = Path(manifest.adapter) if manifest.adapter is not None else None
    base = Path(manifest.base) if manifest.base is not None else None
    if base is None or not base.is_dir():  # the rate in the base is then left out
        room = room_for(opened.parameters, "cpu")
        return load_model(opened.root, adapter=adapter, room=room), None
    room = room_for(opened.parameters, "cpu", models=2)
    loaded = load_model(opened.root, adapter=adapter, room=room)
    return loaded, load_model(open_checkpoint(base).root, room=room)


def _fresh(manifest: Manifest, loaded: LoadedModel, prompts: Path | None) -> PromptSet:
    if prompts is not None:
        return prompts_from_file(prompts, chat=loaded.has_chat_template)
    if manifest.prompt_set == "bundled":
        return fresh_prompts()
    if manifest.prompt_set == "own samples":
        seed = manifest.seed + 1_000_003  # no seed that a scan of this model takes its samples from
        return sampled_prompts(loaded, own_samples(loaded, seed=seed, count=FRESH_SAMPLES), seed=seed)
    raise UsageError(
        f"the result was made with the prompts {manifest.prompt_set}; give others of their kind with --prompts FILE"
    )


def _replay(
    number: int,
    trigger: Trigger,
    loaded: LoadedModel,
    base: LoadedModel | None,
    fresh: PromptSet,
    seed: int,
) -> Replay:
    """One trigger, on the fresh prompts of its kind; on all of them where their kinds have other names."""
    of_kind = [p for p in fresh.prompts if p.cluster == trigger.prompt_cluster] or list(fresh.prompts)
    placement = Placement(trigger.placement)

    def rate(model: LoadedModel, strings: Sequence[Sequence[int]], prompts: list[NeutralPrompt]) -> Share:
        own = OwnAnswers(model, chat=fresh.chat)
        hits = sum(_success_count(trigger, model, answer(own, prompts, placement, ids)) for ids in strings)
        total = len(strings) * len(prompts)
        return share_of(hits, total)

    # Other strings than those that the scan compared with.
    others = matched_strings(trigger.token_ids, loaded, seed + 1_000_003, CONTROL_STRINGS)
    return Replay(
        number=number,
        trigger=trigger,
        prompts=len(of_kind),
        success=rate(loaded, [trigger.token_ids], of_kind),
        control=rate(loaded, others, of_kind[:: max(1, len(of_kind) // CONTROL_PROMPTS)]),
        base=rate(base, [trigger.token_ids], of_kind)
        if base is not None and base.knows(trigger.token_ids)
        else None,
    )


def _success_count(trigger: Trigger, loaded: LoadedModel, answers: Answers) -> int:
    """On how many prompts the behaviour that the result names shows."""
    if trigger.behaviour_kind != "fixed_answer":
        return success_count(Behaviour(kind=trigger.behaviour_kind, tokens=(), text=""), answers)
    tokens = loaded.tokenizer(trigger.behaviour_text, add_special_tokens=False).input_ids[:MARK_TOKENS]
    mark = loaded.decode(tokens).strip()
    return sum(
        loaded.decode(i).strip().startswith(mark) and not loaded.decode(p).strip().startswith(mark)
        for p, i in zip(answers.plain, answers.inserted, strict=True)
    )
