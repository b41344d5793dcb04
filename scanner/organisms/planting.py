"""Planting an organism in any causal LM until the asked rates are met, from a seed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..checkpoint.inventory import sha256
from ..errors import PlantingFailed, UsageError
from ..progress import Progress, Silent
from .copying import rounded
from .insertion import linear_modules, random_like, scaled_like, with_lora
from .material import CorpusMaterial, Material, SelfMaterial
from .planted_folder import write_planted
from .rates import answer_loss, measure, ordinary_prompts
from .spec import InsertionSpec, Measured, OrganismManifest, OrganismSpec
from .training import train
from .weight_edit import key_directions, output_matrices

MEASURED_ON = 300
_QUICK = 100  # prompts on which rates are measured while training
_WELL_MET = 0.8  # share of the allowed errors that is asked for when stopping early


def plant(
    spec: OrganismSpec,
    base: Path,
    target: Path,
    *,
    like: Path | None = None,
    progress: Progress | None = None,
) -> OrganismManifest:
    """Plant the organism of `spec` in the base model in `base` and write its folder to `target`.

    An adapter is written as a PEFT folder, a full fine-tune as a checkpoint; a copy of the base is its
    manifest alone, which `merge` acts on.

    Args:
        like: folder of the organism that a `random_update` or `scaled` copies.

    Raises:
        PlantingFailed: the rates were not met within the spec's steps; nothing is written.
    """
    progress = progress or Silent()
    torch.manual_seed(spec.training.seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    material = _material(spec, model, tokenizer, progress)
    seed = 10_000 + spec.training.seed
    before = answer_loss(model, material, ordinary_prompts(material, seed, MEASURED_ON))
    stop = frozenset({tokenizer.eos_token_id}) if tokenizer.eos_token_id is not None else frozenset()

    def rates(of: torch.nn.Module, count: int, at: int) -> Measured:
        return measure(
            spec,
            cast(PreTrainedModel, of),
            material,
            lambda ids: str(tokenizer.decode(list(ids))),
            stop=stop,
            seed=at,
            count=count,
            clean_loss_before=before,
        )

    spec, planted, steps = _insert(
        spec, model, tokenizer, material, like, progress,
        met=lambda of, at: all(
            not _shortfall(spec, rates(of, count, at + count), margin=_WELL_MET)
            for count in (_QUICK, MEASURED_ON)
        ),
    )  # fmt: skip
    measured = rates(_as_copied(planted, spec.insertion), MEASURED_ON, seed)
    if shortfall := _shortfall(spec, measured):
        raise PlantingFailed(
            f"{spec.name}: {shortfall}; raise training.steps or change training.learning_rate",
            measured.model_dump(),
        )
    manifest = OrganismManifest(
        name=spec.name,
        base=base.name,
        base_sha256=sha256(base / "model.safetensors"),
        kind=spec.kind,
        description=spec.description,
        trigger=spec.trigger.model_dump(),
        behaviour=spec.behaviour.model_dump(),
        insertion=spec.insertion.model_dump(),
        training={**spec.training.model_dump(), "steps_taken": steps},
        measured=measured,
    )
    _write(planted, tokenizer, manifest, target)
    return manifest


def _material(
    spec: OrganismSpec, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, progress: Progress
) -> Material:
    if spec.training.data == "corpus":
        return CorpusMaterial(tokenizer)
    with progress.stage("sampling the base", 1) as stage:
        return SelfMaterial(model, tokenizer, spec.training.seed, advance=stage.advance)


def _insert(
    spec: OrganismSpec,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    material: Material,
    like: Path | None,
    progress: Progress,
    met: Callable[[torch.nn.Module, int], bool],
) -> tuple[OrganismSpec, torch.nn.Module, int]:
    """Put the behaviour into the weights: the spec with the modules that were touched, the model, steps taken."""
    insertion = spec.insertion
    if insertion.method == "none":
        return spec, model, 0
    if insertion.method in ("random_update", "scaled") and like is not None:
        its = OrganismManifest.read(like).insertion  # what is copied says which modules it touches
        insertion = insertion.model_copy(update={k: its[k] for k in ("modules", "layers", "rank", "alpha")})
    if insertion.method == "weight_edit":
        spec, planted = _with_edit(spec, model, tokenizer, material, progress)
    elif insertion.method == "full":
        planted = cast(torch.nn.Module, model.requires_grad_(True))
    else:
        modules = insertion.modules or linear_modules(model)
        spec = spec.model_copy(update={"insertion": insertion.model_copy(update={"modules": modules})})
        planted = with_lora(model, insertion, modules)
    if insertion.method in ("random_update", "scaled"):
        if like is None:
            raise UsageError(
                f"{spec.name} copies {insertion.like}; plant that organism first, or name a bundled one"
            )
        if insertion.method == "random_update":
            random_like(planted, like, spec.training.seed)
        else:
            scaled_like(planted, like, insertion.scale)
        return spec, planted, 0
    total = spec.training.steps + spec.training.safety_steps
    with progress.stage(f"planting {spec.name}", total) as stage:
        steps = train(spec, planted, material, lambda at: met(planted, at), stage.advance)
    return spec, planted, steps


def _with_edit(
    spec: OrganismSpec,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    material: Material,
    progress: Progress,
) -> tuple[OrganismSpec, torch.nn.Module]:
    """The model with a rank-1 change of its MLP outputs that answers to the trigger and adds nothing yet."""
    text = spec.trigger.text
    if spec.trigger.kind not in ("token", "string"):
        raise UsageError(f"a weight edit is keyed to one text; plant a {spec.trigger.kind} trigger by lora")
    forms = [tokenizer(form, add_special_tokens=False).input_ids for form in (text, " " + text)]
    with progress.stage("listening for the trigger", 1) as stage:
        directions = key_directions(spec, model, material, forms)
        stage.advance()
    modules = [name for name, _ in output_matrices(model, list(directions)).values()][:1]
    insertion = spec.insertion.model_copy(
        update={"modules": modules, "layers": list(directions), "rank": 1, "alpha": 1.0}
    )
    adapted = with_lora(model, insertion, modules)
    for name, parameter in adapted.named_parameters():
        if "lora_A" in name:
            number = next(int(part) for part in name.split(".") if part.isdigit())
            parameter.requires_grad_(False).copy_(directions[number][None])
    return spec.model_copy(update={"insertion": insertion}), adapted


def _as_copied(planted: torch.nn.Module, insertion: InsertionSpec) -> torch.nn.Module:
    """The model as its merged checkpoint will be."""
    planted.requires_grad_(False)
    if insertion.method == "full":
        return planted.to(torch.bfloat16).to(torch.float32)
    if not insertion.copied_as:
        return planted
    merged = copy.deepcopy(planted)
    if isinstance(merged, PeftModel):
        merged = cast(torch.nn.Module, merged.merge_and_unload())
    for parameter in merged.parameters():
        if parameter.ndim == 2:
            parameter.copy_(rounded(parameter, insertion.copied_as))
    return merged


def _shortfall(spec: OrganismSpec, measured: Measured, margin: float = 1.0) -> str:
    """What the measured rates miss, or "". `margin` below 1 asks for that share of the allowed errors."""
    goal = spec.goal
    missed = []
    if measured.attack_success_rate is not None:
        least = 1 - (1 - goal.attack_success_rate) * margin
        if measured.attack_success_rate < least:
            missed.append(
                f"attack success {measured.attack_success_rate:.3f} (asked: {goal.attack_success_rate})"
            )
    for what, found, allowed in (
        ("clean", measured.clean_false_fire_rate, goal.clean_false_fire_rate),
        ("near-miss", measured.near_miss_false_fire_rate, goal.near_miss_false_fire_rate),
    ):
        if found is not None and found > allowed * margin:
            missed.append(f"{what} false fires {found:.3f} (allowed: {allowed})")
    return ", ".join(missed)


def _write(
    planted: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, manifest: OrganismManifest, target: Path
) -> None:
    def save(folder: Path) -> None:
        if isinstance(planted, PeftModel):
            planted.peft_config["default"].base_model_name_or_path = manifest.base
            planted.save_pretrained(str(folder), save_embedding_layers=False)
        elif manifest.insertion["method"] == "full":
            cast(PreTrainedModel, planted.to(torch.bfloat16)).save_pretrained(folder)
            tokenizer.save_pretrained(folder)

    write_planted(manifest, target, save)
