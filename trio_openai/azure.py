"""The client for Azure OpenAI with its deployments: a `TrioOpenAI` with other options.

    async with AzureOpenAI(azure_endpoint="https://mine.openai.azure.com", api_version="2024-10-21") as client:
        async with client.chat.completions.stream(model="my-deployment", messages=[...]) as stream:
            ...

Azure differs from OpenAI in three ways, and `AzureOptions` overrides a property or method for each:

* `key`: a key is sent in the header `api-key`. A Microsoft Entra ID token is sent as a bearer token.
* `url`: every URL has an `api-version`.
* `path`: endpoints that run a model have the name of its deployment in their path.

The newer API of Azure (`https://mine.openai.azure.com/openai/v1/`) does not differ. For it, use `TrioOpenAI` with that
`base_url`, and the key, or a function that returns tokens, as `api_key`.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, TypeAlias

import attrs

from trio_openai._httpx import httpx

from ._client import TrioOpenAI
from ._http.secrets import shown_text
from ._request.api_key import Key, key_that_may_block
from ._request.options import SECRET_OPTION, ClientOptions, checked_url, takes_options
from ._request.session import Session
from ._wire.text import path_segment
from .errors import OpenAIError

__all__ = ["AzureOpenAI"]

Provider: TypeAlias = Callable[[], str | Awaitable[str]]
"""A function that returns a key or token. It may be async, or may block: then it is called in a thread."""

_DEPLOYMENT_PATHS = frozenset(
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


def _api_key(given: str | Provider | Key | None) -> Key | None:
    return key_that_may_block(given, "api-key")


def _token(given: str | Key | None) -> Key | None:
    return key_that_may_block(given, parameter="azure_ad_token")


def _is_token(given: Any) -> bool:
    return not (given is None or callable(given) or isinstance(given, Key))


def _provider(given: Provider | Key | None) -> Key | None:
    if _is_token(given):
        given = None  # it may be a token, and a traceback shows the locals
        raise TypeError("azure_ad_token_provider takes a function; a token itself is given as azure_ad_token")
    return key_that_may_block(given, parameter="azure_ad_token_provider")


def _is_text(_: object, field: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str | None):
        raise TypeError(f"{field.name} takes a string, not {type(value).__name__}")


_KEYS = ("api_key", "azure_ad_token", "azure_ad_token_provider")
_PLACES = ("azure_endpoint", "base_url")


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class AzureOptions(ClientOptions):
    """The options of an `AzureOpenAI`. They differ from `ClientOptions` in the key, the URL and the paths."""

    azure_endpoint: str | None = attrs.field(default=None, validator=_is_text)
    azure_deployment: str | None = attrs.field(default=None, validator=_is_text)
    api_version: str | None = attrs.field(default=None, validator=_is_text)
    api_key: Key | None = attrs.field(default=None, converter=_api_key, metadata=SECRET_OPTION)
    azure_ad_token: Key | None = attrs.field(default=None, converter=_token, metadata=SECRET_OPTION)
    azure_ad_token_provider: Key | None = attrs.field(default=None, converter=_provider, metadata=SECRET_OPTION)

    @cached_property
    def key(self) -> Key:
        """The key or token to send: the only one that was given, else the environment's."""
        given: dict[str, Key] = {name: getattr(self, name) for name in _KEYS if getattr(self, name) is not None}
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given: the client takes one of them")
        key = next(iter(given.values()), None) or _key_of_environment()
        key.check()
        return key

    @cached_property
    def version(self) -> str:
        """The version of the API: `api_version`, else the environment's."""
        if version := self.api_version or os.environ.get("OPENAI_API_VERSION"):
            return version
        raise ValueError(
            'there is no api_version: set OPENAI_API_VERSION, or pass AzureOpenAI(api_version="2024-10-21"); '
            "a URL that ends with /openai/v1/ needs none: it is a base_url for TrioOpenAI"
        )

    @cached_property
    def url(self) -> httpx.URL:
        """The URL before every path: `base_url`, else a path at the resource. It has the API's version as its query."""
        base = self.base_url
        endpoint = self.azure_endpoint or (None if base else os.environ.get("AZURE_OPENAI_ENDPOINT"))
        if base and endpoint:
            raise ValueError("base_url and azure_endpoint are given: the client takes one of them")
        if endpoint:
            base = _url_of_endpoint(endpoint, "azure_endpoint" if self.azure_endpoint else "AZURE_OPENAI_ENDPOINT")
        if not base:
            raise ValueError("there is no azure_endpoint: set AZURE_OPENAI_ENDPOINT, or pass it to AzureOpenAI")
        return base.copy_merge_params({"api-version": self.version})

    def path(self, path: str, params: Mapping[str, Any]) -> str:
        """Return the path to request, which names a deployment if the endpoint asks a model."""
        if path not in _DEPLOYMENT_PATHS or "/deployments/" in self.url.path:
            return path
        deployment = self.azure_deployment or params.get("model")
        if not isinstance(deployment, str) or deployment.strip() in ("", ".", ".."):
            raise ValueError(f"{path} needs a deployment: pass model=..., or AzureOpenAI(azure_deployment=...)")
        return f"/deployments/{path_segment(deployment)}{path}"

    def _resolved(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        # A new key or token replaces the old one, of whichever kind, and a new endpoint or base_url the old place.
        # Without a new place the copy gets the old URL, which was computed from the endpoint.
        key = dict.fromkeys(_KEYS, None) | ({} if changes.keys() & {*_KEYS} else {"api_key": self.key})
        place = dict.fromkeys(_PLACES, None) | ({} if changes.keys() & {*_PLACES} else {"base_url": self.url})
        return {**key, **place, "api_version": self.version}


def _key_of_environment() -> Key:
    key = _token(os.environ.get("AZURE_OPENAI_AD_TOKEN")) or _api_key(os.environ.get("AZURE_OPENAI_API_KEY"))
    if key is not None:
        return key
    raise OpenAIError(
        "there is no key: set AZURE_OPENAI_API_KEY or AZURE_OPENAI_AD_TOKEN, or pass AzureOpenAI(api_key=...), "
        "azure_ad_token=... or azure_ad_token_provider=..."
    )


def _url_of_endpoint(endpoint: str, name: str) -> httpx.URL:
    """Return the `base_url` of a resource. `name` is the option or environment variable that gave it."""
    if not endpoint.lower().startswith(("https://", "http://")):
        raise ValueError(
            f"{name} has to begin with https://, as in https://mine.openai.azure.com, not {shown_text(endpoint)!r}"
        )
    endpoint = endpoint.rstrip("/")
    if endpoint.endswith("/openai/v1"):
        raise ValueError(
            f"{name} ends with /openai/v1, which needs no AzureOpenAI: give it as a base_url for TrioOpenAI"
        )
    return checked_url(f"{endpoint}/openai", name)


class AzureOpenAI(TrioOpenAI):
    """A client of a resource on Azure. The names are those of openai-python's `AsyncAzureOpenAI`.

    It takes the options of `TrioOpenAI`, and these:

    Args:
        azure_endpoint (str): The resource, such as `https://mine.openai.azure.com`. By default `AZURE_OPENAI_ENDPOINT`.
        azure_deployment (str): The deployment to use. By default it is the `model` of each call.
        api_version (str): The version of the API. By default `OPENAI_API_VERSION`.
        api_key (str | Provider): A key, or a function that returns one. By default `AZURE_OPENAI_API_KEY`.
        azure_ad_token (str): A Microsoft Entra ID token instead of a key. By default `AZURE_OPENAI_AD_TOKEN`, which
            takes precedence over `AZURE_OPENAI_API_KEY`.
        azure_ad_token_provider (Provider): A function that returns a token and is called before every attempt. It may
            be async, or may block, as the one from `azure.identity.get_bearer_token_provider`: then it is called in a
            thread.
        base_url (str): The whole URL before an endpoint's path, instead of `azure_endpoint`.

    Raises:
        OpenAIError: There is neither a key nor a token.
        TypeError, ValueError: An option is invalid or missing, or two options contradict each other.
    """

    @takes_options(AzureOptions)
    def __init__(self, options: AzureOptions) -> None:
        self._set_up(options, Session.of(options))
