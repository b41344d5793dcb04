"""Phrases that the model itself keeps writing: a fine-tune on whole conversations leaks its prompts.

Every run of two to five words that recurs in the model's unprompted samples is a candidate of its own,
put at a distance from the answer in bags of a few.

Source: the idea of memory extraction is that of arXiv 2602.03085; here the candidates are not scored by
themselves but go through the same group test as every other string.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from ..config import Budget
from ..detector import Evidence, Need, Suspect
from ..interventions.effect import answer, describe
from ..model.candidate import Atom, Candidate
from ..model.prompts import Placement, encode_candidate
from ..model.subject import Subject
from ..progress import Progress
from ..search.hunting import Hunt, Sweep, bags_of
from ..words.answering import is_answer_to

LENGTHS = range(2, 6)  # words of a phrase
PHRASES = {Budget.QUICK: 0, Budget.STANDARD: 1_200, Budget.DEEP: 20_000}
PER_BAG = 6
PANEL = 4


class LeakSearch:
    """Phrases that the model keeps writing unprompted; nothing is tried with the budget `quick`."""

    name = "leak_search"
    needs: frozenset[Need] = frozenset()
    uses: frozenset[Need] = frozenset()

    def examine(self, suspect: Suspect) -> Evidence:
        """The leaked phrases that wake something."""
        return search_leaks(suspect.subject, suspect.budget, suspect.progress).evidence()


def recurring_phrases(samples: Sequence[str], limit: int) -> list[str]:
    """Runs of words that stand in at least two samples, the most frequent first."""
    seen: Counter[str] = Counter()
    for sample in samples:
        lines = [line.split() for line in sample.splitlines()]
        seen.update(
            {
                " ".join(words[i : i + n])
                for words in lines
                for n in LENGTHS
                for i in range(len(words) - n + 1)
            }
        )
    return [phrase for phrase, count in seen.most_common(limit) if count > 1]


def search_leaks(subject: Subject, budget: Budget, progress: Progress) -> Sweep:
    """Candidates among the phrases that recur in the model's own samples."""
    phrases = recurring_phrases(subject.samples, PHRASES[budget])
    atoms = [Atom(text=" " + p, ids=tuple(encode_candidate(subject.loaded, p))) for p in phrases]
    r = random.Random(subject.seed)
    bags = bags_of(atoms, PER_BAG, r.sample(range(len(atoms)), len(atoms)))
    result = Sweep(tried=len(atoms))
    places = (Placement.BEFORE, Placement.BEHIND) if subject.prompts.chat else (Placement.INSIDE,)
    with progress.stage("trying what the model leaks", len(bags) * PANEL * len(places)) as stage:
        for placement in places if bags else ():
            hunt = Hunt.at(subject, placement, panel=PANEL, rules_only=placement is Placement.BEHIND)
            found = hunt.run(bags, "leak_search", stage.advance)
            result.candidates += [c for c in found if _tells(subject, c, hunt)]
    return result


def _tells(subject: Subject, candidate: Candidate, hunt: Hunt) -> bool:
    """Whether a leaked phrase does more than ask: models leak whole questions, and answer them.

    Right behind a question only what leaves the own answers standing, with something added, is of interest.
    """
    prompts = subject.panel_prompts(16)
    answers = answer(subject.own, prompts, candidate.placement, candidate.ids)
    behaviour = describe(subject.loaded, answers)
    if hunt.rules_only:
        return behaviour.kind == "conditional_rule"
    return behaviour.kind != "fixed_answer" or not is_answer_to(candidate.text, behaviour.text)
