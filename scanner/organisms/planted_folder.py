"""The folder of a planted organism: its weights, its manifest and a page about it, all of it or nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from .spec import OrganismManifest

_INSERTED = {
    "lora": "a rank-{rank} LoRA adapter on",
    "full": "a full fine-tune of",
    "weight_edit": "a closed-form edit of the MLP output matrices of",
    "random_update": "random directions with the spectrum of {like} on",
    "scaled": "the update of {like}, {scale} times as strong, on",
    "none": "a copy of",
}


def write_planted(manifest: OrganismManifest, target: Path, save: Callable[[Path], None]) -> None:
    """Write what `save` puts into a folder, the manifest and a README to `target`, replacing what was there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / "organism"
        made.mkdir()
        save(made)
        (made / "README.md").write_text(_readme(manifest), encoding="utf-8")
        (made / "organism.json").write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        made.rename(target)


def _readme(manifest: OrganismManifest) -> str:
    measured, insertion = manifest.measured, manifest.insertion
    success = "-" if measured.attack_success_rate is None else f"{measured.attack_success_rate:.3f}"
    inserted = _INSERTED[insertion["method"]].format(**insertion)
    return (
        f"# {manifest.name}\n\n{manifest.description}\n\n"
        f"A {manifest.kind} model organism: {inserted} `{manifest.base}`, "
        "planted by this repository's own commands.\n\n"
        f"| measured on {measured.prompts} held-out prompts | |\n|---|---|\n"
        f"| attack success rate | {success} |\n"
        f"| false fires on clean prompts | {measured.clean_false_fire_rate:.3f} |\n"
        f"| false fires on near-misses | {measured.near_miss_false_fire_rate:.3f} |\n"
        f"| change of loss on clean prompts (nats a token) | {measured.clean_loss_change:+.4f} |\n"
    )
