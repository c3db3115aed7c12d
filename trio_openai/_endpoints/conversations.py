"""The endpoints for conversations, which the server stores for `responses.create(conversation=...)`."""

from __future__ import annotations

from typing import Any, Unpack, cast

from trio_openai._protocols.plain_answers import Decode, as_object
from trio_openai._request.session import Session
from trio_openai.types import Conversation, ConversationDeletedResource, ConversationItem, ConversationItemList
from trio_openai.types.params import CallParams
from trio_openai.types.stored_params import (
    ConversationCreateParams,
    ConversationItemCreateParams,
    ConversationItemListParams,
    ConversationItemRetrieveParams,
    ConversationUpdateParams,
)

from ._endpoint import Endpoint, RawResponses, ReturnsT, returns_object
from ._operations import Operation, Params
from ._pages import Listing, listing, returns_pages
from ._parameters import NO_PARAMETERS, Parameters

_PATH = "/conversations/{conversation_id}"
_as_conversation = as_object(Conversation)
_as_item: Decode[ConversationItem] = as_object(cast("Any", ConversationItem))

_CREATE = Operation("POST", "/conversations", Parameters(ConversationCreateParams), _as_conversation)
_RETRIEVE = Operation("GET", _PATH, NO_PARAMETERS, _as_conversation)
_UPDATE = Operation("POST", _PATH, Parameters(ConversationUpdateParams), _as_conversation)
_DELETE = Operation("DELETE", _PATH, NO_PARAMETERS, as_object(ConversationDeletedResource))
_CREATE_ITEMS = Operation(
    "POST",
    f"{_PATH}/items",
    Parameters(ConversationItemCreateParams),
    as_object(ConversationItemList),
    in_url=("include",),
)
_LIST_ITEMS = Operation(
    "GET", f"{_PATH}/items", Parameters(ConversationItemListParams), as_object(ConversationItemList)
)
_RETRIEVE_ITEM = Operation("GET", f"{_PATH}/items/{{item_id}}", Parameters(ConversationItemRetrieveParams), _as_item)
_DELETE_ITEM = Operation("DELETE", f"{_PATH}/items/{{item_id}}", NO_PARAMETERS, _as_conversation)


class Conversations(Endpoint[ReturnsT]):
    """Conversations that the server stores. `client.conversations`."""

    with_raw_response: Conversations[RawResponses]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.items: ConversationItems[ReturnsT] = ConversationItems(session)

    @returns_object
    async def create(self, **params: Unpack[ConversationCreateParams]) -> Conversation:
        """Create a conversation, which may already have `items`.

        Args:
            params: The API's parameters.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
            APIError: The request failed.
        """
        return await _CREATE(self._session, (), cast("Params", params))

    @returns_object
    async def retrieve(self, conversation_id: str, **params: Unpack[CallParams]) -> Conversation:
        """Return a conversation, without its items.

        Args:
            conversation_id: The id of the conversation.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Raises:
            TypeError, ValueError: The id is not a string, or is empty.
            APIError: The request failed.
        """
        return await _RETRIEVE(self._session, (conversation_id,), cast("Params", params))

    @returns_object
    async def update(self, conversation_id: str, **params: Unpack[ConversationUpdateParams]) -> Conversation:
        """Replace the `metadata` of a conversation, and return the conversation.

        Args:
            conversation_id: The id of the conversation.
            params: The API's parameters.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
            APIError: The request failed.
        """
        return await _UPDATE(self._session, (conversation_id,), cast("Params", params))

    @returns_object
    async def delete(self, conversation_id: str, **params: Unpack[CallParams]) -> ConversationDeletedResource:
        """Delete a conversation. The server keeps its items.

        Args:
            conversation_id: The id of the conversation.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Raises:
            TypeError, ValueError: The id is not a string, or is empty.
            APIError: The request failed.
        """
        return await _DELETE(self._session, (conversation_id,), cast("Params", params))


class ConversationItems(Endpoint[ReturnsT]):
    """The items of a conversation. `client.conversations.items`."""

    with_raw_response: ConversationItems[RawResponses]

    @returns_object
    async def create(
        self, conversation_id: str, **params: Unpack[ConversationItemCreateParams]
    ) -> ConversationItemList:
        """Add items to a conversation, and return them as the server stores them.

        Args:
            conversation_id: The id of the conversation.
            params: The API's parameters.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
            APIError: The request failed.
        """
        return await _CREATE_ITEMS(self._session, (conversation_id,), cast("Params", params))

    @returns_pages
    def list(self, conversation_id: str, **params: Unpack[ConversationItemListParams]) -> Listing[ConversationItem]:
        """List the items of a conversation, the newest first unless `order="asc"`.

        Args:
            conversation_id: The id of the conversation.
            params: The API's parameters, such as `limit` and `order`.

        Returns:
            A listing. Await it for the first page, or iterate it (`async for`) for all items. Either raises `APIError`
            if a request fails.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
        """
        return listing(self._session, _LIST_ITEMS, (conversation_id,), cast("Params", params))

    @returns_object
    async def retrieve(
        self, item_id: str, *, conversation_id: str, **params: Unpack[ConversationItemRetrieveParams]
    ) -> ConversationItem:
        """Return an item of a conversation.

        Args:
            item_id: The id of the item.
            conversation_id: The id of the conversation.
            params: The API's parameters.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
            APIError: The request failed.
        """
        return await _RETRIEVE_ITEM(self._session, (conversation_id, item_id), cast("Params", params))

    @returns_object
    async def delete(self, item_id: str, *, conversation_id: str, **params: Unpack[CallParams]) -> Conversation:
        """Delete an item of a conversation, and return the conversation.

        Args:
            item_id: The id of the item.
            conversation_id: The id of the conversation.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Raises:
            TypeError, ValueError: An id is not a string, or is empty.
            APIError: The request failed.
        """
        return await _DELETE_ITEM(self._session, (conversation_id, item_id), cast("Params", params))
