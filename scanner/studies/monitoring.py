"""What a monitor says: thresholds, alerts with their evidence, what it costs, what it is worth."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..findings import Interval, Record
from .share import Share

Scope = Literal["prompt", "end", "answer", "all"]


class Level(Record):
    """Where one watch raises an alarm.

    Attributes:
        centre, scale: of the highest score in a neutral conversation: its mean and spread.
        threshold: score above which it raises an alarm, on the watch's own scale.
    """

    centre: float
    scale: float
    threshold: float


class Thresholds(Record):
    """The levels of all watches, set together on neutral conversations.

    Attributes:
        rate: share of neutral conversations that may raise any alarm, in (0, 1).
        conversations: neutral conversations that the levels were set on.
        level: standardised score above which there is an alarm, the same for every watch.
    """

    rate: float
    conversations: int
    level: float
    levels: dict[str, Level]


class Alert(Record):
    """One alarm, with what a reader needs to check it.

    Attributes:
        conversation: counted from 0 over everything that the monitor has seen.
        watch: name of the probe, feature, circuit or silence that raised it.
        kind: `silence` means that something did *not* speak where it should have.
        token: index in the conversation, prompt included, padding not; `generated` counts from the first
            generated token and is -1 for the last prompt token, None before that.
        score, threshold: on the watch's own scale.
        evidence: for a circuit or a silence, the scores of its parts; for a feature, which one.
        before: the text in front of the token, cut to its end.
    """

    conversation: int
    watch: str
    kind: Literal["probe", "feature", "circuit", "silence"]
    layers: list[int]
    token: int
    generated: int | None
    text: str
    before: str
    score: float
    threshold: float
    false_positive_rate: float
    evidence: dict[str, float | int | str] = Field(default_factory=dict)

    def to_line(self) -> str:
        """The alert as one line of JSON."""
        return self.model_dump_json()


class WatchRun(Record):
    """A prompt file replayed under a monitor.

    Attributes:
        alerts: in the order in which they were raised.
        alarmed: conversations with at least one alert.
    """

    conversations: int
    tokens: int
    alarmed: int
    watches: list[str]
    thresholds: Thresholds
    alerts: list[Alert]


class Overhead(Record):
    """Generation with and without a monitor, the two by turns; seconds are medians over the turns.

    Attributes:
        share: (with - without) / without within a turn, the median over the turns; `interval` the 95% one of it.
    """

    batch: int
    new_tokens: int
    turns: int
    watches: int
    plain_seconds: float
    watched_seconds: float
    plain_tokens_per_second: float
    watched_tokens_per_second: float
    share: float
    interval: Interval


class Caught(Record):
    """What one kind of monitor catches at one false-positive rate.

    Attributes:
        caught: share of the attacks that worked and were caught.
        false_alarms: share of the benign conversations not used for the threshold; `on_twin` those of the
            benign twin among them, None without a twin.
        area: AUROC of its scores, attacks against benign conversations.
    """

    caught: Share
    false_alarms: Share
    on_twin: Share | None
    area: float


class MonitorWorth(Record):
    """Internal and output-level monitors on one organism, at equal false positives.

    Attributes:
        held_out: what of the attack no training saw, in words.
        trained_on, attacks, benign: conversations: attacks in training, attacks that worked in the test, benign.
        internal: probes and silences inside; `output`: TF-IDF and logistic regression on the answer; `text`: the
            same on prompt and answer; `together`: internal and output.
    """

    organism: str
    twin: str | None
    behaviour: str
    held_out: str
    rate: float
    probe_layer: int
    trained_on: int
    attacks: int
    benign: int
    internal: Caught
    output: Caught
    text: Caught
    together: Caught
    silence: Caught | None = None
