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
from functools import cached_property
from typing import Any, TypeAlias, cast

import attrs
import httpx

from ._client import TrioOpenAI
from ._http.secrets import shown_text
from ._request.api_key import Key, in_thread
from ._request.options import SECRET_OPTION, ClientOptions, checked_url, takes_options
from ._request.session import Session
from ._wire.text import path_segment
from .errors import OpenAIError

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


def _key_as(parameter: str, given: Any) -> Key | None:
    """Return a key, a token, or a function that gives one, as a `Key` that knows its header. It is checked later."""
    if isinstance(given, Key) or not given:
        return given or None
    if callable(given) and not inspect.iscoroutinefunction(given):
        given = in_thread(cast("Provider", given))
    return Key(given, "api-key" if parameter == "api_key" else "Authorization", parameter)


def _api_key(given: str | Provider | Key | None) -> Key | None:
    return _key_as("api_key", given)


def _token(given: str | Key | None) -> Key | None:
    return _key_as("azure_ad_token", given)


def _is_token(given: Any) -> bool:
    return not (given is None or callable(given) or isinstance(given, Key))


def _provider(given: Provider | Key | None) -> Key | None:
    if _is_token(given):
        given = None  # it may be a token, and a traceback shows the locals
        raise TypeError("azure_ad_token_provider takes a function; a token itself is given as azure_ad_token")
    return _key_as("azure_ad_token_provider", given)


def _is_text(_: object, field: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str | None):
        raise TypeError(f"{field.name} takes a string, not {type(value).__name__}")


_KEYS = ("api_key", "azure_ad_token", "azure_ad_token_provider")
_PLACES = ("azure_endpoint", "base_url")


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class AzureOptions(ClientOptions):
    """The options of an `AzureOpenAI`, which differ from `ClientOptions` in the key, the URL and the paths."""

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
            'there is no api_version: set OPENAI_API_VERSION, or give AzureOpenAI(api_version="2024-10-21"); '
            "none is needed for a resource's /openai/v1/, which is a base_url for TrioOpenAI"
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
            raise ValueError("there is no azure_endpoint: set AZURE_OPENAI_ENDPOINT, or give it to AzureOpenAI")
        return base.copy_merge_params({"api-version": self.version})

    def path(self, path: str, params: Mapping[str, Any]) -> str:
        """Return the path to request, which names a deployment if the endpoint asks a model."""
        if path not in _OF_A_DEPLOYMENT or "/deployments/" in self.url.path:
            return path
        deployment = self.azure_deployment or params.get("model")
        if not isinstance(deployment, str) or deployment.strip() in ("", ".", ".."):
            raise ValueError(f"{path} needs a deployment: give model=..., or AzureOpenAI(azure_deployment=...)")
        return f"/deployments/{path_segment(deployment)}{path}"

    def _resolved(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        # A new key replaces whichever there was, and so does a new place. The URL has everything of the old place.
        key = dict.fromkeys(_KEYS, None) | ({} if changes.keys() & {*_KEYS} else {"api_key": self.key})
        place = dict.fromkeys(_PLACES, None) | ({} if changes.keys() & {*_PLACES} else {"base_url": self.url})
        return {**key, **place, "api_version": self.version}


def _key_of_environment() -> Key:
    variables = {"azure_ad_token": "AZURE_OPENAI_AD_TOKEN", "api_key": "AZURE_OPENAI_API_KEY"}
    for parameter, variable in variables.items():
        if key := _key_as(parameter, os.environ.get(variable)):
            return key
    raise OpenAIError(
        "there is no key: set AZURE_OPENAI_API_KEY or AZURE_OPENAI_AD_TOKEN, or give AzureOpenAI(api_key=...), "
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

    @takes_options(AzureOptions)
    def __init__(self, options: AzureOptions) -> None:
        self._set_up(options, Session.of(options))
