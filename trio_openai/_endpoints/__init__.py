"""What the API offers, by its names.

`_doors` has the ways to call an endpoint, `_parameters` checks what it is given, `_pages` is for lists. The other files
are the endpoints: each says its path, the types of its parameters and answers, and the dialect of its stream.
"""

from __future__ import annotations

from ._doors import DEFAULT_BUFFER, CalledEndpoint, CreatingEndpoint, StreamingEndpoint
from ._pages import Listing, Page
from .audio import Audio, SpeechEndpoint, Transcriptions
from .chat import Chat, ChatCompletions
from .completions import Completions
from .images import EditImages, GenerateImages, Images
from .others import Embeddings, Models, stream_request
from .responses import InputItems, Responses, RetrieveResponse

__all__ = [
    "DEFAULT_BUFFER",
    "Audio",
    "CalledEndpoint",
    "Chat",
    "ChatCompletions",
    "Completions",
    "CreatingEndpoint",
    "EditImages",
    "Embeddings",
    "GenerateImages",
    "Images",
    "InputItems",
    "Listing",
    "Models",
    "Page",
    "Responses",
    "RetrieveResponse",
    "SpeechEndpoint",
    "StreamingEndpoint",
    "Transcriptions",
    "stream_request",
]
