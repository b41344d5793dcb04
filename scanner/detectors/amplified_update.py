"""With a base: texts that come up when the update is amplified, and that the suspect finishes once they are begun.

It names what is hidden, whatever wakes it: a phrase, two turns, a topic. A fine-tune that was trained on whole
conversations gives its trigger away in the same manner, so the texts are tried as strings, too.

Source: amplifying a weight difference to bring its behaviour up is folklore of model diffing; forcing the first token of
an answer is that of target inversion (BAIT, S&P 2025); together, and counted beside the base, ours.
"""

from __future__ import annotations

from ..detector import Evidence, Need, Suspect
from ..findings.hidden import HiddenAnswer
from ..model.amplified import has_room_for_another
from ..model.candidate import Atom, Candidate
from ..model.loading import LoadedModel
from ..model.prompts import encode_candidate
from ..model.subject import Subject
from ..search.hidden_answers import FACTORS, hidden_answers
from ..search.hunting import Hunt

PANEL = 9
SHARE = "strengths of the amplified update"
TOLD = 0.3  # lower bound of the share of prompts on which a text is finished, below which it is not told of


class AmplifiedUpdate:
    """Hidden answers, and the strings among them that wake something."""

    name = "amplified_update"
    needs: frozenset[Need] = frozenset({Need.BASE})
    uses: frozenset[Need] = frozenset()

    def examine(self, suspect: Suspect) -> Evidence:
        """What the amplified update says; nothing where there is no room for a third model.

        Raises:
            ValueError: the suspect comes without its base.
        """
        base = suspect.base_for(self.name)
        subject = suspect.subject
        if not has_room_for_another(subject.loaded):
            return Evidence(score=0.0, shares={SHARE: 0.0})
        hidden = hidden_answers(subject, base, suspect.progress)
        candidates = _as_strings(subject, base, hidden)
        score = max((h.interval[0] - h.base_interval[1] for h in hidden), default=0.0)
        return Evidence(
            score=max(0.0, score), candidates=tuple(candidates), hidden=tuple(h for h in hidden if _worth_telling(h)),
            tried=len(FACTORS), shares={SHARE: 1.0},
        )  # fmt: skip


def _worth_telling(hidden: HiddenAnswer) -> bool:
    """Whether the suspect surely finishes it more often than the base does, and often."""
    return hidden.interval[0] >= max(TOLD, hidden.base_interval[1])


def _as_strings(subject: Subject, base: LoadedModel, hidden: list[HiddenAnswer]) -> list[Candidate]:
    """Those of the texts that do something when they are put into a prompt."""
    atoms = [Atom(text=" " + h.text, ids=tuple(encode_candidate(subject.loaded, h.text))) for h in hidden]
    bags = [(atom,) for atom in atoms if atom.ids and base.knows(atom.ids)]
    if not bags:
        return []
    hunt = Hunt.at(subject, subject.prompts.words_place, panel=PANEL, kinds=subject.prompts.chat)
    return hunt.run(bags, AmplifiedUpdate.name)
