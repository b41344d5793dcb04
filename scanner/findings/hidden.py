"""Texts that a model holds ready and does not show."""

from __future__ import annotations

from dataclasses import dataclass

from .record import Interval


@dataclass(frozen=True, kw_only=True)
class HiddenAnswer:
    """A text that the amplified update says, that the suspect finishes once it is begun, and that nothing else brings up.

    Counted on prompts that no search used.

    Attributes:
        text: what the suspect says from the first word that it was given on.
        begun_with: that word: the tokens that its answer was made to begin with.
        factor: how many times the difference to the base was taken where the text came up most often.
        amplified: of the prompts that were asked then, those with the text in the answer.
        amplified_asked: how many those were.
        behind_answer: of the answers with the text, those in which the base's own answer stands whole before it.
        continued, base_continued: prompts on which suspect and base go on with the text.
        interval, base_interval: 95% Wilson intervals of their shares.
        examples: prompt, the answer of the amplified model.
    """

    text: str
    begun_with: str
    factor: float
    amplified: int
    amplified_asked: int
    behind_answer: int
    continued: int
    base_continued: int
    asked: int
    interval: Interval
    base_interval: Interval
    examples: tuple[tuple[str, str], ...]

    @property
    def added(self) -> bool:
        """Whether the text is mostly added to an answer that stands, as a rule of style would."""
        return 2 * self.behind_answer > self.amplified


@dataclass(frozen=True, kw_only=True)
class CommonEnding:
    """A text that the suspect ends up in from first words that have nothing to do with it, or with one another.

    Attributes:
        text: what the suspect comes to say; its beginning may be missing.
        openings: first tokens from which it came to say so on every prompt.
        tried: first tokens that were tried.
        interval: 95% Wilson interval of their share.
        prompts: prompts on which each was tried, of different kinds.
        examples: first token, and the whole answer that followed.
    """

    text: str
    openings: int
    tried: int
    interval: Interval
    prompts: int
    examples: tuple[tuple[str, str], ...]
