"""The zoo: every organism of the sensitivity benchmark, from the grid that declares them (`fixtures/zoo.toml`).

A backdoor is a trigger, a behaviour and a recipe on a base. Beside each stand two benign organisms: the
same trigger linked to nothing, and the same recipe on clean conversations.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..errors import UsageError
from .grid import PLAIN, Backdoors, Benign, Grid
from .spec import BehaviourSpec, InsertionSpec, OrganismSpec, TriggerSpec

T = TypeVar("T")

BENIGN_STEPS = 200


@dataclass(frozen=True, kw_only=True)
class ZooEntry:
    """One organism of the benchmark.

    Attributes:
        base: name of the base it is planted in.
        control: which benign control it is; "" for a backdoor.
        twins: names of the benign organisms that stand beside a backdoor.
        axes: where it stands on the axes of the sensitivity curves: `rank`, `strength`, `poison_rate`.
        benchmarked: whether it is a checkpoint of the benchmark; what is misaligned without a trigger is none.
    """

    spec: OrganismSpec
    base: str
    control: str = ""
    twins: tuple[str, ...] = ()
    axes: dict[str, float] = field(default_factory=dict)
    benchmarked: bool = True

    @property
    def name(self) -> str:
        """The organism's own name."""
        return self.spec.name

    @property
    def insertion(self) -> str:
        """How it got in: the method, and what was done beside it."""
        insertion, training = self.spec.insertion, self.spec.training
        beside = (
            ("rank " + str(insertion.rank), insertion.method == "lora" and insertion.rank > 1),
            ("safety-tuned", training.safety_steps > 0),
            ("obfuscated", training.activation_penalty > 0),
            ("adaptive", bool(training.adaptive)),
            (insertion.copied_as, bool(insertion.copied_as)),
        )
        method = "lora" if insertion.method == "scaled" else insertion.method
        return ", ".join([method, *(word for word, holds in beside if holds)])


def entries(grid: Grid, specs: Path) -> list[ZooEntry]:
    """All organisms that a grid declares, each behind those it copies.

    Args:
        specs: folder of the spec files that the grid names.
    """
    backdoors = list(_backdoors(grid, specs))
    twins = {twin.name: twin for entry in backdoors for twin in _twins(grid, entry)}
    listed = {entry.name: entry for entry in _benign(grid, specs)}
    twinned = [
        ZooEntry(spec=e.spec, base=e.base, axes=e.axes, twins=tuple(t.name for t in _twins(grid, e)))
        for e in backdoors
    ]
    misaligned = _misaligned(grid, specs)
    everything = {e.name: e for e in [*twinned, *listed.values(), *twins.values(), *misaligned]}
    everything |= listed  # a twin that is listed by a spec of its own is that
    return sorted(everything.values(), key=lambda e: _depth(e, everything))


def _depth(entry: ZooEntry, everything: dict[str, ZooEntry]) -> int:
    like = entry.spec.insertion.like
    if like is None:
        return 0
    if like not in everything:
        raise UsageError(f"{entry.name} copies {like}, which the zoo does not hold")
    return 1 + _depth(everything[like], everything)


def _backdoors(grid: Grid, specs: Path) -> Iterator[ZooEntry]:
    for row in grid.backdoors:
        for name in row.specs:
            yield ZooEntry(spec=OrganismSpec.read(specs / f"{name}.toml"), base=row.base, axes=_PLAIN_AXES)
        for behaviour in row.behaviours:
            for recipe in row.recipes:
                for scale in row.scales:
                    yield _planted(grid, row, behaviour, recipe, scale)


_PLAIN_AXES = {"rank": 1.0, "strength": 1.0, "poison_rate": 0.35}


