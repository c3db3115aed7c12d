"""The endpoints for files, and for batches, whose requests and results are files."""

from __future__ import annotations

from typing import Unpack, cast

from trio_openai._protocols.plain_answers import as_object
from trio_openai._request.exchange import Exchange
from trio_openai._request.session import Session
from trio_openai._stream.bytes import ByteStream
from trio_openai._stream.stream import StreamManager
from trio_openai.types import Batch, BatchList, BinaryContent, FileDeleted, FileList, FileObject
from trio_openai.types.params import CallParams
from trio_openai.types.stored_params import BatchCreateParams, BatchListParams, FileCreateParams, FileListParams

from ._endpoint import Endpoint, RawResponses, ReturnsT, returns_object
from ._operations import Operation, Params
from ._pages import Listing, listing, returns_pages
from ._parameters import NO_PARAMETERS, Parameters, by_name_only

_CREATE = Operation(
    "POST", "/files", Parameters(FileCreateParams, unchecked=("file",)), as_object(FileObject), files=("file",)
)
_RETRIEVE = Operation("GET", "/files/{file_id}", NO_PARAMETERS, as_object(FileObject))
_LIST = Operation("GET", "/files", Parameters(FileListParams), as_object(FileList))
_DELETE = Operation("DELETE", "/files/{file_id}", NO_PARAMETERS, as_object(FileDeleted))
# The content is never taken for a server's error: the file of a batch may well consist of one.
_CONTENT = Operation("GET", "/files/{file_id}/content", NO_PARAMETERS, BinaryContent, binary=True)

_CREATE_BATCH = Operation("POST", "/batches", Parameters(BatchCreateParams), as_object(Batch))
_RETRIEVE_BATCH = Operation("GET", "/batches/{batch_id}", NO_PARAMETERS, as_object(Batch))
_LIST_BATCHES = Operation("GET", "/batches", Parameters(BatchListParams), as_object(BatchList))
_CANCEL_BATCH = Operation("POST", "/batches/{batch_id}/cancel", NO_PARAMETERS, as_object(Batch))


class Files(Endpoint[ReturnsT]):
    """Files that the server stores. `client.files`."""

    with_raw_response: Files[RawResponses]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.content: FileContents[ReturnsT] = FileContents(session)

    @returns_object
    async def create(self, **params: Unpack[FileCreateParams]) -> FileObject:
        """Upload a file. A file on disk is read in a thread while it is sent, and never held in memory as a whole.

        Args:
            params: The API's parameters. `file` is a path, bytes, or a file that is open in binary mode; or a tuple of
                a name and one of these.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
            OSError: The file cannot be read.
            APIError: The request failed.
        """
        return await _CREATE(self._session, (), cast("Params", params))

    @returns_object
    async def retrieve(self, file_id: str, **params: Unpack[CallParams]) -> FileObject:
        """Return the description of a file.

        Args:
            file_id: The id of the file.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Raises:
            TypeError, ValueError: The id is not a string, or is empty.
            APIError: The request failed.
        """
        return await _RETRIEVE(self._session, (file_id,), cast("Params", params))

    @returns_pages
    def list(self, **params: Unpack[FileListParams]) -> Listing[FileObject]:
        """List the files.

        Args:
            params: The API's parameters, such as `purpose` and `limit`.

        Returns:
            A listing. Await it for the first page, or iterate it (`async for`) for all items. Either raises `APIError`
            if a request fails.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
        """
        return listing(self._session, _LIST, (), cast("Params", params))

    @returns_object
    async def delete(self, file_id: str, **params: Unpack[CallParams]) -> FileDeleted:
        """Delete a file.

        Args:
            file_id: The id of the file.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Raises:
            TypeError, ValueError: The id is not a string, or is empty.
            APIError: The request failed.
        """
        return await _DELETE(self._session, (file_id,), cast("Params", params))


class FileContents(Endpoint[ReturnsT]):
    """The content of a file, as a whole or streamed. `client.files.content`."""

    with_raw_response: FileContents[RawResponses]

    @returns_object
    async def __call__(self, file_id: str, **params: Unpack[CallParams]) -> BinaryContent:
        """Return the content of a file: bytes that also have a `text`.

        Args:
            file_id: The id of the file.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Raises:
            TypeError, ValueError: The id is not a string, or is empty.
            APIError: The request failed.
        """
        return await _CONTENT(self._session, (file_id,), cast("Params", params))

    @by_name_only
    def stream_bytes(self, file_id: str, **params: Unpack[CallParams]) -> StreamManager[ByteStream]:
        """Stream the content of a file inside an `async with` block, for example to write it to disk.

        Args:
            file_id: The id of the file.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Returns:
            A context manager, which gives a `ByteStream`. Leaving the block closes it.

        Raises:
            TypeError, ValueError: The id is not a string, or is empty.
            APIError: Entering the block or iterating the stream failed. The connection is closed.
        """
        session = self._session
        request = _CONTENT.prepare(session, (file_id,), cast("Params", params))
        return StreamManager(lambda: ByteStream(Exchange(session, request)))


class Batches(Endpoint[ReturnsT]):
    """Batches: many requests in a file, which the server answers within a day. `client.batches`."""

    with_raw_response: Batches[RawResponses]

    @returns_object
    async def create(self, **params: Unpack[BatchCreateParams]) -> Batch:
        """Start a batch of the requests in an uploaded file.

        Args:
            params: The API's parameters.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
            APIError: The request failed.
        """
        return await _CREATE_BATCH(self._session, (), cast("Params", params))

    @returns_object
    async def retrieve(self, batch_id: str, **params: Unpack[CallParams]) -> Batch:
        """Return a batch, with its status and the ids of its files.

        Args:
            batch_id: The id of the batch.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Raises:
            TypeError, ValueError: The id is not a string, or is empty.
            APIError: The request failed.
        """
        return await _RETRIEVE_BATCH(self._session, (batch_id,), cast("Params", params))

    @returns_pages
    def list(self, **params: Unpack[BatchListParams]) -> Listing[Batch]:
        """List the batches.

        Args:
            params: The API's parameters, such as `limit`.

        Returns:
            A listing. Await it for the first page, or iterate it (`async for`) for all items. Either raises `APIError`
            if a request fails.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
        """
        return listing(self._session, _LIST_BATCHES, (), cast("Params", params))

    @returns_object
    async def cancel(self, batch_id: str, **params: Unpack[CallParams]) -> Batch:
        """Cancel a batch. It is "cancelling" for up to ten minutes, and then has the results so far.

        Args:
            batch_id: The id of the batch.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Raises:
            TypeError, ValueError: The id is not a string, or is empty.
            APIError: The request failed.
        """
        return await _CANCEL_BATCH(self._session, (batch_id,), cast("Params", params))
