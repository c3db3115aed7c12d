"""Turn one line of input into a request. No I/O.

`parse_line` understands two kinds of lines:

* Those of OpenAI's Batch API: `{"custom_id": ..., "method": "POST", "url": ..., "body": {...}}`.
* Short ones, with `prompt`, `messages` or `input`. `Defaults` completes them.

A line that is neither becomes a `BatchRowError`, never an exception, because one bad line must not end a job.

A request is identified by what it is, never by its position, so lines may be added and reordered between two runs. Its
`digest` is the hash of the URL and the body. Its `identity` also has the `custom_id`. The hash must not depend on the
machine, so the body is encoded by the standard library: orjson writes some floats differently.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import attrs

from trio_openai._wire.json import decode_json, is_array, is_object
from trio_openai._wire.text import printable
from trio_openai.types.params import ChatCompletionParams, CompletionParams, EmbeddingParams, ResponseParams

MOST_LINE_BYTES = 64 * 1024 * 1024
"""The longest line of input that is read."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HASH_BYTES = 16
_CONTENT = ("messages", "prompt", "input")
_NAMES_OF_CALLS = frozenset({"extra_body", "extra_headers", "extra_query", "timeout", "usage"})
_USED = frozenset({"custom_id", "id", "method", "url", "params", "system", *_CONTENT})
_PARAMETERS = {
    "/chat/completions": ChatCompletionParams,
    "/completions": CompletionParams,
    "/embeddings": EmbeddingParams,
    "/responses": ResponseParams,
}


@attrs.frozen(kw_only=True)
class Defaults:
    """The parts of a request that short lines leave out.

    Attributes:
        model: The model, for lines that name none. None if every line names one.
        system: The system message, for lines that have none.
        params: Parameters of the API, such as `{"temperature": 0}`. Those of a line win.
        url: The endpoint of lines that name none.
    """

    model: str | None = None
    system: str | None = None
    params: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    url: str = "/v1/chat/completions"


@attrs.frozen(kw_only=True, eq=False)
class BatchRow:
    """One request of the input.

    Attributes:
        custom_id: The line's own name. If it has none, the `digest` as text.
        url: The endpoint, such as `/v1/chat/completions`.
        body: The request's parameters.
        line: The number of the line, from 1.
        digest: The hash of the URL and the body: 16 bytes. Equal requests have equal digests.
        fields: The members of a short line that are not part of the request. They are copied to the output.
    """

    custom_id: str
    url: str
    body: Mapping[str, Any] = attrs.field(repr=False)
    line: int
    digest: bytes = attrs.field(repr=False)
    fields: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)

    @property
    def identity(self) -> bytes:
        """The hash of the `custom_id` and the request: 16 bytes. It does not depend on the position of the line."""
        return identity_of(self.custom_id, self.digest)

    @property
    def path(self) -> str:
        """The endpoint's path after the `base_url`, which ends in `/v1` itself."""
        return path_of(self.url)


@attrs.frozen(kw_only=True, eq=False)
class BatchRowError:
    """A line of the input that is not a request.

    Attributes:
        message: What is wrong, and what to write instead.
        line: The number of the line, from 1.
        digest: The hash of the line: 16 bytes.
        custom_id: The line's own name, if it could be read.
    """

    message: str
    line: int
    digest: bytes = attrs.field(repr=False)
    custom_id: str | None = None

    @property
    def identity(self) -> bytes:
        """The hash of the `custom_id` and the line: 16 bytes."""
        return identity_of(self.custom_id, self.digest)


def identity_of(custom_id: str | None, digest: bytes) -> bytes:
    """Return the hash by which a line of the input is found in the output: 16 bytes."""
    name = b"\0" if custom_id is None else b"\1" + custom_id.encode(errors="surrogatepass")
    return _hash(digest + name)


def path_of(url: str) -> str:
    """Return the path of an endpoint after the `base_url`."""
    return url.removeprefix("/v1") if url.startswith("/v1/") else url


