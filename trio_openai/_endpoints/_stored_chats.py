"""Stored chat completions: what was created with `store=True`, until it is deleted.

They are methods of `client.chat.completions`, which inherits them. `chat.py` is imported with the client, so the
classes of the results are only imported when a program asks for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack, cast

from trio_openai import types
from trio_openai._protocols.plain_answers import as_object
from trio_openai.types import ChatCompletion
from trio_openai.types.params import (
    CallParams,
    ChatCompletionListParams,
    ChatCompletionUpdateParams,
    PageParams,
)

from ._endpoint import Endpoint, RawResponses, ReturnsT, returns_object
from ._operations import Operation, Params
from ._pages import Listing, listing, returns_pages
from ._parameters import NO_PARAMETERS, Parameters

if TYPE_CHECKING:
    from trio_openai.types import (
        ChatCompletionDeleted,
        ChatCompletionList,
        ChatCompletionStoreMessage,
        ChatCompletionStoreMessageList,
    )


def _as_list(body: bytes) -> ChatCompletionList:
    return as_object(types.ChatCompletionList)(body)


def _as_messages(body: bytes) -> ChatCompletionStoreMessageList:
    return as_object(types.ChatCompletionStoreMessageList)(body)


def _as_deleted(body: bytes) -> ChatCompletionDeleted:
    return as_object(types.ChatCompletionDeleted)(body)


_PATH = "/chat/completions/{completion_id}"
_RETRIEVE = Operation("GET", _PATH, NO_PARAMETERS, as_object(ChatCompletion))
_UPDATE = Operation("POST", _PATH, Parameters(ChatCompletionUpdateParams), as_object(ChatCompletion))
_DELETE = Operation("DELETE", _PATH, NO_PARAMETERS, _as_deleted)
_LIST = Operation("GET", "/chat/completions", Parameters(ChatCompletionListParams), _as_list)
_LIST_MESSAGES = Operation("GET", f"{_PATH}/messages", Parameters(PageParams), _as_messages)


class StoredChatCompletions(Endpoint[ReturnsT]):
    """The methods of `client.chat.completions` for stored completions."""

    @property
    def messages(self) -> StoredMessages[ReturnsT]:
        """The messages that a stored completion answers."""
        return StoredMessages(self._session)

    @returns_object
    async def retrieve(self, completion_id: str, **params: Unpack[CallParams]) -> ChatCompletion:
        """Return a stored completion.

        Args:
            completion_id: The id of the completion.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Raises:
            TypeError, ValueError: The id is not a string, or is empty.
            APIError: The request failed.
        """
        return await _RETRIEVE(self._session, (completion_id,), cast("Params", params))

    @returns_object
    async def update(self, completion_id: str, **params: Unpack[ChatCompletionUpdateParams]) -> ChatCompletion:
        """Replace the `metadata` of a stored completion, and return the completion.

        Args:
            completion_id: The id of the completion.
            params: The API's parameters.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
            APIError: The request failed.
        """
        return await _UPDATE(self._session, (completion_id,), cast("Params", params))

    @returns_pages
    def list(self, **params: Unpack[ChatCompletionListParams]) -> Listing[ChatCompletion]:
        """List the stored completions.

        Args:
            params: The API's parameters, such as `metadata`, `model` and `limit`.

        Returns:
            A listing. Await it for the first page, or iterate it (`async for`) for all items. Either raises `APIError`
            if a request fails.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
        """
        return listing(self._session, _LIST, (), cast("Params", params))

    @returns_object
    async def delete(self, completion_id: str, **params: Unpack[CallParams]) -> ChatCompletionDeleted:
        """Delete a stored completion.

        Args:
            completion_id: The id of the completion.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Raises:
            TypeError, ValueError: The id is not a string, or is empty.
            APIError: The request failed.
        """
        return await _DELETE(self._session, (completion_id,), cast("Params", params))


class StoredMessages(Endpoint[ReturnsT]):
    """The messages that a stored completion answers. `client.chat.completions.messages`."""

    with_raw_response: StoredMessages[RawResponses]

    @returns_pages
    def list(self, completion_id: str, **params: Unpack[PageParams]) -> Listing[ChatCompletionStoreMessage]:
        """List the messages that a stored completion answers.

        Args:
            completion_id: The id of the completion.
            params: The API's parameters, such as `limit` and `order`.

        Returns:
            A listing. Await it for the first page, or iterate it (`async for`) for all items. Either raises `APIError`
            if a request fails.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
        """
        return listing(self._session, _LIST_MESSAGES, (completion_id,), cast("Params", params))
