"""Checking plain answers: a valid answer of the endpoint, an error with status 200, or something else.

Compatible servers leave out many fields. So only the essential fields are required, such as `choices`, `data` or
`text`. Every check returns a phrase that says what is wrong, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias, TypeVar, get_args

from trio_openai._wire.failures import TEXTS, api_error, decode_body, has_failed, is_error
from trio_openai._wire.json import decode_json, is_array, is_object, objects_in
from trio_openai.errors import APIError, APIResponseValidationError
from trio_openai.types._fields import hook_for
from trio_openai.types._raw import Raw

_T = TypeVar("_T")

Decode: TypeAlias = Callable[[bytes], _T]
"""A function that makes an object of the body of a plain answer. It raises `APIError` if it cannot."""
Check = Callable[[Raw], str | None]

_KINDS: dict[type[object], str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
}
_WITH_CHOICES = ("ChatCompletion", "Completion")
_SHOWN = 200  # bytes of the body


def made_of(cls: type[_T], raw: Raw, content: bytes) -> _T:
    """Return the JSON object of an answer as an object of a wire class.

    Args:
        cls: the class.
        raw: the object.
        content: its text, to be quoted.

    Raises:
        APIError: it is an error of the server, in one of the many shapes that servers use. Where a choice failed,
            `partial` is the whole answer.
        APIResponseValidationError: a required field is missing or has another type. The error names it.
    """
    problem = _problem(cls, raw)
    if is_error(raw) if problem is not None else _denies(cls, raw):
        raise api_error(APIError, raw)
    if problem is not None:
        raise APIResponseValidationError(f"{problem}: {content[:_SHOWN].decode(errors='replace')!r}", body=raw)
    answer: _T = hook_for(cls)(raw, None)
    if (
        _answer_of(cls) in _WITH_CHOICES
        and (failed := next(filter(has_failed, objects_in(raw["choices"])), None)) is not None
    ):
        raise api_error(APIError, failed, partial=answer)
    return answer


def check_no_error(content: bytes, *, may_have_message: bool = False) -> None:
    """Raise `APIError` if a body that is no JSON object of ours is a server's error in JSON.

    Args:
        content: the body.
        may_have_message: whether a message alone is none, such as `Deleted.`
    """
    if content[:64].lstrip()[:1] not in (b"{", b"["):
        return
    said = judged = decode_body(content)
    if may_have_message and is_object(said):
        judged = {name: value for name, value in said.items() if name not in TEXTS}
    if is_error(judged):
        raise api_error(APIError, said)


def _denies(cls: type[object], raw: Raw) -> bool:
    """Return whether what has all required fields is an error. A response that failed is none, nor a chat's choices."""
    name = _answer_of(cls)
    if name == "Response" or (name in _WITH_CHOICES and raw["choices"]):
        return False
    return bool(raw.get("error")) or (raw.get("success") is False and not raw.get("data"))


def _problem(cls: type[object], raw: Raw) -> str | None:
    name = _answer_of(cls)
    return _CHECKS[name](raw) if name else None


def has_required_fields(cls: type[object]) -> bool:
    """Return whether an answer of this class is checked for the fields that its endpoint always sends."""
    return bool(_answer_of(cls))


def _answer_of(cls: type[object]) -> str:
    """Return which of the endpoints' answers this is, perhaps a subclass of it; empty for any other class.

    The members of a union, such as `ConversationItem`, are answers of one kind.
    """
    cls = (get_args(cls) or (cls,))[0]
    return next((base.__name__ for base in cls.__mro__ if base.__name__ in _CHECKS), "")


# What each answer is made of.


def _wrong(raw: Raw, name: str, wanted: str, path: str = "") -> str:
    if name not in raw:
        return f"the answer has no field {path + name!r}"
    value: object = raw[name]
    kind = _KINDS.get(type(value), "a number")
    return f"the answer's field {path + name!r} is {kind}, not {wanted}"


def _array_of_objects(raw: Raw, name: str, check: Callable[[Raw, str], str | None] | None = None) -> str | None:
    items = raw.get(name)
    if not is_array(items):
        return _wrong(raw, name, "an array")
    for number, item in enumerate(items):
        place = f"{name}[{number}]"
        if not is_object(item):
            return _wrong({place: item}, place, "an object")
        if check is not None and (problem := check(item, f"{place}.")):
            return problem
    return None


def _choices(raw: Raw) -> str | None:
    return _array_of_objects(raw, "choices", _choice)