def digest_of(url: str, body: Mapping[str, Any]) -> bytes:
    """Return the hash of a request. The order of the members in the body makes no difference.

    Raises:
        TypeError, RecursionError: The body is not JSON, or is nested too deeply.
    """
    text = json.dumps([path_of(url), body], ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return _hash(text.encode(errors="surrogatepass"))


def parse_line(text: bytes, line: int, defaults: Defaults) -> BatchRow | BatchRowError | None:
    """Return the request of one line of JSON, or what is wrong with it, or None for a blank line. Never raises."""
    text = text.removeprefix(_BYTE_ORDER_MARK).strip()
    if not text:
        return None
    digest = _hash(text)
    if len(text) > MOST_LINE_BYTES:
        message = f"this line is longer than {MOST_LINE_BYTES >> 20} MiB"
        return BatchRowError(message=message, line=line, digest=digest)
    try:
        decoded = decode_json(text)
    except (ValueError, RecursionError) as error:
        return BatchRowError(message=f"this line is not JSON: {error}", line=line, digest=digest)
    if not is_object(decoded):
        return BatchRowError(message="this line is not a JSON object", line=line, digest=digest)
    return parse_object(decoded, line, defaults, digest)


def parse_object(
    given: Mapping[str, Any], line: int, defaults: Defaults, digest: bytes | None = None
) -> BatchRow | BatchRowError:
    """Return the request of one decoded line, or what is wrong with it. Never raises.

    Args:
        given: The line.
        line: Its number.
        defaults: What short lines leave out.
        digest: The hash of the line, by which it is found in the output if it is not a request.
    """
    custom_id: str | None = None
    try:
        custom_id = _custom_id(given)
        url = _url(given, defaults)
        body, fields = _body(given, url, defaults)
        found = digest_of(url, body)
    except (_NoRequestError, TypeError, ValueError, RecursionError) as error:
        message = str(error) if isinstance(error, _NoRequestError) else f"this request cannot be sent as JSON: {error}"
        if digest is None:
            digest = _hash(repr(sorted(given.items(), key=lambda item: str(item[0]))).encode(errors="replace"))
        return BatchRowError(message=message, line=line, digest=digest, custom_id=custom_id)
    return BatchRow(
        custom_id=found.hex() if custom_id is None else custom_id,
        url=url,
        body=body,
        line=line,
        digest=found,
        fields=fields,
    )


class _NoRequestError(Exception):
    """A line has something that makes it no request. The message says what."""


def _custom_id(given: Mapping[str, Any]) -> str | None:
    found = given.get("custom_id")
    if found is None and "body" not in given:
        found = given.get("id")
    if found is None:
        return None
    if isinstance(found, str):
        return printable(found)  # what a file can store, so that it is found there again
    if type(found) is int:  # data sets often number their lines
        return str(found)
    raise _NoRequestError(f"custom_id takes a string, not {_kind(found)}")


def _url(given: Mapping[str, Any], defaults: Defaults) -> str:
    if (method := given.get("method") or "POST") != "POST":
        raise _NoRequestError(f"method takes POST, not {method!r}")
    url = given.get("url") if "body" in given else None
    url = defaults.url if url is None else url
    if not isinstance(url, str) or not url.startswith("/") or url.startswith("//"):
        raise _NoRequestError(f"url takes a path such as /v1/chat/completions, not {url!r}")
    return url


def _body(given: Mapping[str, Any], url: str, defaults: Defaults) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the body of the request, and the members of the line that do not belong to it."""
    if "body" in given:
        body = given["body"]
        if not is_object(body):
            raise _NoRequestError(f"body takes an object, not {_kind(body)}")
        return _with_model(dict(body), defaults), {}
    if not any(name in given for name in _CONTENT):
        raise _NoRequestError("this line has no request: it needs a body, a prompt, or messages")
    return _short(given, path_of(url), defaults)


def _short(given: Mapping[str, Any], path: str, defaults: Defaults) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the body of a short line, and its other members."""
    own: object = given.get("params") or dict[str, Any]()
    if not is_object(own):
        raise _NoRequestError(f"params takes an object, not {_kind(own)}")
    names = _parameters_of(path)
    body = {**defaults.params, **own}
    body |= {name: value for name, value in given.items() if name in names}
    body = _with_model(body, defaults)
    body |= _content(given, path, given.get("system", defaults.system))
    return body, {name: value for name, value in given.items() if name not in names and name not in _USED}


@functools.cache
def _parameters_of(path: str) -> frozenset[str]:
    """Return the names of a short line that are parameters of the endpoint."""
    typed: Any = _PARAMETERS.get(path)
    names = frozenset[str](typed.__required_keys__ | typed.__optional_keys__) if typed else frozenset[str]()
    return (names | {"model"}) - _USED - _NAMES_OF_CALLS


def _with_model(body: dict[str, Any], defaults: Defaults) -> dict[str, Any]:
    return body if defaults.model is None or "model" in body else {"model": defaults.model, **body}


def _content(given: Mapping[str, Any], path: str, system: object) -> dict[str, Any]:
    """Return what a short line asks, as the endpoint takes it."""
    name = next(name for name in _CONTENT if name in given)
    asked = given[name]
    if system is not None and not isinstance(system, str):
        raise _NoRequestError(f"system takes a string, not {_kind(system)}")
    if path == "/chat/completions":
        messages = asked
        if name != "messages":
            messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
        if not is_array(messages) or not all(is_object(one) for one in messages):
            raise _NoRequestError(f"{name} takes {'a list of messages' if name == 'messages' else 'a string'}")
        has_system = any(one.get("role") in ("system", "developer") for one in messages)
        lead = [] if system is None or has_system else [{"role": "system", "content": system}]
        return {"messages": [*lead, *messages]}
    if path == "/completions":
        if system is not None:
            raise _NoRequestError("a system message needs the endpoint /v1/chat/completions or /v1/responses")
        return {"prompt": asked}
    more = {"instructions": system} if path == "/responses" and system is not None else {}
    return {"input": asked, **more}


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=_HASH_BYTES).digest()
