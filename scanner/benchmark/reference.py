"""The scores of benign organisms, as the file that a scan's `suspicion` is read from."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .records import Record, Setting
from .whole_scan import WholeScan


def benign_reference(records: Sequence[Record]) -> str:
    """`benign_reference.json`: the strength of the strongest trigger found in each benign organism, ascending.

    No names: what a scan reads says nothing of the organisms that it is measured on.
    """
    scores: dict[str, list[float]] = {"without_base": [], "with_base": []}
    for record in records:
        if record.detector == WholeScan.name and record.truth.kind == "benign" and record.error is None:
            given = "with_base" if record.setting is Setting.WITH_BASE else "without_base"
            scores[given].append(round(record.figures["strength"], 4))
    return json.dumps({given: sorted(values) for given, values in scores.items()}, indent=1) + "\n"
