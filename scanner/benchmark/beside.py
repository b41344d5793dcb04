"""Detectors of earlier runs beside those of this one, on the same organisms: nobody has to run them again."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UsageError
from .records import Benchmark, Record, Setting


def beside(done: Benchmark, earlier: Sequence[Benchmark]) -> Benchmark:
    """This run with the records of earlier ones for detectors that it did not run, in that setting.

    Only organisms of this run count, and only where they are what they were then. Of two earlier records the
    later file's is taken.

    Raises:
        UsageError: an earlier run had another budget or seed.
    """
    mine = {(record.detector, record.setting) for record in done.records}
    truths = {record.truth.organism: record.truth for record in done.records}
    taken: dict[tuple[str, str, Setting], Record] = {}
    sources: list[str] = []
    for run in earlier:
        then, now = run.environment, done.environment
        if (then.budget, then.seed) != (now.budget, now.seed):
            raise UsageError(
                f"--beside takes runs of one budget and seed: {now.budget} and {now.seed} here, "
                f"{then.budget} and {then.seed} there; run bench with --budget {then.budget} --seed {then.seed}"
            )
        fitting = [
            r
            for r in run.records
            if (r.detector, r.setting) not in mine and truths.get(r.truth.organism) == r.truth
        ]
        taken |= {(r.truth.organism, r.detector, r.setting): r for r in fitting}
        if fitting:
            here = {detector for detector, _ in mine}
            names = ", ".join(
                dict.fromkeys(
                    f"{r.detector} ({r.setting.value})" if r.detector in here else r.detector for r in fitting
                )
            )
            sources.append(f"{names}: {then.started}, {then.command_line}")
    order = {organism: place for place, organism in enumerate(truths)}
    added = sorted(taken.values(), key=lambda r: order[r.truth.organism])
    by_setting = [r for setting in Setting for r in (*done.records, *added) if r.setting is setting]
    environment = done.environment.model_copy(update={"beside": tuple(sources)})
    return done.model_copy(update={"environment": environment, "records": by_setting})
