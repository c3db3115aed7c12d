"""Checks that an error shows no secret: not in its text, its response, or the locals of this library's frames."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path
from typing import Any

import httpx

import trio_openai
from trio_openai import APIError

SECRET = "sk-proj-9f8e7d6c5b4a"

OURS = str(Path(trio_openai.__file__).parent)


def shown(error: BaseException) -> str:
    """Return everything that this library's frames show in the tracebacks of an error, its causes and its contexts."""
    summary = traceback.TracebackException.from_exception(error, capture_locals=True)
    found: list[str] = []
    pending: list[Any] = [summary]
    while pending:
        one = pending.pop()
        found += [f"{f.filename}:{f.lineno} {f.name} {f.locals}" for f in one.stack if f.filename.startswith(OURS)]
        pending += [other for other in (one.__cause__, one.__context__, *(one.exceptions or ())) if other]
    return "\n".join(found)


def assert_no_locals_show_it(error: BaseException, secret: str = SECRET) -> None:
    for text in shown(error).splitlines():
        assert secret not in text


def assert_hidden(error: BaseException, secret: str = SECRET) -> None:
    """Check that a secret is not in an error, in its response, or in the locals of this library's frames."""
    assert_no_locals_show_it(error, secret)
    assert_no_error_shows_it(error, secret)


def assert_no_error_shows_it(error: BaseException, secret: str = SECRET) -> None:
    chain: BaseException | None = error
    while chain is not None:
        assert secret not in str(chain)
        assert secret not in repr(chain)
        assert secret not in repr(chain.args)
        assert secret not in repr(getattr(chain, "body", None))
        if isinstance(response := getattr(chain, "response", None), httpx.Response):
            assert secret not in repr(response.request.headers.raw)
            assert secret not in repr(response.headers.raw)
            assert secret not in response.text
            assert secret not in str(response.request.url)
        if isinstance(chain, APIError):
            assert secret.encode() not in pickle.dumps(chain)
        chain = chain.__cause__ or chain.__context__
