"""A case for every streaming endpoint: a call, the server's replies, and the expected result."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import attrs

from trio_openai import (
    ChatCompletionStream,
    CompletionStream,
    ImageStream,
    ResponseStream,
    SpeechStream,
    TranscriptionStream,
)
from trio_openai.testing import Reply


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def text_piece(text: str, finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "text": text, "finish_reason": finish, "logprobs": None}
    return {"id": "cmpl-1", "object": "text_completion", "created": 7, "model": "m", "choices": [choice], **more}


TEXT_USAGE = {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
IMAGE_USAGE = {"input_tokens": 2, "output_tokens": 5, "total_tokens": 7}
AUDIO_USAGE = {"type": "tokens", "input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def image_events(kind: str) -> list[dict[str, Any]]:
    about = {"created_at": 7, "size": "1024x1024", "quality": "high", "background": "opaque", "output_format": "png"}
    return [
        {"type": f"{kind}.partial_image", "b64_json": "QQ==", "partial_image_index": 0, **about},
        {"type": f"{kind}.partial_image", "b64_json": "QUI=", "partial_image_index": 1, **about},
        {"type": f"{kind}.completed", "b64_json": "QUJD", "usage": IMAGE_USAGE, **about},
    ]


TRANSCRIPT = [
    {"type": "transcript.text.delta", "delta": "Hello "},
    {"type": "transcript.text.delta", "delta": "there."},
    {"type": "transcript.text.done", "text": "Hello there.", "usage": AUDIO_USAGE},
]
SPEECH = [
    {"type": "speech.audio.delta", "audio": b64(b"\xff\x00sound")},
    {"type": "speech.audio.delta", "audio": b64(b" and more")},
    {"type": "speech.audio.done", "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}},
]


@attrs.frozen
class Case:
    """A streaming endpoint.

    Attributes:
        name: The endpoint's attribute of the client, such as `chat.completions`.
        where: The positional arguments of a call.
        params: The keyword arguments of a call.
        path: The path of the request.
        stream: The class of the stream.
        streamed: A reply with a complete stream.
        plain: A reply with a complete result.
        whole: Extracts the essential part of a result or a snapshot.
        said: The value that `whole` returns for both replies.
        final: The name of the stream's method that reads to the end.
        text: The text of `text_deltas`.
        verdict: The verdict of the complete stream.
        asks: The bytes in the body or the URL that ask for a stream.
    """

    name: str
    path: str
    stream: type[Any]
    params: dict[str, Any]
    streamed: Reply
    plain: Reply
    whole: Callable[[Any], Any]
    said: Any
    final: str
    verdict: str
    text: str = ""
    where: tuple[str, ...] = ()
    asks: bytes = b'"stream":true'

    def of(self, client: Any) -> Any:
        for name in self.name.split("."):
            client = getattr(client, name)
        return client

    def create(self, client: Any) -> Callable[..., Any]:
        """Return the method that returns the whole result."""
        endpoint = self.of(client)
        return getattr(endpoint, "create", endpoint)


CASES = [
    Case(
        "chat.completions",
        "/v1/chat/completions",
        ChatCompletionStream,
        {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
        Reply.chat("Hello there."),
        Reply.chat("Hello there.", stream=False),
        lambda whole: whole.choices[0].message.content,
        "Hello there.",
        "get_final_completion",
        "done by [DONE] (stop)",
        "Hello there.",
    ),
    Case(
        "responses",
        "/v1/responses",
        ResponseStream,
        {"model": "m", "input": "Hi"},
        Reply.response("Hello there."),
        Reply.response("Hello there.", stream=False),
        lambda whole: whole.output_text,
        "Hello there.",
        "get_final_response",
        "done by terminal_event (response.completed)",
        "Hello there.",
    ),
    Case(
        "responses.retrieve",
        "/v1/responses/resp_1",
        ResponseStream,
        {},
        Reply.response("Hello there."),
        Reply.response("Hello there.", stream=False),
        lambda whole: whole.output_text,
        "Hello there.",
        "get_final_response",
        "done by terminal_event (response.completed)",
        "Hello there.",
        where=("resp_1",),
        asks=b"?stream=true",
    ),
    Case(
        "completions",
        "/v1/completions",
        CompletionStream,
        {"model": "m", "prompt": "Say hello."},
        Reply.sse(text_piece("Hello "), text_piece("there.", "stop"), text_piece("", usage=TEXT_USAGE)),
        Reply.json(text_piece("Hello there.", "stop", usage=TEXT_USAGE)),
        lambda whole: (whole.choices[0].text, whole.usage.total_tokens),
        ("Hello there.", 4),
        "get_final_completion",
        "done by [DONE] (stop)",
        "Hello there.",
    ),
    Case(
        "images.generate",
        "/v1/images/generations",
        ImageStream,
        {"prompt": "A cat.", "model": "m", "partial_images": 2},
        Reply.sse(*image_events("image_generation"), done=False, named=True),
        Reply.json({"created": 7, "data": [{"b64_json": "QUJD"}], "usage": IMAGE_USAGE}),
        lambda whole: ([image.b64_json for image in whole.data], whole.created, whole.usage.total_tokens),
        (["QUJD"], 7, 7),
        "get_final_images",
        "done by terminal_event (image_generation.completed)",
    ),
    Case(
        "images.edit",
        "/v1/images/edits",
        ImageStream,
        {"image": b"picture", "prompt": "A hat.", "partial_images": 2},
        Reply.sse(*image_events("image_edit"), done=False, named=True),
        Reply.json({"created": 7, "data": [{"b64_json": "QUJD"}], "usage": IMAGE_USAGE}),
        lambda whole: ([image.b64_json for image in whole.data], whole.created, whole.usage.total_tokens),
        (["QUJD"], 7, 7),
        "get_final_images",
        "done by terminal_event (image_edit.completed)",
        asks=b'name="stream"\r\n\r\ntrue\r\n',
    ),
    Case(
        "audio.transcriptions",
        "/v1/audio/transcriptions",
        TranscriptionStream,
        {"file": ("hello.wav", b"RIFF"), "model": "m"},
        Reply.sse(*TRANSCRIPT, done=False, named=True),
        Reply.json({"text": "Hello there.", "usage": AUDIO_USAGE}),
        lambda whole: (whole.text, whole.usage.total_tokens),
        ("Hello there.", 5),
        "get_final_transcription",
        "done by terminal_event (transcript.text.done)",
        "Hello there.",
        asks=b'name="stream"\r\n\r\ntrue\r\n',
    ),
    Case(
        "audio.speech",
        "/v1/audio/speech",
        SpeechStream,
        {"model": "m", "input": "Hello there.", "voice": "alloy"},
        Reply.sse(*SPEECH, done=False, named=True),
        Reply(headers={"content-type": "audio/mpeg"}, body=b"\xff\x00sound and more", framing="length"),
        lambda whole: getattr(whole, "audio", whole),
        b"\xff\x00sound and more",
        "get_final_speech",
        "done by terminal_event (speech.audio.done)",
        asks=b'"stream_format":"sse"',
    ),
]
NAMES = [case.name for case in CASES]
