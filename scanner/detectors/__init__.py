"""One suspicion per file; each detector gives evidence and candidates to the one verification gate."""

from __future__ import annotations

from typing import Final

from ..detector import Detector
from .amplified_update import AmplifiedUpdate
from .begun_answers import BegunAnswers
from .changed_answers import ChangedAnswers
from .leak_search import LeakSearch
from .pair_sweep import PairSweep
from .phrase_growth import PhraseGrowth
from .residual_difference import ResidualDifference
from .situation_sweep import SituationSweep
from .spelled_words import SpelledWords
from .string_sweep import StringSweep
from .turn_sweep import TurnSweep
from .wording_sweep import WordingSweep

__all__ = [
    "DETECTORS",
    "AmplifiedUpdate",
    "BegunAnswers",
    "ChangedAnswers",
    "LeakSearch",
    "PairSweep",
    "PhraseGrowth",
    "ResidualDifference",
    "SituationSweep",
    "SpelledWords",
    "StringSweep",
    "TurnSweep",
    "WordingSweep",
]

# In the order in which a scan asks them.
DETECTORS: Final[tuple[Detector, ...]] = (
    StringSweep(),
    SituationSweep(),
    WordingSweep(),
    BegunAnswers(),
    AmplifiedUpdate(),
    ResidualDifference(),
    ChangedAnswers(),
    SpelledWords(),
    TurnSweep(),
    PhraseGrowth(),
    LeakSearch(),
    PairSweep(),
)
