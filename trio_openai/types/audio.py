"""Audio: transcriptions and speech, plain and streamed."""

from __future__ import annotations

from typing import Literal

import attrs

from ._base import Unknown, UnknownEvent, WireObject, wire
from .response_items import ResponseLogprob

# ------------------------------------------------------------------------------------------------------- transcriptions


@wire
class TranscriptionTokenDetails(WireObject):
    """The input's tokens by kind."""

    audio_tokens: int | None = None
    text_tokens: int | None = None


@wire
class TranscriptionUsageTokens(WireObject):
    """Tokens used by one request."""

    type: Literal["tokens"] = "tokens"
    input_tokens: int = 0
    input_token_details: TranscriptionTokenDetails | None = None
    output_tokens: int = 0
    total_tokens: int = 0


@wire
class TranscriptionUsageDuration(WireObject):
    """Seconds of sound in one request."""

    type: Literal["duration"] = "duration"
    seconds: float = 0.0


TranscriptionUsage = TranscriptionUsageTokens | TranscriptionUsageDuration | Unknown


@wire
class TranscriptionLanguage(WireObject):
    """A language that was heard."""

    code: str | None = None


@wire
class TranscriptionWord(WireObject):
    """A word, and its place in seconds."""

    end: float | None = None
    start: float | None = None
    word: str | None = None


@wire
class TranscriptionSegment(WireObject):
    """A piece of the text, and its place in seconds."""

    id: int | None = None
    avg_logprob: float | None = None
    compression_ratio: float | None = None
    end: float | None = None
    no_speech_prob: float | None = None
    seek: int | None = None
    start: float | None = None
    temperature: float | None = None
    text: str | None = None
    tokens: list[int] | None = None


@wire
class TranscriptionDiarizedSegment(WireObject):
    """The words of one speaker, and their place in seconds. In a stream this is an event."""

    type: Literal["transcript.text.segment"] = "transcript.text.segment"
    id: str | None = None
    end: float | None = None
    speaker: str | None = None
    start: float | None = None
    text: str | None = None


@wire
class Transcription(WireObject):
    """The text of a recording: what a request answers plainly, and what a stream's events add up to.

    Attributes:
        segments: by speaker, of a stream with `response_format="diarized_json"`.
    """

    text: str = ""
    languages: list[TranscriptionLanguage] | None = None
    logprobs: list[ResponseLogprob] | None = None
    usage: TranscriptionUsage | None = None
    segments: list[TranscriptionDiarizedSegment] | None = None


@wire
class TranscriptionVerbose(WireObject):
    """The text of a recording, with its segments and words: `response_format="verbose_json"`."""

    duration: float | None = None
    language: str | None = None
    text: str = ""
    segments: list[TranscriptionSegment] | None = None
    usage: TranscriptionUsage | None = None
    words: list[TranscriptionWord] | None = None


@wire
class TranscriptionDiarized(WireObject):
    """The text of a recording by speaker: `response_format="diarized_json"`."""

    duration: float | None = None
    segments: list[TranscriptionDiarizedSegment] = attrs.field(factory=list[TranscriptionDiarizedSegment])
    task: str | None = None
    text: str = ""
    usage: TranscriptionUsage | None = None


@wire
class Translation(WireObject):
    """The text of a recording in English."""

    text: str = ""


@wire
class TranslationVerbose(WireObject):
    """The text of a recording in English, with its segments: `response_format="verbose_json"`."""

    duration: float | None = None
    language: str | None = None
    text: str = ""
    segments: list[TranscriptionSegment] | None = None


@wire
class TranscriptionTextDeltaEvent(WireObject):
    """A piece of the text."""

    type: Literal["transcript.text.delta"] = "transcript.text.delta"
    delta: str | None = None
    logprobs: list[ResponseLogprob] | None = None
    segment_id: str | None = None


@wire
class TranscriptionTextDoneEvent(WireObject):
    """The whole text: the end of the stream."""

    type: Literal["transcript.text.done"] = "transcript.text.done"
    text: str | None = None
    languages: list[TranscriptionLanguage] | None = None
    logprobs: list[ResponseLogprob] | None = None
    usage: TranscriptionUsage | None = None


TranscriptionStreamEvent = (
    TranscriptionTextDeltaEvent | TranscriptionDiarizedSegment | TranscriptionTextDoneEvent | UnknownEvent
)

# --------------------------------------------------------------------------------------------------------------- speech


@wire
class SpeechUsage(WireObject):
    """Tokens used by one request."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0


@wire
class Speech(WireObject):
    """The snapshot of a stream of speech.

    Attributes:
        audio: the sound, in the format that was asked for.
        usage: None while the stream is not whole.
    """

    audio: bytes = b""
    usage: SpeechUsage | None = None


@wire
class SpeechAudioDeltaEvent(WireObject):
    """A piece of the sound, as base64 text."""

    type: Literal["speech.audio.delta"] = "speech.audio.delta"
    audio: str | None = None


@wire
class SpeechAudioDoneEvent(WireObject):
    """The end of the stream."""

    type: Literal["speech.audio.done"] = "speech.audio.done"
    usage: SpeechUsage | None = None


SpeechStreamEvent = SpeechAudioDeltaEvent | SpeechAudioDoneEvent | UnknownEvent
