"""One attempt to get a response: send the request, follow redirects, and turn an error status into an exception.

Whether to try again is not decided here but in `exchange.py`, which makes a new `RequestAttempt` each time.

An attempt handles secrets. The key is added to the request at the last moment, by a callable (`Bearer`) that hides it.
When the response is there, a copy of the request without secrets replaces the one that was sent, since responses and
exceptions lead to it. What the server says may repeat a secret, so texts for errors pass through `hidden`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

import trio

from trio_openai._http.body import body_of
from trio_openai._http.raw_request import HiddenPairs, RawRequest
from trio_openai._http.secrets import Secrets, bare_request, secrets_of
from trio_openai._http.slots import ONE_BUDGET
from trio_openai._http.transport import FORWARDER
from trio_openai._httpx import httpx
from trio_openai._wire.failures import api_error, decode_body
from trio_openai.errors import APIConnectionError, APIError, APIStatusError, status_error_class

from .api_key import Bearer
from .opened import Opened
from .redirects import Redirects, keep_what_describes, with_next_request
from .request import PreparedRequest
from .sending import plain_stream, send, send_raw
from .session import Session
from .translate import translated

if TYPE_CHECKING:
    from trio_openai._http.multipart import FormFile

_MAX_ERROR_BODY = 1024 * 1024  # bytes
_ERROR_BODY_SECONDS = 5.0
# They describe the body as it was sent. An error holds it decoded.
_FRAMING_HEADERS = (b"content-encoding", b"content-length", b"transfer-encoding", b"connection")


class RequestAttempt:
    """One attempt of a request."""

    __slots__ = ("_bearer", "_request", "_sent_headers", "_session")

    def __init__(self, session: Session, request: PreparedRequest) -> None:
        self._session = session
        self._request = request
        self._bearer: Bearer | None = None
        self._sent_headers: Any = None  # of the `httpx.Request` that was sent last, after redirects

    async def send(self) -> Opened:
        """Send the request and return the response, whose status is below 300 and whose body has to be closed.

        Raises:
            APIStatusError: The status is an error, or a redirect that is not followed. The connection is released.
            APIConnectionError: There was no response.
        """
        self._bearer = await key.bearer() if (key := self._session.options.key) else None
        form = self._request.content
        if form is None or isinstance(form, bytes):
            return await self._response([])
        files = await form.measured()
        try:
            return await self._response(files)
        finally:
            form.close(files)

    async def _response(self, files: list[tuple[str, FormFile]]) -> Opened:
        raw: RawRequest | None = None
        try:
            if (raw := self._raw()) is None:
                response = await self._send(self._built(files), self._bearer)
            elif (opened := await send_raw(self._session, raw)).status < 300:
                return opened
            else:
                response = self._as_from_httpx(opened, raw)
            return Opened.of(await self._followed(response))
        except self._session.errors as error:
            failed = self.translated(error, raw)
        raise failed  # outside of `except`, else a cause that `translated` left out would be the context

    async def _followed(self, response: httpx.Response) -> httpx.Response:
        """Follow redirects to a response that is none. Raise the error for its status if that is one."""
        redirects = Redirects(self._session.options.follow_cross_origin_redirects)
        while response.next_request is not None:
            if problem := redirects.problem(response):
                raise await self._redirect_error(response, problem)
            response = await self._follow(response, has_left=redirects.have_left)
        if response.has_redirect_location:  # httpx raises this error itself, httpx2 leaves out the next request
            await body_of(response).aclose()
            raise httpx.RemoteProtocolError("the server redirects to an invalid address")
        response.request = bare_request(response.request, keep_headers=True)
        if response.status_code < 300:
            return response  # noqa: ASYNC910 - sending was a checkpoint
        if response.status_code == 407:
            raise await _proxy_refusal(response)
        raise await self._status_error(response)

    def translated(self, error: Exception, raw: RawRequest | None = None) -> APIConnectionError:
        """Return the library error for an exception of the HTTP client, which is its cause unless it shows a secret.

        Args:
            error: The exception.
            raw: The request, if the exception does not know it because it is of our own transport.
        """
        deadlines, lifetime = self._request.deadlines, self._session.lifetime
        is_full = type(error).__name__ == "PoolTimeout"
        ours = lifetime.no_slot(deadlines.connect) if is_full else translated(error, deadlines)
        if raw is not None and isinstance(error, httpx.RequestError):
            error.request = bare_request(raw.as_httpx())
        elif request := vars(error).get("_request"):
            error.request = bare_request(request)  # type: ignore[attr-defined]
        if not self.secrets.are_in(error):
            ours.__cause__ = error
        return ours

    @property
    def secrets(self) -> Secrets:
        """The secrets of the request that was sent last."""
        key = [self._bearer.secret] if self._bearer is not None else []
        headers = self._request.headers if self._sent_headers is None else self._sent_headers
        return secrets_of(headers, self._session.options.url, self._request.query, *key)

    def hidden(self, text: bytes) -> bytes:
        """Return a text from the server without the secrets."""
        return self.secrets.hidden_bytes(text)

    def hidden_text(self, text: str) -> str:
        """Return a word from the server without the secrets."""
        return self.secrets.hidden(text)

    # The request.

    def _raw(self) -> RawRequest | None:
        """Return the request for our own transport, or None if it has to be an `httpx.Request`."""
        prepared = self._request
        if (head := self._session.raw_head(prepared)) is None:
            return None
        content = cast("bytes | None", prepared.content)
        key = self._bearer.pairs(head) if self._bearer is not None else HiddenPairs()
        return RawRequest(head, key, content or b"", {"timeout": prepared.deadlines.as_httpx(), ONE_BUDGET: True})

    def _as_from_httpx(self, opened: Opened, raw: RawRequest) -> httpx.Response:
        """Return a response that is no success as httpx returns it, and go on without raw requests."""
        response = opened.response
        if response.has_redirect_location:
            request = raw.as_httpx()
            self._sent_headers = request.headers
            with_next_request(response, request)
        return response

    def _built(self, files: list[tuple[str, FormFile]]) -> httpx.Request:
        """Return the request in the class of the session's HTTP client."""
        session, prepared = self._session, self._request
        url, content = session.url(prepared.path, prepared.query), prepared.content
        headers = prepared.headers.raw
        if content is None or isinstance(content, bytes):
            request = session.http.build_request(prepared.method, url, headers=headers, content=content)
            request.stream = plain_stream(request.stream, content or b"")
        else:
            form: Any = {"data": content.data(), "files": files}
            request = session.http.build_request(prepared.method, url, headers=headers, **form)
            request.stream = content.stream(request.stream)
        session.set_cookies(request, prepared.headers.get("cookie"))
        return request

    async def _send(self, request: httpx.Request, bearer: Bearer | None) -> httpx.Response:
        self._sent_headers = request.headers
        request.extensions |= {"timeout": self._request.deadlines.as_httpx(), ONE_BUDGET: True}
        return await send(self._session, request, bearer)

    async def _follow(self, response: httpx.Response, *, has_left: bool) -> httpx.Response:
        """Follow a redirect. Once a redirect has left the origin, no key, headers or cookies of the program go along.

        The key needs no `bearer` here: at the same origin, httpx copies the header from the first request.
        """
        request = response.next_request
        assert request is not None
        await body_of(response).aclose()
        if has_left:
            keep_what_describes(request)
        else:
            self._session.set_cookies(request, self._request.headers.get("cookie"))
        return await self._send(request, None)

    # Errors.

    async def _redirect_error(self, response: httpx.Response, problem: str) -> APIStatusError:
        response.request = bare_request(response.request)
        error = await self._status_error(response)
        error.message = f"HTTP {response.status_code}: {problem}"
        error.args = (error.message,)
        return error

    async def _status_error(self, response: httpx.Response) -> APIStatusError:
        """Return the error for a status of 300 and above. The connection is released."""
        content = self.hidden(await self._read_error_body(response))
        body, status = decode_body(content), response.status_code
        error = api_error(
            status_error_class(status),
            body,
            prefix=f"HTTP {status}{_by_proxy(response, body)}",
            request_id=response.headers.get("x-request-id"),
        )
        error.status_code = status
        error.response = httpx.Response(
            status,
            headers=[(n, self.hidden(v)) for n, v in response.headers.raw if n.lower() not in _FRAMING_HEADERS],
            content=content,
            request=httpx.Request(response.request.method, str(response.request.url)),
        )
        return error

    async def _read_error_body(self, response: httpx.Response) -> bytes:
        """Return as much of the body as arrives soon.

        A failure here is ignored: the status is known already, and is what the program has to hear of.
        """
        body = body_of(response)
        content = bytearray()
        try:
            with contextlib.suppress(APIError, *self._session.errors), trio.move_on_after(_ERROR_BODY_SECONDS):
                while piece := await body.read():
                    content += piece
                    if len(content) > _MAX_ERROR_BODY:
                        break
        finally:
            await body.aclose()
        return bytes(content[:_MAX_ERROR_BODY])


def _by_proxy(response: httpx.Response, body: object) -> str:
    """Return a hint that an error may come from the proxy that got the request: an API answers in JSON."""
    way = response.extensions.get(FORWARDER)
    return f"{way}, which may say this itself" if way and not isinstance(body, dict | list) else ""


async def _proxy_refusal(response: httpx.Response) -> Exception:
    """Return the error for a 407, which only a proxy sends. The connection is released."""
    from trio_openai._http.proxy import refusal  # most programs have no proxy

    await body_of(response).aclose()
    return refusal("the proxy", response.status_code, response.headers.get("proxy-authenticate", ""))
