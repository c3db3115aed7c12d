"""The endpoints of the blocking client that never stream: files, batches, conversations and moderations.

`endpoints.py` explains how a method names its counterpart.
"""

from __future__ import annotations

from typing import Final

from trio_openai._endpoints._endpoint import RawResponses, ReturnsT

from .calls import Paged, Plain, Streamed, SyncEndpoint, SyncSession
from .stream import SyncByteStream


class SyncModerations(SyncEndpoint[ReturnsT]):
    """Judgements of texts and images: whether they are harmful. `client.moderations`."""

    with_raw_response: SyncModerations[RawResponses]
    create: Final = Plain(lambda client: client.moderations.create)


class SyncFiles(SyncEndpoint[ReturnsT]):
    """Files that the server stores. `client.files`."""

    with_raw_response: SyncFiles[RawResponses]
    create: Final = Plain(lambda client: client.files.create)
    retrieve: Final = Plain(lambda client: client.files.retrieve)
    list: Final = Paged(lambda client: client.files.list)
    delete: Final = Plain(lambda client: client.files.delete)

    def __init__(self, session: SyncSession) -> None:
        super().__init__(session)
        self.content: SyncFileContents[ReturnsT] = SyncFileContents(session)


class SyncFileContents(SyncEndpoint[ReturnsT]):
    """The content of a file, as a whole or streamed. `client.files.content`."""

    with_raw_response: SyncFileContents[RawResponses]
    __call__: Final = Plain(lambda client: client.files.content.__call__)
    stream_bytes: Final = Streamed(lambda client: client.files.content.stream_bytes, SyncByteStream)


class SyncBatches(SyncEndpoint[ReturnsT]):
    """Batches: many requests in a file, which the server answers within a day. `client.batches`."""

    with_raw_response: SyncBatches[RawResponses]
    create: Final = Plain(lambda client: client.batches.create)
    retrieve: Final = Plain(lambda client: client.batches.retrieve)
    list: Final = Paged(lambda client: client.batches.list)
    cancel: Final = Plain(lambda client: client.batches.cancel)


class SyncConversations(SyncEndpoint[ReturnsT]):
    """Conversations that the server stores. `client.conversations`."""

    with_raw_response: SyncConversations[RawResponses]
    create: Final = Plain(lambda client: client.conversations.create)
    retrieve: Final = Plain(lambda client: client.conversations.retrieve)
    update: Final = Plain(lambda client: client.conversations.update)
    delete: Final = Plain(lambda client: client.conversations.delete)

    def __init__(self, session: SyncSession) -> None:
        super().__init__(session)
        self.items: SyncConversationItems[ReturnsT] = SyncConversationItems(session)


class SyncConversationItems(SyncEndpoint[ReturnsT]):
    """The items of a conversation. `client.conversations.items`."""

    with_raw_response: SyncConversationItems[RawResponses]
    create: Final = Plain(lambda client: client.conversations.items.create)
    list: Final = Paged(lambda client: client.conversations.items.list)
    retrieve: Final = Plain(lambda client: client.conversations.items.retrieve)
    delete: Final = Plain(lambda client: client.conversations.items.delete)
