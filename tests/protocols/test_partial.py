"""An answer while it is written: what is sure of it, in work that does not grow with the square of its length."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_openai._protocols.structured.partial import PartialAnswer, read_partial
from trio_openai._wire.text import unfenced, utf8

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "\u00e9", ""]), inner),
    max_leaves=8,
)


def test_a_surrogate_pair_in_two_halves_is_one_character() -> None:
    assert utf8("a\ud83d\ude00b") == "a\U0001f600b".encode()
    assert utf8("a\ud83d") == "a\ufffd".encode()
    assert read_partial('{"a": "\ud83d\ude00') == {"a": "\U0001f600"}


FENCES = [
    "```json\n%s\n```",
    "```\n%s```",
    "\ufeff~~~ JSON\r\n%s\r\n~~~\r\n",
    "\n ````json\n\ufeff%s\n````\n",
    "```json%s```",
    "\ufeff%s",
]


@pytest.mark.parametrize("fence", FENCES)
def test_one_fence_or_byte_order_mark_around_an_answer_is_no_part_of_it(fence: str) -> None:
    """Check every cut: the result is the same as without the fence, even with backticks in the last string."""
    plain = '{"a": "```x``", "b": {"c": "y```"}}'
    before, _, after = fence.partition("%s")
    for at in range(len(plain) + 1):
        assert read_partial(before + plain[:at]) == read_partial(plain[:at])
    assert unfenced(fence % plain) == plain or unfenced(fence % plain).strip() == plain
    answer, pieces = PartialAnswer(), []
    for piece in before + plain + after:
        pieces.append(piece)
        answer.look(pieces, is_over=False)
    assert answer.look(pieces, is_over=True) == json.loads(plain)


@pytest.mark.parametrize("begun", ["`", "```", "```js", "```json", "```json\n", "~~~\n", "\ufeff", "x ```json\n{"])
def test_nothing_is_sure_before_the_object_in_a_fence_begins(begun: str) -> None:
    assert read_partial(begun) is None


PARTS: list[tuple[str, Any]] = [
    ("", None),
    (" \n", None),
    ("[1", None),
    ("Well", None),
    ("{", {}),
    ('{"a', {}),
    ('{"a":', {}),
    ('{"a": "h', {"a": "h"}),
    ('{"a": "h\\', {"a": "h"}),
    ('{"a": "h\\u00', {"a": "h"}),
    ('{"a": "\\u00e9', {"a": "é"}),
    ('{"a": "\\ud83d', {"a": ""}),
    ('{"a": "\\ud83d\\ude0', {"a": ""}),
    ('{"a": "\\ud83d\\ude00', {"a": "\U0001f600"}),
    ('{"a": "7', {"a": "7"}),
    ('{"a": 12', {}),
    ('{"a": 12.5e+3', {}),
    ('{"a": -', {}),
    ('{"a": 12,', {"a": 12}),
    ('{"a": 12}', {"a": 12}),
    ('{"a": tru', {}),
    ('{"a": true', {"a": True}),
    ('{"a": [1, 2', {"a": [1]}),
    ('{"a": {"b": [{"c": "d', {"a": {"b": [{"c": "d"}]}}),
    ('{"a": "\n', None),
    ('{"a": 1} and', {"a": 1}),
]


@pytest.mark.parametrize(("text", "value"), PARTS, ids=[text[:20] for text, _ in PARTS])
def test_a_part_of_an_answer_is_what_is_sure(text: str, value: Any) -> None:
    assert read_partial(text) == value


def is_part(part: Any, whole: Any) -> bool:
    """Return whether one value can grow into another."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and is_part(value, whole[key]) for key, value in part.items())
    if isinstance(whole, list) and isinstance(part, list):
        return len(part) <= len(whole) and all(map(is_part, part, whole))
    if isinstance(whole, str) and isinstance(part, str):
        return whole.startswith(part)
    return type(part) is type(whole) and bool(part == whole)


@settings(max_examples=60)
@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4), st.booleans())
def test_every_part_grows_into_the_whole(whole: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(whole, ensure_ascii=ascii_only)
    for end in range(1, len(text)):
        part = read_partial(text[:end])
        assert part is not None
        assert is_part(part, whole)
    assert read_partial(text) == whole


@given(st.lists(st.text(alphabet='{}[]",:\\u0123e-. truefalsn\n\ud83d\ude00', max_size=9), max_size=6))
def test_no_text_is_an_exception_to_whoever_looks(pieces: list[str]) -> None:
    partial, grown = PartialAnswer(), list[str]()
    for piece in pieces:
        grown.append(piece)
        assert isinstance(partial.look(grown, is_over=False), dict)
    assert isinstance(partial.look(grown, is_over=True), dict)


@pytest.mark.promise(n=8)
def test_a_look_at_every_piece_is_not_quadratic(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counted(text: str) -> dict[str, Any] | None:
        read.append(len(text))
        return read_partial(text)

    monkeypatch.setattr("trio_openai._protocols.structured.partial.read_partial", counted)
    text = json.dumps({"rows": ["abcdefgh"] * 3000}, separators=(",", ":"))
    partial, pieces = PartialAnswer(), list[str]()
    for at in range(0, len(text), 4):
        pieces.append(text[at : at + 4])
        value = partial.look(pieces, is_over=False)
        assert partial.look(pieces, is_over=False) is value  # nothing is read twice
    assert sum(read) < 258 * len(text)
    assert len(text) // 4 * len(text) // 2 > 10 * sum(read)  # what reading at every piece would come to
    rows = len(value["rows"])
    assert 3000 - rows <= 3000 / 256 + 2
    assert len(partial.look(pieces, is_over=True)["rows"]) == 3000


def test_another_text_is_read_from_its_beginning() -> None:
    partial = PartialAnswer()
    pieces = ['{"a": "long ', "and longer"]
    assert partial.look(pieces, is_over=False) == {"a": "long and longer"}
    assert partial.look(['{"b": 1,'], is_over=False) == {"b": 1}
    pieces = ['{"a": "x', "y"]
    assert partial.look(pieces, is_over=False) == {"a": "xy"}
    pieces[:] = ['{"c": 1}']  # as the `done` event of a text does
    assert partial.look(pieces, is_over=False) == {"c": 1}


def test_what_could_be_read_last_stays() -> None:
    partial, pieces = PartialAnswer(), ['{"a": "b']
    assert partial.look(pieces, is_over=False) == {"a": "b"}
    pieces.append("\n")  # which JSON forbids there
    assert partial.look(pieces, is_over=True) == {"a": "b"}