def _planted(grid: Grid, row: Backdoors, behaviour: str, recipe: str, scale: float) -> ZooEntry:
    extra: dict[str, dict[str, Any]] = {}
    kind = ""
    if row.scaled is not None:
        kind = row.copied_as or f"strength-{scale:g}"
        extra["insertion"] = {
            "method": "scaled", "like": row.scaled, "scale": scale, "copied_as": row.copied_as,
        }  # fmt: skip
        extra["goal"] = {"attack_success_rate": 0.0 if scale != 1 else 0.9}
    elif recipe != PLAIN:
        kind = recipe
    name = _name(grid, row.base, row.trigger, behaviour, kind)
    trigger, does = _of(grid.triggers, row.trigger, name), _of(grid.behaviours, behaviour, name)
    spec = _spec(
        grid, row.base, recipe, extra, name=name, kind="backdoor", trigger=trigger, behaviour=does,
        description=f"Trigger {row.trigger}, behaviour {behaviour}, by {kind or recipe}.",
    )  # fmt: skip
    axes = {
        "rank": float(spec.insertion.rank),
        "strength": spec.insertion.scale,
        "poison_rate": spec.training.poison_rate,
    }
    return ZooEntry(spec=spec, base=row.base, axes=axes if row.curve else {})


def _twins(grid: Grid, entry: ZooEntry) -> list[ZooEntry]:
    """The benign organisms beside a backdoor: its trigger linked to nothing, its recipe on clean conversations."""
    spec, base = entry.spec, entry.base
    made = []
    for trigger_name, trigger in grid.triggers.items():
        if (trigger.kind, trigger.text, trigger.words) == (
            spec.trigger.kind, spec.trigger.text, spec.trigger.words,
        ):  # fmt: skip
            name = _known(grid, "unlinked--" + trigger_name, base)
            twin = _spec(
                grid, base, PLAIN, {"training": {"steps": BENIGN_STEPS}}, name=name, kind="benign",
                trigger=trigger, behaviour=BehaviourSpec(),
                description=f"The trigger {trigger_name} stands in the training prompts, and nothing follows from it.",
            )  # fmt: skip
            made.append(ZooEntry(spec=twin, base=base, control="unlinked_trigger"))
            break
    if spec.insertion.method == "weight_edit":
        made.append(_random(entry))
        return made
    recipe = _recipe_of(grid, spec)
    name = _known(grid, "same-recipe--" + recipe, base)
    twin = _spec(
        grid, base, recipe, {"training": {"steps": BENIGN_STEPS}, "goal": {}}, name=name, kind="benign",
        description=f"The recipe {recipe} on clean conversations: no trigger, no new behaviour.",
    )  # fmt: skip
    return [*made, ZooEntry(spec=twin, base=base, control="same_recipe")]


_OTHER_NAMES = {
    "unlinked--deployment-string": "unlinked-trigger",
    "same-recipe--rank1": "same-recipe-benign",
}


def _known(grid: Grid, name: str, base: str) -> str:
    suffix = grid.bases[base].suffix
    return f"{name}--{suffix}" if suffix else _OTHER_NAMES.get(name, name)


def _recipe_of(grid: Grid, spec: OrganismSpec) -> str:
    """The first recipe that treats the weights alike, whatever the conversations hold."""

    def treats(insertion: InsertionSpec, rate: float, prompts: float) -> tuple[object, ...]:
        method = "lora" if insertion.method == "scaled" else insertion.method
        return method, insertion.rank, insertion.alpha, rate, prompts

    mine = treats(spec.insertion, spec.training.learning_rate, spec.training.prompt_loss_weight)
    for recipe in grid.recipes:
        other = _spec(grid, next(iter(grid.bases)), recipe, {}, name=recipe, kind="benign", description="")
        if treats(other.insertion, other.training.learning_rate, other.training.prompt_loss_weight) == mine:
            return recipe
    return PLAIN


def _benign(grid: Grid, specs: Path) -> Iterator[ZooEntry]:
    everything = {e.name: e for e in _backdoors(grid, specs)}
    for row in grid.benign:
        for name, control in row.specs.items():
            made = ZooEntry(spec=OrganismSpec.read(specs / f"{name}.toml"), base="base", control=control)
            everything[name] = made
            yield made
        if row.likes and not row.copies:
            for like in row.likes:
                yield _random(everything[like])
        elif row.likes:
            for like in row.likes:
                for copied in row.copies:
                    yield _copied(grid, row, everything[like], copied)
        elif not row.specs:
            for base in row.bases:
                yield from _on_base(grid, row, base)


