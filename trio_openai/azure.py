"""Azure OpenAI with its deployments, as a configuration of `TrioOpenAI`.

    async with AzureOpenAI(azure_endpoint="https://mine.openai.azure.com", api_version="2024-10-21") as client:
        async with client.chat.completions.stream(model="my-deployment", messages=[...]) as stream:
            ...

It differs from OpenAI in three things, and nothing else is done here:

* the key goes in a header `api-key`; a Microsoft Entra ID token as a bearer's;
* every URL has an `api-version`;
* the endpoints that ask a model have the name of its deployment in their path.

The newer surface of Azure (`https://mine.openai.azure.com/openai/v1/`) differs in none of them: it is a `base_url` for
`TrioOpenAI` itself, with the key, or a function that gives tokens, as its `api_key`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypedDict, Unpack, cast

import attrs
import httpx

from trio_openai._deadlines import Deadlines

from ._client.client import TrioOpenAI, hidden_proxy
from ._http.api_key import Key, in_thread
from ._http.secrets import shown_text
from ._request.calls import HiddenHeaders, NotGiven
from ._wire.text import path_segment
from .errors import OpenAIError

if TYPE_CHECKING:
    from ._http.proxy import Proxy
    from ._limits.limiter import Limiter

__all__ = ["AzureOpenAI"]

Provider: TypeAlias = Callable[[], str | Awaitable[str]]
"""A function that gives a key or token: an async one, or one that may block, which is called in a thread."""

_OF_A_DEPLOYMENT = frozenset(
    {
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/audio/speech",
        "/audio/transcriptions",
        "/audio/translations",
        "/images/edits",
        "/images/generations",
    }
)
_SECRETS = ("api_key", "azure_ad_token", "azure_ad_token_provider")
_PLACE = ("azure_endpoint", "azure_deployment", "api_version", "base_url")


class AzureOptions(TypedDict, total=False):
    """What `AzureOpenAI` takes."""

    azure_endpoint: str | None
    azure_deployment: str | None
    api_version: str | None
    api_key: str | Provider | Key | None
    azure_ad_token: str | None
    azure_ad_token_provider: Provider | None
    base_url: str | httpx.URL | None
    organization: str | None
    project: str | None
    timeout: Deadlines | float | NotGiven | None
    max_retries: int
    max_connections: int | None
    default_headers: Mapping[str, str] | None
    default_query: Mapping[str, Any] | None
    http_client: httpx.AsyncClient | None
    proxy: str | httpx.URL | httpx.Proxy | Proxy | None
    trust_env: bool
    limiter: Limiter | None
    follow_cross_origin_redirects: bool
    max_event_bytes: int


class AzureOpenAI(TrioOpenAI):
    """A `TrioOpenAI` of a resource on Azure. Names are those of openai-python's `AsyncAzureOpenAI`.

    Args:
        azure_endpoint (str): the resource, such as `https://mine.openai.azure.com`; by default `AZURE_OPENAI_ENDPOINT`.
        azure_deployment (str): the deployment to ask; by default the `model` of each call is its name.
        api_version (str): by default `OPENAI_API_VERSION`.
        api_key (str | Provider): a key, or a function that gives one; by default `AZURE_OPENAI_API_KEY`.
        azure_ad_token (str): a Microsoft Entra ID token in place of a key; by default `AZURE_OPENAI_AD_TOKEN`, which
            comes before a key.
        azure_ad_token_provider (Provider): a function that is asked for a token before every attempt. It is async, or a
            plain one that may block (such as `azure.identity.get_bearer_token_provider` gives), which is called in a
            thread.
        base_url (str): all of the URL before an endpoint's path, in place of `azure_endpoint`.
        options: the rest, as for `TrioOpenAI`.

    Raises:
        OpenAIError: there is neither a key nor a token.
        TypeError, ValueError: an argument is not what it should be, or missing, or there are two for one thing.
    """

    def __init__(self, **options: Unpack[AzureOptions]) -> None:
        given = cast("dict[str, Any]", options)
        hide_secrets(given)
        place = _Place.of(*[given.pop(name, None) for name in _PLACE])
        key = given.pop("api_key", None) or _key_of_environment()
        super().__init__(api_key=key, base_url=place.url(), **given)
        self._caller.route = place

    def with_options(self, **options: Any) -> Self:
        """A client with other options, which shares this one's connections. Closing either closes them.

        Args:
            options: those of `AzureOpenAI`, but `http_client`, `max_connections`, `proxy` and `trust_env`.
        """
        hide_secrets(options)
        changed = {name: options.pop(name) for name in _PLACE if name in options}
        place = cast("_Place", self._caller.route)
        if changed:
            place = place.changed(changed)
            options["base_url"] = place.url()
        copy = super().with_options(**options)
        copy._caller.route = place
        return copy


def hide_secrets(options: dict[str, Any]) -> None:
    """Take what is secret in a client's options out of a traceback's sight. One `Key` takes the place of the keys.

    Raises:
        ValueError: there is more than one.
    """
    keys = {name: _as_key(name, options.pop(name)) for name in _SECRETS if options.get(name)}
    if "default_headers" in options:
        options["default_headers"] = HiddenHeaders.of(options["default_headers"], "default_headers")
    if "proxy" in options:
        options["proxy"] = hidden_proxy(options["proxy"])
    if len(keys) > 1:
        raise ValueError(f"{' and '.join(keys)} are given: the client takes one of them")
    if keys:
        (options["api_key"],) = keys.values()


def _as_key(name: str, given: Any) -> Key:
    """A key, a token, or a function, as it is sent. Whether it is one is checked later."""
    if isinstance(given, Key):
        return given
    if name == "azure_ad_token_provider" and not callable(given):
        given = None  # it may be a token, and a traceback begins here
        raise TypeError("azure_ad_token_provider takes a function; a token itself is given as azure_ad_token")
    if callable(given) and not inspect.iscoroutinefunction(given):
        given = in_thread(cast("Provider", given))
    return Key(given, "api-key" if name == "api_key" else "Authorization", name)


def _key_of_environment() -> Key:
    for name, variable in (("azure_ad_token", "AZURE_OPENAI_AD_TOKEN"), ("api_key", "AZURE_OPENAI_API_KEY")):
        if found := os.environ.get(variable):
            return _as_key(name, found)
    raise OpenAIError(
        "there is no key: set AZURE_OPENAI_API_KEY or AZURE_OPENAI_AD_TOKEN, or give AzureOpenAI(api_key=...), "
        "azure_ad_token=... or azure_ad_token_provider=..."
    )


@attrs.frozen
class _Place:
    """Where the resource is; and the client's `Route`, since some paths name a deployment."""

    azure_endpoint: str | None = attrs.field(repr=False)  # which may have a password, and so may the other one
    azure_deployment: str | None
    api_version: str
    base_url: str | httpx.URL | None = attrs.field(repr=False)

    @classmethod
    def of(cls, azure_endpoint: Any, azure_deployment: Any, api_version: Any, base_url: Any) -> _Place:
        """What was given, or else what the environment says."""
        version = api_version or os.environ.get("OPENAI_API_VERSION")
        endpoint = azure_endpoint or (None if base_url else os.environ.get("AZURE_OPENAI_ENDPOINT"))
        strings = {"azure_endpoint": endpoint, "azure_deployment": azure_deployment, "api_version": version}
        for name, given in strings.items():
            if not isinstance(given, str | None):
                raise TypeError(f"{name} takes a string, not {type(given).__name__}")
        if base_url and endpoint:
            raise ValueError("base_url and azure_endpoint are given: the client takes one of them")
        if not (base_url or endpoint):
            raise ValueError("there is no azure_endpoint: set AZURE_OPENAI_ENDPOINT, or give it to AzureOpenAI")
        if endpoint and not endpoint.lower().startswith(("https://", "http://")):
            name = "azure_endpoint" if azure_endpoint else "AZURE_OPENAI_ENDPOINT"
            raise ValueError(
                f"{name} has to begin with https://, as in https://mine.openai.azure.com, not {shown_text(endpoint)!r}"
            )
        if endpoint and endpoint.rstrip("/").endswith("/openai/v1"):
            raise ValueError("a resource's /openai/v1/ is no azure_endpoint: it is a base_url for TrioOpenAI")
        if not version:
            raise ValueError(
                'there is no api_version: set OPENAI_API_VERSION, or give AzureOpenAI(api_version="2024-10-21"); '
                "none is needed for a resource's /openai/v1/, which is a base_url for TrioOpenAI"
            )
        return cls(endpoint, azure_deployment, version, base_url)

    def changed(self, options: dict[str, Any]) -> _Place:
        """The same with others of its options."""
        mine = attrs.asdict(self)
        if options.keys() & {"azure_endpoint", "base_url"}:
            mine.update(azure_endpoint=None, base_url=None)
        return _Place.of(**{**mine, **options})

    def url(self) -> httpx.URL:
        """The client's `base_url`."""
        try:
            base = httpx.URL(self.base_url or f"{(self.azure_endpoint or '').rstrip('/')}/openai")
        except httpx.InvalidURL as error:
            why = str(error)
        else:
            return base.copy_merge_params({"api-version": self.api_version})
        raise ValueError(f"that is not a URL: {why}")

    def __call__(self, path: str, params: Mapping[str, Any]) -> str:
        """The path to ask, after the `base_url`."""
        if path not in _OF_A_DEPLOYMENT or "/deployments/" in str(self.base_url or ""):
            return path
        deployment = self.azure_deployment or params.get("model")
        if not isinstance(deployment, str) or deployment.strip() in ("", ".", ".."):
            raise ValueError(f"{path} needs a deployment: give model=..., or AzureOpenAI(azure_deployment=...)")
        return f"/deployments/{path_segment(deployment)}{path}"
