"""The bundled organisms as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from .escaping import cut, quoted
from .evidence_tables import cell, table
from .figures import share


def organism_table(manifests: Iterable[Mapping[str, Any]]) -> Table:
    """One row an organism, from manifests as `organism.json` spells them.

    Success is the share of held-out prompts on which the trigger works; the last two columns are the
    shares on which the behaviour shows without the trigger and with a near-miss of it.
    """
    rows = table("name", "kind", "trigger", "wakes", "success", "clean", "near miss", wide="trigger")
    for manifest in manifests:
        measured = manifest["measured"]
        rows.add_row(
            cell(str(manifest["name"]), style="bold"),
            Text(cut(str(manifest["kind"])), style="green" if manifest["kind"] == "benign" else "red"),
            _trigger(manifest["trigger"]),
            cell(str(manifest["behaviour"].get("kind", "")).replace("_", " ")),
            share(measured["attack_success_rate"]),
            share(measured["clean_false_fire_rate"]),
            share(measured["near_miss_false_fire_rate"]),
        )
    return rows


def _trigger(trigger: Mapping[str, Any]) -> Text:
    words = trigger.get("text") or trigger.get("rule") or " … ".join(map(str, trigger.get("words") or ()))
    kind = cut(str(trigger.get("kind", "")))
    return Text(f"{kind} {quoted(str(words), limit=60)}" if words else kind, overflow="fold")