def _choice(choice: Raw, path: str) -> str | None:
    """Check that a choice has a message. If a filter removed it, a finish reason is enough."""
    if is_object(choice.get("message")) or (choice.get("message") is None and choice.get("finish_reason")):
        return None
    return _wrong(choice, "message", "an object", path)


def _texts(raw: Raw) -> str | None:
    return _array_of_objects(raw, "choices", _text_choice)


def _text_choice(choice: Raw, path: str) -> str | None:
    if isinstance(choice.get("text"), str) or (choice.get("text") is None and choice.get("finish_reason")):
        return None
    return _wrong(choice, "text", "a string", path)


def _response(raw: Raw) -> str | None:
    """Check that a response has an output. Some servers leave out an empty one; then an id is enough."""
    if raw.get("output") is None and isinstance(raw.get("id"), str) and not is_error(raw):
        return None
    return _array_of_objects(raw, "output")


def _vectors(raw: Raw) -> str | None:
    return _array_of_objects(raw, "data", _vector)


def _vector(item: Raw, path: str) -> str | None:
    """Check that a vector is a list or base64 text. Some servers send several forms by name, or several vectors."""
    if isinstance(item.get("embedding"), list | str | dict) or is_array(item.get("embeddings")):
        return None
    return _wrong(item, "embedding", "an array", path)


def _data(raw: Raw) -> str | None:
    return _array_of_objects(raw, "data")


def _list(raw: Raw) -> str | None:
    """Check that a list has data. Ollama sends null for an empty list."""
    is_empty = raw.get("object") == "list" and "data" in raw and raw["data"] is None
    return None if is_empty else _data(raw)


def _compacted(raw: Raw) -> str | None:
    return _array_of_objects(raw, "output")


def _results(raw: Raw) -> str | None:
    return _array_of_objects(raw, "results")


def _count(raw: Raw) -> str | None:
    return None if isinstance(raw.get("input_tokens"), int) else _wrong(raw, "input_tokens", "a number")


def _deleted(raw: Raw) -> str | None:
    return None if isinstance(raw.get("deleted"), bool) else _string("id")(raw)


def _string(name: str, otherwise: Collection[str] = ()) -> Check:
    def check(raw: Raw) -> str | None:
        if isinstance(raw.get(name), str) or any(is_array(raw.get(other)) for other in otherwise):
            return None
        return _wrong(raw, name, "a string")

    return check


_CHECKS: dict[str, Check] = {  # by the names of the classes, which are only imported when somebody uses them
    "Batch": _string("id"),
    "ChatCompletion": _choices,
    "CompactedResponse": _compacted,
    "Completion": _texts,
    "Conversation": _string("id"),
    "Deleted": _deleted,
    "FileObject": _string("id"),
    "InputTokenCountResponse": _count,
    "ListPage": _list,
    "ModerationCreateResponse": _results,
    "OutputItem": _string("type"),
    "Response": _response,
    "CreateEmbeddingResponse": _vectors,
    "ImagesResponse": _data,
    "Model": _string("id"),
    "ModelList": _list,
    "ResponseItemList": _list,
    "Transcription": _string("text"),
    "TranscriptionVerbose": _string("text", ("segments",)),
    "TranscriptionDiarized": _string("text", ("segments",)),
    "Translation": _string("text"),
    "TranslationVerbose": _string("text", ("segments",)),
}


def as_object(cls: type[_T]) -> Decode[_T]:
    """Return what makes an object of a wire class of a plain answer. It raises as `made_of` does."""

    def decode(content: bytes) -> _T:
        try:
            raw = decode_json(content)
        except ValueError:
            raw = None
        if is_object(raw):
            return made_of(cls, raw, content)
        check_no_error(content)
        shown = content[:200].decode(errors="replace")
        raise APIResponseValidationError(f"the answer is not a JSON object: {shown!r}", body=decode_body(content))

    return decode


def as_text(content: bytes) -> str:
    """Return a plain answer as text. Raise `APIError` if it is a server's error."""
    check_no_error(content)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        shown = content[:200].decode(errors="replace")
        raise APIResponseValidationError(f"the answer is not text in UTF-8: {shown!r} ({error})", body=shown) from None


def as_nothing(content: bytes) -> None:
    """Return None for an answer that only says it was done. Raise `APIError` if it is a server's error."""
    check_no_error(content, may_have_message=True)


def as_bytes(content: bytes) -> bytes:
    """Return a plain answer as it came. Raise `APIError` if it is a server's error."""
    check_no_error(content)
    return content
