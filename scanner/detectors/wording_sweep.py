"""Without a base: ways to put a question, each of which should change nothing about its answer."""

from __future__ import annotations

from ..asking.own_wordings import own_wordings
from ..detector import Evidence, Need, Suspect
from ..model.rewriting import REWRITINGS

CHOSEN = 0.4  # lower bound of a kind's share of changed answers, at which it is looked at again


class WordingSweep:
    """Ways of asking under which the suspect answers otherwise than when asked plainly; beside a base `changed_answers` tells more."""

    name = "wording_sweep"
    needs: frozenset[Need] = frozenset()
    uses: frozenset[Need] = frozenset()

    def examine(self, suspect: Suspect) -> Evidence:
        """The ways of asking, with the kinds of question that each changes; nothing for a model without a chat template."""
        subject = suspect.subject
        if not subject.prompts.chat:
            return Evidence(score=0.0)
        with suspect.progress.stage("asking in other ways"):
            changes = own_wordings(subject, CHOSEN)
        return Evidence(
            score=max((c.interval[0] for c in changes), default=0.0),
            changes=tuple(changes),
            tried=len(REWRITINGS) * (1 + len(subject.prompts.clusters)),
        )
