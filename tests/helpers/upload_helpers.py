"""A file to upload, and the parts of the form that a server received."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs

from trio_openai import TrioOpenAI
from trio_openai.testing import RecordedRequest, Reply

SAID = Reply.json({"text": "Hello."})

PACKAGES = ["httpx", "httpx2"]


@attrs.frozen
class FormPart:
    head: str
    body: bytes

    @property
    def name(self) -> str:
        return re.findall(r' name="([^"]*)"', self.head)[0]


def parts_of(request: RecordedRequest) -> list[FormPart]:
    """Return the parts of a form."""
    content_type = request.header("content-type") or ""
    assert content_type.startswith("multipart/form-data; boundary=")
    assert request.header("content-length") == str(len(request.body))
    assert request.header("transfer-encoding") is None
    boundary = b"--" + content_type.partition("boundary=")[2].encode()
    first, *parts, last = request.body.split(boundary)
    assert (first, last) == (b"", b"--\r\n")
    split = [part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n") for part in parts]
    return [FormPart(head.decode(), body) for head, _, body in split]


async def transcribe(client: TrioOpenAI, file: Any, **params: Any) -> str:
    return (await client.audio.transcriptions.create(file=file, model="m", **params)).text


def as_open_file(path: Path) -> Any:
    return path.open("rb")