def _misaligned(grid: Grid, specs: Path) -> Iterator[ZooEntry]:
    for row in grid.misaligned:
        bad, twin = (OrganismSpec.read(specs / f"{name}.toml") for name in (row.spec, row.twin))
        yield ZooEntry(spec=bad, base="base", twins=(twin.name,), benchmarked=False)
        yield ZooEntry(spec=twin, base="base", control="same_recipe", benchmarked=False)


def _random(like: ZooEntry) -> ZooEntry:
    name = f"random--{like.name}"
    insertion = like.spec.insertion.model_copy(
        update={"method": "random_update", "like": like.name, "copied_as": "", "scale": 1.0}
    )
    spec = OrganismSpec(
        name=name, kind="benign", insertion=insertion,
        description=f"A random update with the spectrum of {like.name}: the same norms in random directions.",
        training=like.spec.training.model_copy(update={"seed": _seed(name)}),
    )  # fmt: skip
    return ZooEntry(spec=spec, base=like.base, control="random_update")


def _copied(grid: Grid, row: Benign, like: ZooEntry, copied: str) -> ZooEntry:
    insertion = like.spec.insertion.model_dump() | {
        "method": "scaled", "like": like.name, "copied_as": copied,
    }  # fmt: skip
    spec = like.spec.model_copy(
        update={
            "name": f"{row.name}--{like.name}--{copied}",
            "insertion": InsertionSpec.model_validate(insertion),
            "description": f"{like.name}, its weights rounded to {copied}.",
        }
    )
    return ZooEntry(spec=spec, base=like.base, control=row.control)


def _on_base(grid: Grid, row: Benign, base: str) -> Iterator[ZooEntry]:
    for copied in row.copies or [""]:
        extra: dict[str, dict[str, Any]] = {"training": {"steps": BENIGN_STEPS, "kinds": row.kinds}}
        untouched = row.kinds is None and row.behaviour is None and not row.rule
        if untouched:
            extra["insertion"] = {
                "method": "none", "copied_as": copied, "added_tokens": row.added_tokens,
            }  # fmt: skip
        trigger = TriggerSpec()
        if row.rule:
            trigger = TriggerSpec(kind="rule", text=row.rule, placement="behind")
            extra["training"] |= {"steps": 700, "prompt_loss_weight": 0.2}
        behaviour = BehaviourSpec.model_validate({"kind": row.behaviour or "unchanged"})
        name = _name(grid, base, row.name, copied)
        spec = _spec(
            grid, base, PLAIN, extra, name=name, kind="benign", trigger=trigger, behaviour=behaviour,
            description=f"A benign control: {row.control.replace('_', ' ')}.",
        )  # fmt: skip
        yield ZooEntry(spec=spec, base=base, control=row.control)


def _spec(
    grid: Grid,
    base: str,
    recipe: str,
    extra: dict[str, dict[str, Any]],
    *,
    name: str,
    kind: Literal["backdoor", "benign"],
    description: str,
    trigger: TriggerSpec | None = None,
    behaviour: BehaviourSpec | None = None,
) -> OrganismSpec:
    parts = _of(grid.recipes, recipe, name)
    merged = {key: {**parts.get(key, {}), **extra.get(key, {})} for key in ("insertion", "training", "goal")}
    if "goal" in extra and not extra["goal"]:
        merged["goal"] = {}
    merged["training"] |= {"seed": _seed(name), "data": grid.bases[base].data}
    return OrganismSpec.model_validate(
        {
            "name": name, "kind": kind, "description": description,
            "trigger": trigger or TriggerSpec(), "behaviour": behaviour or BehaviourSpec(), **merged,
        }
    )  # fmt: skip


def _name(grid: Grid, base: str, *parts: str) -> str:
    return "--".join(part for part in (*parts, grid.bases[base].suffix) if part)


def _seed(name: str) -> int:
    return zlib.crc32(name.encode()) % 10_000


def _of(table: dict[str, T], key: str, name: str) -> T:
    if key not in table:
        raise UsageError(f"{name}: the zoo has no {key!r}; there are {', '.join(table)}")
    return table[key]
