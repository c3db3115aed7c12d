"""Check the signature of a webhook before you act on it."""

import base64
import hashlib
import hmac
import json
import time

from trio_openai import InvalidWebhookSignatureError, TrioOpenAI
from trio_openai.types import ResponseCompletedWebhookEvent

KEY = b"shared with OpenAI"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
client = TrioOpenAI(webhook_secret=SECRET)


def handle(body: bytes, headers: dict[str, str]) -> int:
    """Handle a request to your server. Return the status to answer."""
    try:
        event = client.webhooks.unwrap(body, headers)
    except InvalidWebhookSignatureError as error:
        print("refused:", str(error).partition(":")[0])
        return 400
    match event:
        case ResponseCompletedWebhookEvent():
            print("completed:", event.data.id)
        case _:
            print("ignored:", event.type)
    return 200


def sent_by_openai(body: bytes) -> dict[str, str]:
    """Return the headers that OpenAI would send with this body."""
    sent_at = str(int(time.time()))
    signed = b"wh_1." + sent_at.encode() + b"." + body
    digest = hmac.new(KEY, signed, hashlib.sha256).digest()
    return {
        "webhook-id": "wh_1",
        "webhook-timestamp": sent_at,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


event = {"type": "response.completed", "data": {"id": "resp_1"}}
body = json.dumps(event).encode()
print(handle(body, sent_by_openai(body)))
print(handle(body.replace(b"resp_1", b"resp_2"), sent_by_openai(body)))
