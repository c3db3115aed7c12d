"""The type of each overload of each endpoint, for mypy and pyright: the functions are checked, and never called."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import assert_type

import trio

from trio_openai import (
    ByteStream,
    ChatCompletionStream,
    ChatToolRun,
    CompletionStream,
    ImageStream,
    ParsedChatCompletionStream,
    ParsedResponseStream,
    ResponseStream,
    ResponseToolRun,
    SpeechStream,
    StreamCall,
    SyncOpenAI,
    TranscriptionStream,
    TrioOpenAI,
)
from trio_openai._stream.stream import StreamManager
from trio_openai.sync import (
    SyncChatCompletionStream,
    SyncCompletionStream,
    SyncParsedChatCompletionStream,
    SyncParsedResponseStream,
    SyncResponseStream,
    SyncSpeechStream,
    SyncStreamManager,
    SyncTranscriptionStream,
)
from trio_openai.types import (
    ChatCompletion,
    Completion,
    ImagesResponse,
    ParsedChatCompletion,
    ParsedResponse,
    Response,
    Transcription,
    TranscriptionDiarized,
    TranscriptionVerbose,
)


class Answer:
    """The class of a structured output."""


async def chat(client: TrioOpenAI, nursery: trio.Nursery) -> None:
    chat = client.chat.completions
    assert_type(chat.stream(model="m", messages=[]), StreamManager[ChatCompletionStream])
    assert_type(
        chat.stream(model="m", messages=[], response_format=Answer), StreamManager[ParsedChatCompletionStream[Answer]]
    )
    assert_type(await chat.start_stream(nursery, model="m", messages=[]), ChatCompletionStream)
    parsed = await chat.start_stream(nursery, model="m", messages=[], response_format=Answer)
    assert_type(parsed, ParsedChatCompletionStream[Answer])
    assert_type(chat.call(model="m", messages=[]), StreamCall[ChatCompletionStream])
    call = chat.call(model="m", messages=[], response_format=Answer)
    assert_type(call, StreamCall[ParsedChatCompletionStream[Answer]])
    run = chat.run_tools(model="m", messages=[], tools=[])
    assert_type(run, AbstractAsyncContextManager[ChatToolRun[ChatCompletion]])
    parsed_run = chat.run_tools(model="m", messages=[], tools=[], response_format=Answer)
    assert_type(parsed_run, AbstractAsyncContextManager[ChatToolRun[ParsedChatCompletion[Answer]]])
    assert_type(await chat.create(model="m", messages=[], stream=False), ChatCompletion)
    assert_type(await chat.create(model="m", messages=[], response_format={"type": "json_object"}), ChatCompletion)


async def responses(client: TrioOpenAI, nursery: trio.Nursery) -> None:
    responses = client.responses
    assert_type(responses.stream(model="m"), StreamManager[ResponseStream])
    assert_type(responses.stream(model="m", text_format=Answer), StreamManager[ParsedResponseStream[Answer]])
    assert_type(await responses.start_stream(nursery, model="m"), ResponseStream)
    assert_type(await responses.start_stream(nursery, text_format=Answer), ParsedResponseStream[Answer])
    assert_type(responses.call(model="m"), StreamCall[ResponseStream])
    assert_type(responses.call(model="m", text_format=Answer), StreamCall[ParsedResponseStream[Answer]])
    run = responses.run_tools(model="m", tools=[])
    assert_type(run, AbstractAsyncContextManager[ResponseToolRun[Response]])
    parsed_run = responses.run_tools(model="m", tools=[], text_format=Answer)
    assert_type(parsed_run, AbstractAsyncContextManager[ResponseToolRun[ParsedResponse[Answer]]])
    assert_type(await responses.create(model="m"), Response)
    assert_type(await responses.create(model="m", stream=True), ResponseStream)
    assert_type(await responses.create(model="m", text_format=Answer), ParsedResponse[Answer])
    assert_type(await responses.create(model="m", text_format=Answer, stream=True), ParsedResponseStream[Answer])
    assert_type(await responses.retrieve("r"), Response)
    assert_type(responses.retrieve.stream("r"), StreamManager[ResponseStream])
    assert_type(await responses.retrieve.start_stream(nursery, "r"), ResponseStream)
    assert_type(responses.retrieve.call("r"), StreamCall[ResponseStream])


async def others(client: TrioOpenAI) -> None:
    assert_type(await client.completions.create(model="m", prompt="Hi"), Completion)
    assert_type(await client.completions.create(model="m", prompt="Hi", stream=True), CompletionStream)
    assert_type(await client.images.edit(prompt="a cat", image=b""), ImagesResponse)
    assert_type(await client.images.edit(prompt="a cat", image=b"", stream=True), ImageStream)
    transcribe = client.audio.transcriptions.create
    assert_type(await transcribe(model="m", file=b""), Transcription)
    assert_type(await transcribe(model="m", file=b"", response_format="text"), str)
    assert_type(await transcribe(model="m", file=b"", response_format="verbose_json"), TranscriptionVerbose)
    assert_type(await transcribe(model="m", file=b"", response_format="diarized_json"), TranscriptionDiarized)
    assert_type(await transcribe(model="m", file=b"", stream=True), TranscriptionStream)
    speech = client.audio.speech
    assert_type(await speech.create(model="m", input="Hi", voice="v"), bytes)
    assert_type(await speech.create(model="m", input="Hi", voice="v", stream=True), SpeechStream)
    assert_type(speech.stream_bytes(model="m", input="Hi", voice="v"), StreamManager[ByteStream])


def blocking(client: SyncOpenAI) -> None:
    chat, responses = client.chat.completions, client.responses
    assert_type(chat.stream(model="m", messages=[]), SyncStreamManager[SyncChatCompletionStream])
    parsed = chat.stream(model="m", messages=[], response_format=Answer)
    assert_type(parsed, SyncStreamManager[SyncParsedChatCompletionStream[Answer]])
    assert_type(chat.create(model="m", messages=[], response_format=Answer), ParsedChatCompletion[Answer])
    assert_type(responses.stream(model="m"), SyncStreamManager[SyncResponseStream])
    assert_type(responses.stream(text_format=Answer), SyncStreamManager[SyncParsedResponseStream[Answer]])
    assert_type(responses.create(model="m"), Response)
    assert_type(responses.create(model="m", stream=True), SyncResponseStream)
    assert_type(responses.create(text_format=Answer, stream=True), SyncParsedResponseStream[Answer])
    assert_type(client.completions.create(model="m", prompt="Hi", stream=True), SyncCompletionStream)
    assert_type(client.audio.transcriptions.create(model="m", file=b"", stream=True), SyncTranscriptionStream)
    assert_type(client.audio.speech.create(model="m", input="Hi", voice="v", stream=True), SyncSpeechStream)


async def mistakes(client: TrioOpenAI, sync: SyncOpenAI) -> None:
    client.chat.completions.stream(model="m", messages=[], temprature=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    client.responses.stream(model="m", inptu="Hi")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    client.chat.completions.stream(model="m")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await client.embeddings.create(model="m", input="Hi", dimension=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    sync.chat.completions.create(model="m", messages=[], temperature="hot")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
