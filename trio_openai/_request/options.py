"""The options of a client: one class for the four clients, so that a new option is added in one place.

`ClientOptions` lists every option once: its type, its default, how it is converted and how it is checked. The
constructor of a client gets its parameters from that class by `takes_options`, and `with_options` makes a changed copy.
`AzureOptions` and `SyncOptions` are subclasses that override what differs.

Options may be secret: keys, headers, and the password of a proxy. A traceback that is printed with local variables
(as pytest, Sentry and rich do) shows the arguments of every frame, so each secret option is replaced by an object
whose `repr` hides it before anything can raise. This is why `takes_options` converts those options first.
"""

from __future__ import annotations

import base64
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, cast

import attrs

from trio_openai._deadlines import DEFAULT_DEADLINES, Deadlines
from trio_openai._http.byte_streams import has_port, host_for_os, is_loopback
from trio_openai._http.secrets import shown_text
from trio_openai._httpx import httpx, is_url
from trio_openai._mistakes import check_http_client, check_limiter
from trio_openai._version import __version__
from trio_openai._wire.sse import DEFAULT_LIMIT
from trio_openai.errors import OpenAIError

from .api_key import Key, KeyProvider
from .headers import HiddenHeaders, add_headers

if TYPE_CHECKING:
    from trio_openai._http.proxy import Proxy
    from trio_openai._limits.limiter import Limiter
    from trio_openai._observers.records import Observer

_P = ParamSpec("_P")
_ClientT = TypeVar("_ClientT")
OptionsT = TypeVar("OptionsT", bound="ClientOptions")

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_SHARED = frozenset({"http_client", "max_connections", "proxy", "trust_env"})  # they belong to the connections
_SECRET = "secret"  # noqa: S105 - the metadata of a field that has to be converted first


# Converters. Each accepts its own result, since `attrs.evolve` converts again.


def _key(given: str | KeyProvider | Key | None) -> Key | None:
    return given if isinstance(given, Key) else Key(given) if given else None


def as_url(given: str | httpx.URL | None) -> httpx.URL | None:
    """Return the `base_url` of a client, or None if there is none."""
    return checked_url(given, "base_url") if given else None


def _deadlines(given: Deadlines | float | None) -> Deadlines:
    return Deadlines.of(given)


def _headers(given: Mapping[str, str] | None) -> HiddenHeaders:
    return HiddenHeaders.of(given, "default_headers")


def _query(given: Mapping[str, Any] | None) -> dict[str, Any]:
    if not isinstance(given, Mapping | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"default_query takes a dictionary, not {type(given).__name__}")
    return dict(given or {})


def _proxy(given: str | httpx.URL | httpx.Proxy | Proxy | None) -> Proxy | None:
    if given is None:
        return None
    from trio_openai._http.proxy import Proxy  # most programs have none

    return Proxy.of(given)


def _observers(given: Observer | Sequence[Observer] | None) -> tuple[Observer, ...]:
    if given is None or (isinstance(given, tuple) and not given):
        return ()
    from trio_openai._observers.watch import as_observers  # most programs have none

    return as_observers(given)


