"""The events that OpenAI sends to a webhook: something has ended that ran in the background."""

from __future__ import annotations

from typing import Literal

import attrs

from ._base import WireObject, wire


@wire
class WebhookData(WireObject):
    """The object that an event is about."""

    id: str = ""


@wire
class SipHeader(WireObject):
    """A header of a telephone call."""

    name: str = ""
    value: str = ""


@wire
class RealtimeCallData(WireObject):
    """A telephone call that waits to be accepted."""

    call_id: str = ""
    sip_headers: list[SipHeader] = attrs.field(factory=list[SipHeader])
    sip_media_security: str | None = None


@wire
class WebhookEvent(WireObject):
    """The base of the events: each has an id, a time in Unix seconds, and the object that it is about."""

    id: str = ""
    created_at: int = 0
    data: WebhookData = attrs.field(factory=WebhookData)
    object: str | None = None


@wire
class UnknownWebhookEvent(WebhookEvent):
    """An event of a type that has no class here. `raw` has all of it."""

    type: str | None = None


@wire
class BatchCancelledWebhookEvent(WebhookEvent):
    """A batch was cancelled."""

    type: Literal["batch.cancelled"] = "batch.cancelled"


@wire
class BatchCompletedWebhookEvent(WebhookEvent):
    """A batch was completed."""

    type: Literal["batch.completed"] = "batch.completed"


@wire
class BatchExpiredWebhookEvent(WebhookEvent):
    """A batch expired before it was completed."""

    type: Literal["batch.expired"] = "batch.expired"


@wire
class BatchFailedWebhookEvent(WebhookEvent):
    """A batch failed."""

    type: Literal["batch.failed"] = "batch.failed"


@wire
class EvalRunCanceledWebhookEvent(WebhookEvent):
    """An evaluation was cancelled."""

    type: Literal["eval.run.canceled"] = "eval.run.canceled"


@wire
class EvalRunFailedWebhookEvent(WebhookEvent):
    """An evaluation failed."""

    type: Literal["eval.run.failed"] = "eval.run.failed"


@wire
class EvalRunSucceededWebhookEvent(WebhookEvent):
    """An evaluation succeeded."""

    type: Literal["eval.run.succeeded"] = "eval.run.succeeded"


@wire
class FineTuningJobCancelledWebhookEvent(WebhookEvent):
    """A fine-tuning job was cancelled."""

    type: Literal["fine_tuning.job.cancelled"] = "fine_tuning.job.cancelled"


@wire
class FineTuningJobFailedWebhookEvent(WebhookEvent):
    """A fine-tuning job failed."""

    type: Literal["fine_tuning.job.failed"] = "fine_tuning.job.failed"


@wire
class FineTuningJobSucceededWebhookEvent(WebhookEvent):
    """A fine-tuning job succeeded."""

    type: Literal["fine_tuning.job.succeeded"] = "fine_tuning.job.succeeded"


@wire
class RealtimeCallIncomingWebhookEvent(WireObject):
    """Somebody calls by telephone."""

    type: Literal["realtime.call.incoming"] = "realtime.call.incoming"
    id: str = ""
    created_at: int = 0
    data: RealtimeCallData = attrs.field(factory=RealtimeCallData)
    object: str | None = None


@wire
class ResponseCancelledWebhookEvent(WebhookEvent):
    """A background response was cancelled."""

    type: Literal["response.cancelled"] = "response.cancelled"


@wire
class ResponseCompletedWebhookEvent(WebhookEvent):
    """A background response was completed."""

    type: Literal["response.completed"] = "response.completed"


@wire
class ResponseFailedWebhookEvent(WebhookEvent):
    """A background response failed."""

    type: Literal["response.failed"] = "response.failed"


@wire
class ResponseIncompleteWebhookEvent(WebhookEvent):
    """A background response stopped before it was complete."""

    type: Literal["response.incomplete"] = "response.incomplete"


UnwrapWebhookEvent = (
    BatchCancelledWebhookEvent
    | BatchCompletedWebhookEvent
    | BatchExpiredWebhookEvent
    | BatchFailedWebhookEvent
    | EvalRunCanceledWebhookEvent
    | EvalRunFailedWebhookEvent
    | EvalRunSucceededWebhookEvent
    | FineTuningJobCancelledWebhookEvent
    | FineTuningJobFailedWebhookEvent
    | FineTuningJobSucceededWebhookEvent
    | RealtimeCallIncomingWebhookEvent
    | ResponseCancelledWebhookEvent
    | ResponseCompletedWebhookEvent
    | ResponseFailedWebhookEvent
    | ResponseIncompleteWebhookEvent
    | UnknownWebhookEvent
)
"""The event of a webhook. Its `type` tells which one."""
