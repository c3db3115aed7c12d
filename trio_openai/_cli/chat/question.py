"""Make the content of a message from a prompt, the text of a pipe, and files."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

_PICTURES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".webp": "webp"}


def content_of(prompt: str, files: list[str]) -> Any:
    """Return the content of a user's message: a string, or a list of parts if there are pictures.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is neither a picture nor text.
    """
    texts: list[str] = []
    pictures: list[dict[str, Any]] = []
    for name in files:
        if kind := _PICTURES.get(Path(name).suffix.lower()):
            data = base64.b64encode(Path(name).read_bytes()).decode("ascii")
            pictures.append({"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{data}"}})
        else:
            texts.append(f"{Path(name).name}:\n\n{_text_of(name)}")
    text = "\n\n".join([*texts, prompt] if prompt else texts)
    return [{"type": "text", "text": text}, *pictures] if pictures else text


def _text_of(name: str) -> str:
    try:
        return Path(name).read_text("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{name} is neither text in UTF-8 nor a picture (png, jpg, gif, webp)") from None
