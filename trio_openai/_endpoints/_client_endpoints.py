"""The endpoints of a client, as its attributes."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from trio_openai._request.session import Session

from ._any_methods import AnyMethods
from ._endpoint import RawResponses, ReturnsT
from .chat import Chat

if TYPE_CHECKING:
    from .audio import AudioEndpoints
    from .completions import Completions
    from .conversations import Conversations
    from .files import Batches, Files
    from .images import Images
    from .others import Embeddings, Models, Moderations
    from .responses import Responses
    from .webhooks import Webhooks


class Endpoints(AnyMethods[ReturnsT]):
    """The endpoints of a client, or those below its `with_raw_response`.

    Only `chat` is imported with the client. The classes of the others take milliseconds to create, so each is imported
    when a program first uses it.
    """

    _session: Session

    @cached_property
    def chat(self) -> Chat[ReturnsT]:
        """Chat Completions, at `chat.completions`."""
        return Chat(self._session)

    @cached_property
    def completions(self) -> Completions[ReturnsT]:
        """Completions, the older API that continues a text."""
        from .completions import Completions

        return Completions(self._session)

    @cached_property
    def responses(self) -> Responses[ReturnsT]:
        """Responses, including those that the server stores."""
        from .responses import Responses

        return Responses(self._session)

    @cached_property
    def images(self) -> Images[ReturnsT]:
        """Image generation and editing."""
        from .images import Images

        return Images(self._session)

    @cached_property
    def audio(self) -> AudioEndpoints[ReturnsT]:
        """Transcription, translation and speech."""
        from .audio import AudioEndpoints

        return AudioEndpoints(self._session)

    @cached_property
    def models(self) -> Models[ReturnsT]:
        """The models that the server offers."""
        from .others import Models

        return Models(self._session)

    @cached_property
    def embeddings(self) -> Embeddings[ReturnsT]:
        """Embedding vectors of texts."""
        from .others import Embeddings

        return Embeddings(self._session)

    @cached_property
    def moderations(self) -> Moderations[ReturnsT]:
        """Judgements of texts and images: whether they are harmful."""
        from .others import Moderations

        return Moderations(self._session)

    @cached_property
    def files(self) -> Files[ReturnsT]:
        """Files that the server stores."""
        from .files import Files

        return Files(self._session)

    @cached_property
    def batches(self) -> Batches[ReturnsT]:
        """Batches of requests."""
        from .files import Batches

        return Batches(self._session)

    @cached_property
    def conversations(self) -> Conversations[ReturnsT]:
        """Conversations that the server stores."""
        from .conversations import Conversations

        return Conversations(self._session)

    @cached_property
    def webhooks(self) -> Webhooks:
        """Checks of the webhooks that a program receives."""
        from .webhooks import Webhooks

        return Webhooks(self._session)


class RawEndpoints(Endpoints[RawResponses]):
    """The endpoints of a client whose methods return a `RawResponse`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(f"with_raw_response has only the endpoints of the client, not {name}", name=name)
