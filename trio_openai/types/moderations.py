"""Moderations: whether a text or an image is harmful, and in which categories."""

from __future__ import annotations

import attrs

from ._base import WireObject, json_name, wire

_HARASSMENT_THREATENING = json_name("harassment/threatening")
_HATE_THREATENING = json_name("hate/threatening")
_ILLICIT_VIOLENT = json_name("illicit/violent")
_SELF_HARM = json_name("self-harm")
_SELF_HARM_INSTRUCTIONS = json_name("self-harm/instructions")
_SELF_HARM_INTENT = json_name("self-harm/intent")
_SEXUAL_MINORS = json_name("sexual/minors")
_VIOLENCE_GRAPHIC = json_name("violence/graphic")


@wire
class Categories(WireObject):
    """For each category, True if the input belongs to it."""

    harassment: bool | None = None
    harassment_threatening: bool | None = attrs.field(default=None, metadata=_HARASSMENT_THREATENING)
    hate: bool | None = None
    hate_threatening: bool | None = attrs.field(default=None, metadata=_HATE_THREATENING)
    illicit: bool | None = None
    illicit_violent: bool | None = attrs.field(default=None, metadata=_ILLICIT_VIOLENT)
    self_harm: bool | None = attrs.field(default=None, metadata=_SELF_HARM)
    self_harm_instructions: bool | None = attrs.field(default=None, metadata=_SELF_HARM_INSTRUCTIONS)
    self_harm_intent: bool | None = attrs.field(default=None, metadata=_SELF_HARM_INTENT)
    sexual: bool | None = None
    sexual_minors: bool | None = attrs.field(default=None, metadata=_SEXUAL_MINORS)
    violence: bool | None = None
    violence_graphic: bool | None = attrs.field(default=None, metadata=_VIOLENCE_GRAPHIC)


@wire
class CategoryScores(WireObject):
    """For each category, the model's confidence that the input belongs to it, between 0 and 1."""

    harassment: float = 0.0
    harassment_threatening: float = attrs.field(default=0.0, metadata=_HARASSMENT_THREATENING)
    hate: float = 0.0
    hate_threatening: float = attrs.field(default=0.0, metadata=_HATE_THREATENING)
    illicit: float = 0.0
    illicit_violent: float = attrs.field(default=0.0, metadata=_ILLICIT_VIOLENT)
    self_harm: float = attrs.field(default=0.0, metadata=_SELF_HARM)
    self_harm_instructions: float = attrs.field(default=0.0, metadata=_SELF_HARM_INSTRUCTIONS)
    self_harm_intent: float = attrs.field(default=0.0, metadata=_SELF_HARM_INTENT)
    sexual: float = 0.0
    sexual_minors: float = attrs.field(default=0.0, metadata=_SEXUAL_MINORS)
    violence: float = 0.0
    violence_graphic: float = attrs.field(default=0.0, metadata=_VIOLENCE_GRAPHIC)


@wire
class CategoryAppliedInputTypes(WireObject):
    """For each category, the kinds of input that were judged: "text" and "image"."""

    harassment: list[str] | None = None
    harassment_threatening: list[str] | None = attrs.field(default=None, metadata=_HARASSMENT_THREATENING)
    hate: list[str] | None = None
    hate_threatening: list[str] | None = attrs.field(default=None, metadata=_HATE_THREATENING)
    illicit: list[str] | None = None
    illicit_violent: list[str] | None = attrs.field(default=None, metadata=_ILLICIT_VIOLENT)
    self_harm: list[str] | None = attrs.field(default=None, metadata=_SELF_HARM)
    self_harm_instructions: list[str] | None = attrs.field(default=None, metadata=_SELF_HARM_INSTRUCTIONS)
    self_harm_intent: list[str] | None = attrs.field(default=None, metadata=_SELF_HARM_INTENT)
    sexual: list[str] | None = None
    sexual_minors: list[str] | None = attrs.field(default=None, metadata=_SEXUAL_MINORS)
    violence: list[str] | None = None
    violence_graphic: list[str] | None = attrs.field(default=None, metadata=_VIOLENCE_GRAPHIC)


@wire
class Moderation(WireObject):
    """The judgement of one input. `flagged` is True if it belongs to any category."""

    categories: Categories = attrs.field(factory=Categories)
    category_applied_input_types: CategoryAppliedInputTypes | None = None
    category_scores: CategoryScores = attrs.field(factory=CategoryScores)
    flagged: bool = False


@wire
class ModerationCreateResponse(WireObject):
    """The judgements of the inputs of one request, in their order."""

    id: str = ""
    model: str = ""
    results: list[Moderation] = attrs.field(factory=list[Moderation])
