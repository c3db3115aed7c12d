"""What to ask a server (`Call`), and what all requests of a client share (`Session`)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
import httpx

from trio_openai._deadlines import Deadlines
from trio_openai._wire.sse import DEFAULT_LIMIT
from trio_openai._wire.text import printable, printable_values, quoted_path

from .api_key import Key
from .lifetime import Lifetime
from .slots import Slots

if TYPE_CHECKING:
    from trio_openai._limits.limiter import Limiter

    from .multipart import Form


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Call:
    """What to ask the server. `content` is the request's body: JSON, encoded once for all attempts, or a form."""

    method: str
    path: str
    content: bytes | Form | None = None
    headers: httpx.Headers = attrs.field(factory=httpx.Headers)
    query: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    deadlines: Deadlines
    max_retries: int


@attrs.define(kw_only=True, eq=False, repr=False)
class Session:
    """What all requests of a client share."""

    http: httpx.AsyncClient
    base_url: httpx.URL
    key: Key | None
    slots: Slots | None  # for a client whose pool is not ours; see `_http/foreign_body.py`
    errors: tuple[type[Exception], ...]  # what that client raises when a request fails
    limiter: Limiter | None = None
    may_leave_origin: bool = False  # by a redirect
    cookies: Any = None  # those that the program has set on its HTTP client, as `httpx.Cookies`
    max_event_bytes: int = DEFAULT_LIMIT  # of one event, and of a compressed response when it is inflated
    lifetime: Lifetime = attrs.field(factory=Lifetime)

    def url(self, path: str, query: Mapping[str, Any]) -> str:
        """The URL of an endpoint: as text, since the client may be of another library than the `base_url`."""
        if not query and not self.base_url.query:
            return self._prefix + printable(path)  # a quarter less CPU for a short call than the long way
        base, _, own = self.base_url.raw_path.partition(b"?")
        target = base.rstrip(b"/") + quoted_path(path) + (b"?" + own if own else b"")
        return str(self.base_url.copy_with(raw_path=target, userinfo=b"").copy_merge_params(printable_values(query)))

    def set_cookies(self, request: httpx.Request, given: str | None) -> None:
        """Send the cookies of the program, and none that a server has set: those would pass from key to key.

        Args:
            request: the request, perhaps with all that the HTTP client has collected.
            given: the call's own `Cookie` header, which takes the place of the others.
        """
        request.headers.pop("cookie", None)
        if given is not None:
            request.headers["cookie"] = given
        elif self.cookies:
            self.cookies.set_cookie_header(request)

    @functools.cached_property
    def _prefix(self) -> str:
        # Without the user info, which HTTP clients log with the URL; the client makes a header of it.
        return str(self.base_url.copy_with(fragment=None, userinfo=b"")).rstrip("/")
