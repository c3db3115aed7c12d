"""Webhooks: signatures that are accepted and refused, and the events inside."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import traceback
from typing import Any

import pytest
from net_helpers import no_environment

from trio_openai import APIResponseValidationError, InvalidWebhookSignatureError, OpenAIError, TrioOpenAI
from trio_openai.sync import SyncOpenAI
from trio_openai.types import ResponseCompletedWebhookEvent, UnknownWebhookEvent

pytestmark = pytest.mark.promise(n=3)

KEY = b"a key of 24 bytes or so."
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
BODY = json.dumps({"id": "evt_1", "type": "response.completed", "created_at": 7, "data": {"id": "resp_1"}})
NOW = 1_800_000_000


def signed(body: str | bytes = BODY, *, key: bytes = KEY, at: Any = NOW, event_id: str = "wh_1") -> dict[str, str]:
    """Return the headers of a webhook."""
    data = body.encode() if isinstance(body, str) else body
    digest = hmac.new(key, f"{event_id}.{at}.".encode() + data, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": event_id, "webhook-timestamp": str(at), "webhook-signature": signature}


@pytest.fixture(autouse=True)
def frozen_time(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)
    monkeypatch.setattr(time, "time", lambda: float(NOW))


@pytest.fixture
def webhooks() -> Any:
    return TrioOpenAI(api_key="k", webhook_secret=SECRET).webhooks


@pytest.mark.parametrize("make", [TrioOpenAI, SyncOpenAI])
def test_signed_event_is_unwrapped_by_both_clients(make: Any) -> None:
    event = make(api_key="k", webhook_secret=SECRET).webhooks.unwrap(BODY, signed())
    assert isinstance(event, ResponseCompletedWebhookEvent)
    assert (event.id, event.created_at, event.data.id) == ("evt_1", 7, "resp_1")


def test_signature_of_the_standard_webhooks_example_is_accepted(webhooks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the example of the libraries of the specification."""
    monkeypatch.setattr(time, "time", lambda: 1614265330.0)
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    webhooks.verify_signature('{"test": 2432232314}', headers, secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def test_event_of_unknown_type_keeps_everything(webhooks: Any) -> None:
    body = json.dumps({"id": "evt_1", "type": "video.completed", "data": {"id": "video_1", "x": 1}})
    event = webhooks.unwrap(body, signed(body))
    assert isinstance(event, UnknownWebhookEvent)
    assert (event.type, event.data.id, event.data.raw["x"]) == ("video.completed", "video_1", 1)


def test_headers_may_be_a_mapping_or_pairs_in_any_case_and_of_bytes(webhooks: Any) -> None:
    headers = signed()
    for given in (
        {name.title(): value for name, value in headers.items()},
        list(headers.items()),
        [(name.encode(), value.encode()) for name, value in headers.items()],
    ):
        webhooks.verify_signature(BODY.encode(), given)


def test_one_valid_signature_among_several_is_enough(webhooks: Any) -> None:
    headers = signed()
    headers["webhook-signature"] = f"v1,b3RoZXI= v1a,x \u00e9 {headers['webhook-signature']}"
    webhooks.verify_signature(BODY, headers)


def test_secret_without_prefix_is_the_key_itself(webhooks: Any) -> None:
    webhooks.verify_signature(BODY, signed(key=b"plain"), secret="plain")


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (signed(key=b"another"), "another secret"),
        (signed("other body"), "body was changed"),
        (signed() | {"webhook-id": "wh_2"}, "does not match"),
        (signed() | {"webhook-signature": "v1,"}, "does not match"),
        (signed() | {"webhook-signature": "v1,\u00e9"}, "does not match"),
        (signed() | {"webhook-signature": "\U0001f600"}, "does not match"),
        (signed(at=NOW - 301), "too old"),
        (signed(at=NOW + 301), "too new"),
        (signed(at="soon"), "not a time"),
        (signed(at="9" * 400), "not a time"),
        (signed(at="9" * 5000), "not a time"),
        ({**signed(), "webhook-timestamp": ""}, "no header webhook-timestamp"),
        ({"webhook-id": "x"}, "no header webhook-timestamp"),
        ({}, "no header"),
    ],
)
def test_invalid_signature_raises_an_error_of_ours(webhooks: Any, headers: Any, words: str) -> None:
    with pytest.raises(InvalidWebhookSignatureError, match=words) as caught:
        webhooks.unwrap(BODY, headers)
    assert isinstance(caught.value, OpenAIError)
    assert isinstance(caught.value, ValueError)


def test_tolerance_is_the_greatest_age(webhooks: Any) -> None:
    webhooks.verify_signature(BODY, signed(at=NOW - 300))
    webhooks.verify_signature(BODY, signed(at=NOW - 3000), tolerance=3000)
    with pytest.raises(InvalidWebhookSignatureError, match="too old"):
        webhooks.verify_signature(BODY, signed(at=NOW - 3), tolerance=2)


def test_secret_comes_from_the_call_else_the_client_else_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    client = TrioOpenAI(api_key="k")
    with pytest.raises(ValueError, match="OPENAI_WEBHOOK_SECRET"):
        client.webhooks.unwrap(BODY, signed())
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", SECRET)
    client.webhooks.verify_signature(BODY, signed())
    client.with_options(webhook_secret="plain").webhooks.verify_signature(BODY, signed(key=b"plain"))
    with pytest.raises(InvalidWebhookSignatureError):
        client.webhooks.verify_signature(BODY, signed(), secret="plain")


def test_mistakes_are_named(webhooks: Any) -> None:
    with pytest.raises(TypeError, match="decoded"):
        webhooks.unwrap(json.loads(BODY), signed())
    with pytest.raises(TypeError, match="headers takes"):
        webhooks.unwrap(BODY, 5)
    with pytest.raises(TypeError, match="secret takes a string"):
        webhooks.unwrap(BODY, signed(), secret=5)
    with pytest.raises(TypeError, match="tolerance takes seconds"):
        webhooks.verify_signature(BODY, signed(), tolerance="5")
    with pytest.raises(ValueError, match="base64"):
        webhooks.unwrap(BODY, signed(), secret="whsec_?")
    with pytest.raises(TypeError, match="webhook_secret takes a string"):
        TrioOpenAI(api_key="k", webhook_secret=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("body", [b"[1]", b"text", b"\xff", b""])
def test_signed_body_that_is_no_event_raises_an_error_of_ours(webhooks: Any, body: bytes) -> None:
    with pytest.raises(APIResponseValidationError):
        webhooks.unwrap(body, signed(body))


def test_no_traceback_of_ours_shows_the_secret() -> None:
    client = TrioOpenAI(api_key="k", webhook_secret="whsec_hush?")
    for given in ("whsec_hush!", "hush-hush", None):
        with pytest.raises(ValueError, match="webhook") as caught:
            client.webhooks.unwrap(BODY, signed(), secret=given)
        frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
        assert len(frames) > 2
        for frame in frames[1:]:  # after the test's own frame
            assert "hush" not in repr(frame.locals)
