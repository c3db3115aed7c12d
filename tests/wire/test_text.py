"""Surrogate halves: joining them, and encoding those that stay alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_openai._wire.text import has_lone_half, join_text, printable, utf8

HIGH, LOW = "\ud83d", "\ude00"
CUT_TEXT = st.text(st.sampled_from(["a", "é", HIGH, LOW, "\U0001f680", "\ufeff"]), max_size=8)


def test_halves_that_meet_become_one_character() -> None:
    assert join_text(["a", HIGH, LOW, "b"]) == "a😀b"
    assert join_text([f"a{HIGH}", "", f"{LOW}b{HIGH}", LOW]) == "a😀b😀"


@pytest.mark.parametrize("text", [HIGH, LOW, f"{LOW}{HIGH}", f"{HIGH} {LOW}", f"é{HIGH}"])
def test_a_half_that_meets_no_other_stays(text: str) -> None:
    assert join_text(list(text)) == text
    assert has_lone_half(text)


def test_a_pair_after_a_lone_half_is_joined() -> None:
    assert join_text([HIGH, HIGH, LOW, LOW]) == f"{HIGH}😀{LOW}"


@given(st.lists(st.text(), max_size=5))
def test_text_without_halves_is_joined_as_it_is(pieces: list[str]) -> None:
    assert join_text(pieces) == "".join(pieces)
    assert printable("".join(pieces)) == "".join(pieces)


@given(CUT_TEXT, st.integers(0, 8))
def test_where_a_text_was_cut_makes_no_difference(text: str, at: int) -> None:
    assert join_text([text[:at], text[at:]]) == join_text([text]) == join_text(text)


@given(CUT_TEXT)
def test_printable_text_can_be_encoded(text: str) -> None:
    assert not has_lone_half(printable(text))
    assert utf8(text).decode() == printable(text)
    assert len(printable(text)) == len(join_text([text]))


def test_a_lone_half_is_replaced_in_printable_text() -> None:
    assert printable(f"a{HIGH}b{LOW}") == "a\ufffdb\ufffd"
    assert printable(f"a{HIGH}{LOW}") == "a😀"
