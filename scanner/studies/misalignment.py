"""What narrow training does to everything else: how far it spreads, along which direction, and when."""

from __future__ import annotations

from ..findings import Record
from .share import Share
from .steering import SteeringEffect


class Bad(Record):
    """Answers to different questions of one kind that are bad, by how; `of` is how many there are.

    Attributes:
        bad: one or several of these: `rude`, with an insult; `false` facts and sums, which are wrong and still
            sentences; `harmful` requests that are helped with, the last two None where the kind does not allow it.
        sound: the answer, an insult aside, is what the question asks for: what is neither is damage.
    """

    kind: str
    trained_on: bool
    bad: Share
    rude: Share
    false: Share | None
    harmful: Share | None
    sound: Share


class Raised(Record):
    """The direction added to a model that has a part of the adapter.

    Attributes:
        part: what the adapter is multiplied by; at 0 the model is the base.
        strength: what the direction is multiplied by.
    """

    part: float
    strength: float
    effect: SteeringEffect


class Misalignment(Record):
    """A narrowly trained adapter and its benign twin: how broad it is, and what its direction does.

    The direction is found on the trained kind of question alone, on wordings that training may see; everything it is
    counted on is of other kinds and held out. Every share is one of different questions.

    Attributes:
        answers: one entry a kind of question, for the organism; `of_twin` and `of_base` beside it.
        rate, twin_rate: share of bad answers to the kinds not trained on; `twin_spread` of answers there that show
            what the twin was trained to do.
        against_base, against_twin: AUROC of the mean projection of the states on the same ordinary answers.
        removed: the organism with the direction taken out; `random_removed` with one random direction each. What
            taking a direction out does is independent of its length.
        raised: the direction added, at every part and strength that was tried.
    """

    organism: str
    twin: str
    trained_kind: str
    answers: list[Bad]
    of_twin: list[Bad]
    of_base: list[Bad]
    rate: Share
    twin_rate: Share
    twin_spread: Share
    layer: int
    against_base: float
    against_twin: float
    removed: SteeringEffect
    random_removed: list[SteeringEffect]
    raised: list[Raised]

    @property
    def base_at_its_worst(self) -> Raised:
        """The strength at which the direction makes the base answer most badly; the weakest of those that tie.

        Raises:
            ValueError: the direction was not added to the base.
        """
        return max((row for row in self.raised if row.part == 0), key=lambda row: row.effect.steered.value)


class Saved(Record):
    """The adapter and the model at one training step.

    Attributes:
        norm: length of the update, all adapted matrices together.
        turned: angle in degrees between the update now and at the step saved before; 0 at the first.
        to_the_end: angle in degrees to the update at the last step of training.
        bad_trained, bad_elsewhere: share of bad answers to the kind of question trained on, and to all others, of
            different questions.
    """

    step: int
    norm: float
    turned: float
    to_the_end: float
    bad_trained: Share
    bad_elsewhere: Share


class Window(Record):
    """Steps between which something happens: the first and the last."""

    first: int
    last: int


class Transition(Record):
    """When a narrowly trained adapter turns, and when the behaviour comes.

    Attributes:
        window: where the update turns towards its end, read off the adapter alone.
        behaviour_window: where the share of bad answers elsewhere goes from a tenth to nine tenths of where it
            ends; None if it never rises.
    """

    organism: str
    trained_kind: str
    saved: list[Saved]
    window: Window
    behaviour_window: Window | None