class Hidden:
    """A secret text that no `repr` shows."""

    def __init__(self, value: str) -> None:
        self._value = value

    @classmethod
    def of(cls, given: str | Hidden | None) -> Hidden | None:
        """Return a given secret; None if there is none."""
        return given if isinstance(given, Hidden) else cls(given) if given else None

    def value(self, name: str) -> str:
        """Return the text. Raise `TypeError`, which mentions the parameter's name, if it is something else."""
        if not isinstance(self._value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{name} takes a string, not {type(self._value).__name__}")
        return self._value


def _secret(given: str | Hidden | None) -> Hidden | None:
    return Hidden.of(given)


# Validators.


def _at_least(least: int) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    """Return a validator of a whole number. None is valid if it is the default."""

    def validate(_: object, field: attrs.Attribute[Any], value: Any) -> None:
        if value is None and field.default is None:
            return
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{field.name} takes a whole number, not {type(value).__name__}")
        if value < least:
            raise ValueError(f"{field.name} has to be at least {least}, not {value}")

    return validate


def _is_http_client(_: object, __: object, value: Any) -> None:
    if value is not None:
        check_http_client(value)


def _is_secret_text(_: object, field: attrs.Attribute[Any], value: Any) -> None:
    if value is not None:
        value.value(field.name)


def _is_limiter(_: object, __: object, value: Any) -> None:
    if value is not None:
        check_limiter(value)


SECRET_OPTION = {_SECRET: True}
"""The metadata of an option that no traceback may show."""


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class ClientOptions:
    """The options of a `TrioOpenAI`, converted and checked. Its docstring describes them.

    Raises:
        OpenAIError: There is no key, and the server is not on this machine.
        TypeError, ValueError: An option is invalid.
    """

    api_key: Key | None = attrs.field(default=None, converter=_key, metadata=SECRET_OPTION)
    base_url: httpx.URL | None = attrs.field(default=None, converter=as_url)
    organization: str | None = None
    project: str | None = None
    webhook_secret: Hidden | None = attrs.field(
        default=None, converter=_secret, validator=_is_secret_text, metadata=SECRET_OPTION
    )
    timeout: Deadlines = attrs.field(default=DEFAULT_DEADLINES, converter=_deadlines)
    max_retries: int = attrs.field(default=2, validator=_at_least(0))
    max_connections: int | None = attrs.field(default=None, validator=_at_least(1))
    default_headers: HiddenHeaders = attrs.field(default=None, converter=_headers, metadata=SECRET_OPTION)
    default_query: dict[str, Any] = attrs.field(default=None, converter=_query)
    http_client: httpx.AsyncClient | None = attrs.field(default=None, validator=_is_http_client)
    proxy: Proxy | None = attrs.field(default=None, converter=_proxy, metadata=SECRET_OPTION)
    trust_env: bool = True
    limiter: Limiter | None = attrs.field(default=None, validator=_is_limiter)
    observer: tuple[Observer, ...] = attrs.field(default=None, converter=_observers)
    follow_cross_origin_redirects: bool = False
    max_event_bytes: int = attrs.field(default=DEFAULT_LIMIT, validator=_at_least(1))

    def __attrs_post_init__(self) -> None:
        # They are computed now, so that a mistake is an error where the client is made and not at the first request.
        _ = self.url, self.key, self.headers

    @cached_property
    def url(self) -> httpx.URL:
        """The URL before every path: `base_url`, else the environment's, else OpenAI's."""
        if self.base_url is not None:
            return self.base_url
        return checked_url(os.environ.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL, "OPENAI_BASE_URL")

    @cached_property
    def key(self) -> Key | None:
        """The key to send: `api_key`, else the environment's. None for a server on this machine that needs none."""
        key = self.api_key or _key(os.environ.get("OPENAI_API_KEY"))
        if key is not None:
            key.check()
        elif not is_loopback(self.url.host):
            raise OpenAIError("there is no API key: set OPENAI_API_KEY, or pass TrioOpenAI(api_key=...)")
        return key

    @cached_property
    def headers(self) -> httpx.Headers:
        """The headers of every request."""
        headers = httpx.Headers({"User-Agent": f"trio_openai/{__version__}"})
        owner = {
            "OpenAI-Organization": self.organization or os.environ.get("OPENAI_ORG_ID"),
            "OpenAI-Project": self.project or os.environ.get("OPENAI_PROJECT_ID"),
        }
        add_headers(headers, HiddenHeaders({name: value for name, value in owner.items() if value}))
        add_headers(headers, self.default_headers)
        if self.key is None and self.url.userinfo:
            # A URL such as http://user:password@localhost logs in, as in a browser, unless there is a key.
            login = f"{self.url.username}:{self.url.password}".encode()
            headers.setdefault("Authorization", f"Basic {base64.b64encode(login).decode('ascii')}")
        return headers

    def path(self, path: str, params: Mapping[str, Any]) -> str:  # noqa: ARG002 - Azure's depends on them
        """Return the path to request for an endpoint's path."""
        return path

    def changed(self, changes: dict[str, Any]) -> Self:
        """Return a copy with other options. Secrets among the changes are hidden in place.

        Raises:
            TypeError: An option is unknown, or belongs to the connections, which the copy shares.
        """
        hide_secrets(type(self), changes)
        if shared := sorted(_SHARED & changes.keys()):
            raise TypeError(f"with_options() shares the connections, so it does not take {', '.join(shared)}")
        _check_known(type(self), changes)
        return attrs.evolve(self, **{**self._resolved(changes), **changes})

    def _resolved(self, changes: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - Azure's depends on them
        """Return the options that came from the environment, so that a copy does not read it again."""
        return {"api_key": self.key, "base_url": self.url}


def hide_secrets(options_class: type[ClientOptions], given: dict[str, Any]) -> None:
    """Replace every secret among the given options by an object that hides it, in place."""
    for field in attrs.fields(options_class):
        if field.metadata.get(_SECRET) and field.name in given:
            # `pop` first: if the conversion raises, its traceback shows this frame, and `given` in it.
            given[field.name] = cast("Callable[[Any], Any]", field.converter)(given.pop(field.name))


def _check_known(options_class: type[ClientOptions], given: Iterable[str]) -> None:
    known = {field.name for field in attrs.fields(options_class)}
    if unknown := [name for name in given if name not in known]:
        raise TypeError(f"there is no option {unknown[0]!r}; the options are {', '.join(sorted(known))}")


def takes_options(
    options_class: Callable[_P, OptionsT],
) -> Callable[[Callable[[_ClientT, OptionsT], None]], Callable[Concatenate[_ClientT, _P], None]]:
    """Let a constructor take the options of a class as keyword arguments, and get them as one object.

    Type checkers, editors and `inspect.signature` see every option with its type and default.
    """
    cls = cast("type[OptionsT]", options_class)

    def decorate(set_up: Callable[[_ClientT, OptionsT], None]) -> Callable[Concatenate[_ClientT, _P], None]:
        def __init__(self: Any, *positional: Any, **given: Any) -> None:  # noqa: N807 - a traceback shows this name
            hide_secrets(cls, given)
            if positional:
                positional = ()  # it may be the key
                raise TypeError(f"{type(self).__name__} takes its options by name, such as api_key=...")
            _check_known(cls, given)
            set_up(self, cls(**given))

        __init__.__qualname__ = set_up.__qualname__
        __init__.__module__ = set_up.__module__
        __init__.__signature__ = _signature(cls)  # type: ignore[attr-defined]
        return cast("Callable[Concatenate[_ClientT, _P], None]", __init__)

    return decorate


def _signature(options_class: type[ClientOptions]) -> inspect.Signature:
    """Return the signature of a constructor, with the options in the order of `ClientOptions`, its own ones first."""
    found = dict(inspect.signature(options_class.__init__).parameters)
    common = [field.name for field in attrs.fields(ClientOptions)]
    names = ["self", *[name for name in found if name not in common and name != "self"], *common]
    shown = [found[name].replace(annotation=_shown_type(found[name].annotation)) for name in names]
    return inspect.Signature(shown, return_annotation=None)


def _shown_type(annotation: Any) -> Any:
    """Return the type of an option as people see it: without our own classes, which only `attrs.evolve` passes."""
    if not isinstance(annotation, str):
        return annotation
    members = [_SHOWN_AS.get(member, member) for member in annotation.split(" | ")]
    return " | ".join(member for member in members if member)


_SHOWN_AS = {
    **dict.fromkeys(("Key", "Hidden", "Proxy")),
    "KeyProvider": "Callable[[], Awaitable[str]]",
    "Provider": "Callable[[], str | Awaitable[str]]",
}


def checked_url(given: str | httpx.URL, name: str) -> httpx.URL:
    """Return the URL of an option or environment variable of this name.

    Raises:
        TypeError, ValueError: It is not a URL of a server. The error shows it without its password.
    """
    if not (isinstance(given, str) or is_url(given)):
        raise TypeError(f"{name} takes a URL, such as {DEFAULT_BASE_URL!r}, not {type(given).__name__}")
    shown = repr(shown_text(str(given)))
    url, why = None, ""
    try:
        url = httpx.URL(str(given))
    except httpx.InvalidURL as error:
        why = str(error)
    if url is None:  # raised here, the error does not lead to httpx's, whose traceback holds the URL
        raise ValueError(f"{name} is not a URL: {why}" + (f", in {shown}" if name != "base_url" else ""))
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(
            f"{name} must start with http:// or https:// and a host, as in {DEFAULT_BASE_URL}, not {shown}"
        )
    if "%" in url.host and ":" in url.host:
        url = url.copy_with(host=host_for_os(url.host))  # an IPv6 zone, which other HTTP clients take unquoted
    if not has_port(url):
        raise ValueError(f"{name} has an invalid port: {url.port}, in {shown} (use 1-65535)")
    return url
