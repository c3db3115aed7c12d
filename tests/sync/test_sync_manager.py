"""The manager that `stream(...)` of a blocking client returns tells how far its stream has come."""

from __future__ import annotations

import pytest
from net_helpers import CHAT
from sync_helpers import served

from trio_openai import APIStatusError
from trio_openai.testing import Reply


def test_the_manager_shows_the_stream_before_inside_and_after_its_block() -> None:
    with served(Reply.chat("Hi there")) as server, server.client() as client:
        manager = client.chat.completions.stream(**CHAT)
        assert (manager.text, manager.verdict.state, manager.timings.headers) == ("", "open", None)
        assert manager.snapshot.choices == []
        with manager as stream:
            stream.until_done()
            assert manager.text == stream.text == "Hi there"
        assert manager.verdict.state == "done"
        assert manager.snapshot.choices[0].message.content == "Hi there"


def test_the_manager_says_that_opening_the_stream_failed() -> None:
    with served(Reply.error(400, "no")) as server, server.client() as client:
        manager = client.chat.completions.stream(**CHAT)
        with pytest.raises(APIStatusError):
            manager.__enter__()
        assert manager.verdict.state == "failed"
        assert manager.text == ""


def test_the_manager_can_be_entered_once() -> None:
    with served(Reply.chat("Hi")) as server, server.client() as client:
        manager = client.chat.completions.stream(**CHAT)
        with manager:
            pass
        with pytest.raises(RuntimeError, match="has been entered already"):
            manager.__enter__()
