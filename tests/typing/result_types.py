"""The types of results, for mypy and pyright: the functions are checked, and never called."""

from __future__ import annotations

from typing import assert_type

from trio_openai import (
    ByteStream,
    ChatCompletionStream,
    ChatToolRun,
    ImageStream,
    Page,
    ParsedChatCompletionStream,
    RawResponse,
    ResponseStream,
    ToolRequest,
    TrioOpenAI,
)
from trio_openai._stream.stream import StreamManager
from trio_openai.sync import (
    SyncByteStream,
    SyncChatCompletionStream,
    SyncChatToolRun,
    SyncImageStream,
    SyncOpenAI,
    SyncPage,
    SyncParsedChatCompletionStream,
    SyncRawResponse,
    SyncResponseStream,
    SyncStreamManager,
)
from trio_openai.types import (
    Batch,
    BinaryContent,
    ChatCompletion,
    ChatCompletionStoreMessage,
    ConversationItem,
    CreateEmbeddingResponse,
    FileObject,
    ImagesResponse,
    Model,
    ParsedChatCompletion,
    ParsedResponse,
    Response,
    ToolCallDone,
    TranscriptionVerbose,
    Translation,
    UnwrapWebhookEvent,
)


class Answer:
    """The class of a structured output."""


async def objects_of_the_async_client(client: TrioOpenAI) -> None:
    create = client.chat.completions.create
    assert_type(await create(model="m", messages=[]), ChatCompletion)
    assert_type(await create(model="m", messages=[], stream=True), ChatCompletionStream)
    assert_type(await create(model="m", messages=[], response_format=Answer), ParsedChatCompletion[Answer])
    parsed = await create(model="m", messages=[], response_format=Answer, stream=True)
    assert_type(parsed, ParsedChatCompletionStream[Answer])
    assert_type(await client.images.generate(prompt="a cat"), ImagesResponse)
    assert_type(await client.images.generate(prompt="a cat", stream=True), ImageStream)
    assert_type(await client.responses.retrieve("resp_1", stream=True), ResponseStream)
    assert_type(await client.responses.delete("resp_1"), None)
    assert_type(await client.models.list(), Page[Model])
    assert_type(await client.files.list(purpose="batch"), Page[FileObject])
    assert_type([file async for file in client.files.list()], list[FileObject])
    assert_type(await client.files.content("file_1"), BinaryContent)
    assert_type(client.files.content.stream_bytes("file_1"), StreamManager[ByteStream])
    assert_type(await client.conversations.items.retrieve("i", conversation_id="c"), ConversationItem)
    assert_type(await client.chat.completions.list(), Page[ChatCompletion])
    assert_type(await client.audio.translations.create(file=b"", model="m", response_format="srt"), str)
    assert_type(client.webhooks.unwrap(b"", {}), UnwrapWebhookEvent)
    file = await client.files.create(file=b"", purpose="batch")
    batch = await client.batches.create(input_file_id=file.id, endpoint="/v1/responses", completion_window="24h")
    assert_type((await client.batches.retrieve(batch.id)).status, str)
    conversation = await client.conversations.create()
    await client.responses.create(model="m", input="text", conversation=conversation.id)
    compacted = await client.responses.compact(model="m", input="text")
    await client.responses.create(model="m", input=compacted.output)
    await client.files.retrieve(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await create(model=1, messages=[])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def raw_responses_of_the_async_client(client: TrioOpenAI) -> None:
    raw = client.with_raw_response
    create = raw.chat.completions.create
    assert_type(await create(model="m", messages=[]), RawResponse[ChatCompletion])
    assert_type(await create(model="m", messages=[], stream=True), RawResponse[ChatCompletionStream])
    assert_type(await create(model="m", messages=[], response_format=Answer), RawResponse[ParsedChatCompletion[Answer]])
    assert_type(
        await client.chat.with_raw_response.completions.create(model="m", messages=[]), RawResponse[ChatCompletion]
    )
    assert_type(await client.images.generate.with_raw_response(prompt="a cat"), RawResponse[ImagesResponse])
    assert_type(await raw.responses.retrieve("resp_1"), RawResponse[Response])
    assert_type(await raw.responses.delete("resp_1"), RawResponse[None])
    assert_type(await raw.models.list(), RawResponse[Page[Model]])
    assert_type(await raw.batches.retrieve("batch_1"), RawResponse[Batch])
    assert_type(await raw.files.content("file_1"), RawResponse[BinaryContent])
    assert_type(await raw.audio.translations.create(file=b"", model="m"), RawResponse[Translation])
    assert_type(await raw.embeddings.create(model="m", input="text"), RawResponse[CreateEmbeddingResponse])
    await create(model=1, messages=[])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def objects_of_the_blocking_client(client: SyncOpenAI) -> None:
    create = client.chat.completions.create
    assert_type(create(model="m", messages=[]), ChatCompletion)
    assert_type(create(model="m", messages=[], stream=True), SyncChatCompletionStream)
    assert_type(
        create(model="m", messages=[], response_format=Answer, stream=True), SyncParsedChatCompletionStream[Answer]
    )
    assert_type(client.responses.create(model="m", text_format=Answer), ParsedResponse[Answer])
    assert_type(client.images.generate.stream(prompt="a cat"), SyncStreamManager[SyncImageStream])
    assert_type(client.models.list(), SyncPage[Model])
    assert_type(client.chat.completions.messages.list("c"), SyncPage[ChatCompletionStoreMessage])
    assert_type(client.files.content("file_1"), BinaryContent)
    assert_type(client.files.content.stream_bytes("file_1"), SyncStreamManager[SyncByteStream])
    assert_type(client.conversations.items.list("c"), SyncPage[ConversationItem])
    client.models.retrieve(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def raw_responses_of_the_blocking_client(client: SyncOpenAI) -> None:
    raw = client.with_raw_response
    assert_type(raw.chat.completions.create(model="m", messages=[]), SyncRawResponse[ChatCompletion])
    assert_type(raw.responses.retrieve("resp_1", stream=True, starting_after=4), SyncRawResponse[SyncResponseStream])
    verbose = raw.audio.transcriptions.create(model="m", file=b"", response_format="verbose_json")
    assert_type(verbose, SyncRawResponse[TranscriptionVerbose])
    assert_type(raw.models.list(), SyncRawResponse[SyncPage[Model]])
    assert_type(raw.files.content("file_1"), SyncRawResponse[BinaryContent])
    assert_type(client.models.with_raw_response.retrieve("m"), SyncRawResponse[Model])
    raw.models.retrieve(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def runs_of_the_async_client(client: TrioOpenAI) -> None:
    run_tools = client.chat.completions.run_tools
    async with run_tools(model="m", messages=[], tools=[now], approve=approve, on_error=explain) as run:
        assert_type(run, ChatToolRun[ChatCompletion])
        assert_type(await run.get_final_completion(), ChatCompletion)
    async with run_tools(model="m", messages=[], tools=[now], response_format=Answer) as parsed:
        assert_type(await parsed.get_final_completion(), ParsedChatCompletion[Answer])
    async with client.responses.run_tools(model="m", input="Hi", tools=[now]) as response_run:
        assert_type(await response_run.get_final_response(), Response)


def runs_of_the_blocking_client(client: SyncOpenAI) -> None:
    run_tools = client.chat.completions.run_tools
    with run_tools(model="m", messages=[], tools=[now], approve=approve_at_once, on_error="raise") as run:
        assert_type(run, SyncChatToolRun[ChatCompletion])
        assert_type(run.get_final_completion(), ChatCompletion)
    with run_tools(model="m", messages=[], tools=[now], response_format=Answer) as parsed:
        assert_type(parsed.get_final_completion(), ParsedChatCompletion[Answer])
    with client.responses.run_tools(model="m", input="Hi", tools=[now], text_format=Answer) as response_run:
        assert_type(response_run.get_final_response(), ParsedResponse[Answer])


def now() -> str:
    """Return the time."""
    return "noon"


async def approve(request: ToolRequest) -> bool | str:
    return request.name == "now" or "no"


def approve_at_once(request: ToolRequest) -> bool:
    return bool(request.arguments)


def explain(call: ToolCallDone, error: Exception) -> str:
    return f"{call.name}: {error}"
