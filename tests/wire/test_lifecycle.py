"""The lifecycle of a stream: its state table, each of its rules, and a hypothesis machine that tries random orders.

`AnyLife` at the end plays the server, the driver and the user in random order and checks the promises after each step.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from streams import CLEAN, DONE, chat, chunk, sse

from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai._protocols.responses.protocol import ResponseProtocol
from trio_openai._wire import lifecycle as module
from trio_openai._wire.lifecycle import Decision, Input, InternalError, Lifecycle, State, Verdict
from trio_openai._wire.retries import RetryPolicy
from trio_openai.errors import APIConnectionError, APIError, APITimeoutError, StreamTruncatedError

pytestmark = [pytest.mark.promise(n=4), pytest.mark.promise(n=5)]

ONE, TWO, LAST = sse(chunk("one ")), sse(chunk("two")), sse(chunk(finish="stop"))
FINAL = {State.DONE, State.TRUNCATED, State.FAILED, State.CLOSED}


def started(*pieces: bytes, **options: Any) -> Any:
    """Return the lifecycle of a chat that has received its response head and these pieces of its body."""
    lifecycle: Lifecycle[Any, Any] = Lifecycle(ChatProtocol, **options)
    assert lifecycle.next() is Decision.SEND
    lifecycle.receive_head("text/event-stream", "req_1")
    for piece in pieces:
        lifecycle.receive_data(piece)
    return lifecycle


def released(lifecycle: Any, now: float = 0.0) -> None:
    assert lifecycle.next() is Decision.RELEASE
    lifecycle.released(now, 0.0, 0.0)


def text_of(event: Any) -> str:
    return event.choices[0].delta.content or ""


# ------------------------------------------------------------------------------------------------------ state table


def test_every_state_has_transitions_and_a_decision() -> None:
    assert set(module._NEXT_STATE) == set(State)
    assert set(module._ANSWERS) | module._PULLING == set(State)
    assert {state for row in module._NEXT_STATE.values() for state in row.values()} | {State.CONNECTING} == set(State)
    assert {what for row in module._NEXT_STATE.values() for what in row} == set(Input)


def test_a_final_state_changes_only_to_deliver_the_last_event() -> None:
    for state in FINAL:
        after = set(module._NEXT_STATE[state].values()) - {state}
        assert after == ({State.LAST} if state is State.DONE else set())


def test_every_open_state_can_be_closed() -> None:
    for state in set(State) - {State.BREAKING}:
        assert Input.CLOSE in module._NEXT_STATE[state], state


def test_an_unexpected_input_is_an_internal_error() -> None:
    lifecycle: Lifecycle[Any, Any] = Lifecycle(ChatProtocol)
    with pytest.raises(InternalError, match="connecting does not expect 'the time of the next attempt came'"):
        lifecycle.waited()


# ----------------------------------------------------------------------------------- from the response head to the end


def test_a_new_stream_is_open_and_sends_its_request() -> None:
    lifecycle: Lifecycle[Any, Any] = Lifecycle(ChatProtocol)
    assert lifecycle.next() is Decision.SEND
    assert lifecycle.verdict == Verdict("open")
    assert str(lifecycle.verdict) == "open"
    assert lifecycle.snapshot().choices == []


def test_the_first_event_changes_the_state_to_streaming() -> None:
    lifecycle = started(ONE)
    assert lifecycle.state is State.OPENING
    assert text_of(lifecycle.next()) == "one "
    assert lifecycle.state is State.STREAMING
    assert lifecycle.next() is Decision.READ
    assert lifecycle.verdict == Verdict("open")


def test_a_complete_stream_releases_its_connection_as_reusable_before_it_ends() -> None:
    lifecycle = started(ONE, LAST, DONE)
    assert [text_of(lifecycle.next()) for _ in range(2)] == ["one ", ""]
    assert lifecycle.next() is Decision.RELEASE
    assert lifecycle.is_reusable
    released(lifecycle)
    assert [lifecycle.next() for _ in range(2)] == [Decision.END] * 2
    assert lifecycle.verdict == Verdict("done", "[DONE]", "stop")


def test_the_terminal_event_is_delivered_after_the_connection_is_released() -> None:
    lifecycle: Any = Lifecycle(ResponseProtocol)
    lifecycle.receive_head()
    lifecycle.receive_data(sse({"type": "response.completed", "response": {"status": "completed"}}))
    released(lifecycle)
    assert lifecycle.state is State.LAST
    assert lifecycle.next().type == "response.completed"
    assert lifecycle.next() is Decision.END


def test_a_truncated_stream_fails_with_a_partial_result_and_closes_its_connection() -> None:
    lifecycle = started(ONE)
    lifecycle.next()
    lifecycle.receive_end()
    assert lifecycle.next() is Decision.RELEASE
    assert not lifecycle.is_reusable
    released(lifecycle)
    assert [lifecycle.next() for _ in range(2)] == [Decision.FAIL] * 2
    assert isinstance(lifecycle.error, StreamTruncatedError)
    assert lifecycle.error.request_id == "req_1"
    assert lifecycle.error.partial.choices[0].message.content == "one "
    assert lifecycle.verdict == Verdict("truncated")


@pytest.mark.promise(n=3)
def test_an_error_of_the_connection_keeps_the_partial_result() -> None:
    lifecycle = started(ONE)
    lifecycle.next()
    lifecycle.fail(APIConnectionError("gone"))
    released(lifecycle)
    assert lifecycle.error.partial.choices[0].message.content == "one "
    assert lifecycle.verdict == Verdict("failed")


def test_an_error_before_the_first_event_has_no_partial_result() -> None:
    lifecycle = started(b": ping\n\n")
    lifecycle.fail(APIConnectionError("gone"))
    assert lifecycle.error.partial is None


def test_a_request_that_failed_before_its_response_is_not_retried_by_the_lifecycle() -> None:
    lifecycle: Any = Lifecycle(ChatProtocol, policy=RetryPolicy(5))
    lifecycle.fail(APIConnectionError("refused"))
    assert lifecycle.next() is Decision.FAIL
    assert lifecycle.verdict == Verdict("failed")


@pytest.mark.parametrize("late", ["data", "end", "close", "failure", "settle"])
def test_inputs_after_the_end_change_nothing(late: str) -> None:
    closed = chat(ONE, cut_by=None)
    closed.lifecycle.close()
    complete, failed, truncated = chat(ONE, LAST, DONE), chat(b"data: {\n\n"), chat(ONE)
    for played, state in ((complete, "done"), (closed, "closed"), (failed, "failed"), (truncated, "truncated")):
        lifecycle = played.lifecycle
        error, events = lifecycle.error, lifecycle.decoder.events
        if late == "data":
            lifecycle.receive_data(ONE)
        elif late == "end":
            lifecycle.receive_end()
        elif late == "close":
            lifecycle.close()
        elif late == "settle":
            lifecycle.settle()
        elif state != "done":
            lifecycle.fail(APIError("late"))
        lifecycle.has_connection = False
        assert lifecycle.next() in (Decision.END, Decision.FAIL, Decision.CLOSED)
        assert lifecycle.verdict.state == state
        assert lifecycle.error is error
        assert lifecycle.decoder.events == events


def test_every_read_after_a_failure_raises_the_same_error() -> None:
    played = chat(ONE)
    for _ in range(2):
        with pytest.raises(StreamTruncatedError) as info:
            played.pull()
        assert info.value is played.error


def test_a_closed_stream_releases_its_connection_and_delivers_nothing() -> None:
    lifecycle = started(ONE, TWO)
    lifecycle.next()
    lifecycle.close()
    assert lifecycle.next() is Decision.RELEASE
    assert not lifecycle.is_reusable
    released(lifecycle)
    assert lifecycle.next() is Decision.CLOSED
    assert lifecycle.verdict == Verdict("closed")


# -------------------------------------------------------------------------------------------------- another attempt


def test_a_connection_broken_before_the_first_event_is_retried() -> None:
    lifecycle = started(b": ping\n\n", policy=RetryPolicy(1))
    lifecycle.receive_end(cut_by="reset")
    released(lifecycle, now=100.0)
    assert lifecycle.next() is Decision.WAIT
    assert lifecycle.retry_at == 100.5
    assert lifecycle.verdict == Verdict("open")
    lifecycle.waited()
    assert lifecycle.next() is Decision.SEND
    assert lifecycle.resume_request is None
    lifecycle.receive_head()
    lifecycle.receive_data(ONE + LAST + DONE)
    assert text_of(lifecycle.next()) == "one "


def test_a_connection_broken_after_the_first_event_is_not_retried() -> None:
    lifecycle = started(ONE, policy=RetryPolicy(5))
    lifecycle.next()
    lifecycle.receive_end(cut_by="reset")
    released(lifecycle)
    assert lifecycle.next() is Decision.FAIL


def test_a_final_error_is_not_retried() -> None:
    lifecycle = started(policy=RetryPolicy(5))
    lifecycle.receive_end(cut_by="bad chunk", is_final=True)
    released(lifecycle)
    assert lifecycle.next() is Decision.FAIL
    assert lifecycle.error.is_final


def test_a_response_is_resumed_after_its_last_event() -> None:
    lifecycle: Any = Lifecycle(ResponseProtocol, policy=RetryPolicy(1), resume=True)
    lifecycle.receive_head()
    created = {"type": "response.created", "sequence_number": 4, "response": {"id": "resp_1", "background": True}}
    lifecycle.receive_data(sse(created))
    lifecycle.next()
    lifecycle.receive_end(cut_by="reset")
    released(lifecycle)
    lifecycle.waited()
    assert lifecycle.next() is Decision.SEND
    path, cursor = lifecycle.resume_request
    assert path.endswith("/resp_1")
    assert cursor == 4
    lifecycle.receive_head()
    completed = {"type": "response.completed", "sequence_number": 5, "response": {"status": "completed"}}
    lifecycle.receive_data(sse(created) + sse(completed))
    released(lifecycle)
    assert lifecycle.next().type == "response.completed"
    assert lifecycle.resumes == 1


def test_a_stream_closed_before_a_retry_sends_no_request() -> None:
    lifecycle = started(policy=RetryPolicy(1))
    lifecycle.receive_end(cut_by="reset")
    released(lifecycle)
    lifecycle.close()
    lifecycle.waited()
    assert lifecycle.next() is Decision.CLOSED


def test_a_response_that_arrives_after_close_is_released() -> None:
    lifecycle = started(policy=RetryPolicy(1))
    lifecycle.receive_end(cut_by="reset")
    released(lifecycle)
    lifecycle.waited()
    lifecycle.close()
    lifecycle.receive_head()
    released(lifecycle)
    assert lifecycle.next() is Decision.CLOSED


def test_close_during_a_failure_keeps_the_failure() -> None:
    lifecycle = started(policy=RetryPolicy(1))
    lifecycle.fail(APITimeoutError("late"))
    lifecycle.close()
    released(lifecycle)
    assert lifecycle.next() is Decision.FAIL


# ------------------------------------------------------------------------------------------ delivering and settling


def test_subscribers_get_an_event_before_the_reader() -> None:
    lifecycle = started(ONE, TWO)
    lifecycle.is_shared = True
    assert [lifecycle.next() for _ in range(2)] == [Decision.DELIVER] * 2
    assert text_of(lifecycle.event) == "one "
    assert text_of(lifecycle.delivered()) == "one "
    assert lifecycle.next() is Decision.DELIVER
    assert text_of(lifecycle.event) == "two"


def test_held_events_are_delivered_first_and_in_order() -> None:
    lifecycle = started(ONE, TWO)
    events = [(lifecycle.next(), "one "), (lifecycle.next(), "two")]
    lifecycle.hold(events)
    assert lifecycle.handed_over == 0
    lifecycle.receive_data(LAST)
    assert [lifecycle.next(), lifecycle.text_delta] == [events[0][0], "one "]
    assert [lifecycle.next(), lifecycle.text_delta] == [events[1][0], "two"]
    lifecycle.next()
    assert lifecycle.text_delta == ""


def test_closing_a_complete_stream_drops_its_held_events() -> None:
    lifecycle = started(ONE, LAST, DONE)
    events = [(lifecycle.next(), "one "), (lifecycle.next(), "")]
    released(lifecycle)
    assert lifecycle.next() is Decision.END
    lifecycle.hold(events)
    lifecycle.close()
    assert lifecycle.next() is Decision.CLOSED
    assert lifecycle.verdict.state == "done", "the verdict says how the server ended the stream"


def test_settling_reads_to_the_end_without_a_retry() -> None:
    lifecycle = started(ONE, TWO, policy=RetryPolicy(5))
    lifecycle.is_shared = True
    assert lifecycle.next() is Decision.DELIVER
    lifecycle.settle()
    assert text_of(lifecycle.next()) == "two"
    assert lifecycle.next() is Decision.READ
    lifecycle.receive_end(cut_by="reset")
    released(lifecycle)
    assert lifecycle.next() is Decision.FAIL


def test_settling_before_a_retry_ends_the_stream_with_its_error() -> None:
    lifecycle = started(policy=RetryPolicy(5))
    lifecycle.receive_end(cut_by="reset")
    released(lifecycle)
    assert lifecycle.next() is Decision.WAIT
    lifecycle.settle()
    released(lifecycle)
    assert lifecycle.next() is Decision.FAIL


# ----------------------------------------------------------------------------------------------------- random order


class AnyLife(RuleBasedStateMachine):
    """Drive a lifecycle with a random server and user, and check the promises after each step.

    The model keeps the texts of the events that the server sent on the current connection and the texts that were
    delivered. The driver may also ask again without carrying out a decision, as it does after a cancellation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.attempts = 1
        self.sent: list[str] = []  # the texts of the events of the current connection
        self.got: list[str] = []
        self.has_finish = self.has_done = self.body_ended = False
        self.final: tuple[Decision, object] | None = None

    @initialize(
        retries=st.integers(0, 2),
        reader=st.sampled_from(["alone", "with subscribers", "a race"]),
        trouble=st.sampled_from(["none", "a cut", "a deadline", "the user closes", "the user settles"]),
    )
    def begin(self, retries: int, reader: str, trouble: str) -> None:
        self.trouble = trouble  # one kind for each run: with all kinds, most runs would end early
        self.lifecycle: Any = Lifecycle(ChatProtocol, policy=RetryPolicy(retries))
        self.lifecycle.is_shared = reader == "with subscribers"
        self.races = reader == "a race"  # a race reads ahead before any other reader
        assert self.lifecycle.next() is Decision.SEND
        self.lifecycle.receive_head()

    # Rules of the server.

    @precondition(lambda self: self.reads and not self.has_finish)
    @rule(texts=st.lists(st.text("abc", min_size=1, max_size=2), min_size=1, max_size=40), cut=st.integers(0, 200))
    def server_sends_events(self, texts: list[str], cut: int) -> None:
        body = b"".join(sse(chunk(text)) for text in texts)
        self.lifecycle.receive_data(body[:cut])
        self.lifecycle.receive_data(body[cut:])
        self.sent += texts

    @precondition(lambda self: self.reads and not self.has_finish)
    @rule()
    def server_sends_a_finish_reason(self) -> None:
        self.lifecycle.receive_data(LAST)
        self.sent.append("")
        self.has_finish = True

    @precondition(lambda self: self.reads and not self.has_finish)
    @rule()
    def server_sends_a_short_complete_answer(self) -> None:
        self.server_sends_events(["a", "b", "c"], 20)
        self.server_sends_a_finish_reason()
        self.server_ends_the_body()

    @precondition(lambda self: self.reads and not self.has_done)
    @rule()
    def server_sends_done(self) -> None:
        self.lifecycle.receive_data(DONE)
        self.has_done = self.has_finish = True

    @precondition(lambda self: self.reads)
    @rule()
    def server_ends_the_body(self) -> None:
        self.was_cut = self.trouble == "a cut"
        self.lifecycle.receive_end(cut_by="reset" if self.was_cut else CLEAN)
        self.body_ended = True

    @precondition(lambda self: self.reads and self.trouble == "a deadline")
    @rule()
    def deadline_fires(self) -> None:
        error = APITimeoutError("late")
        error.phase = "connect"  # the retry policy retries this phase
        self.lifecycle.fail(error)

    # Rules of the driver.

    @precondition(lambda self: not self.races)
    @rule(carry_out=st.sampled_from([True, True, True, False]), steps=st.sampled_from([1, 2, 100]))
    def driver_asks(self, carry_out: bool, steps: int) -> None:
        for _ in range(steps):
            step = self.lifecycle.next()
            if not isinstance(step, Decision):
                self.take(step)
            elif carry_out and step is not Decision.READ:
                self.carry_out(step)
            if isinstance(step, Decision) and (step is Decision.READ or self.final or not carry_out):
                break

    @precondition(lambda self: self.races)
    @rule(most=st.integers(1, 5))
    def race_reads_ahead(self, most: int) -> None:
        self.races = False
        events: list[tuple[Any, str]] = []
        while len(events) < most and not isinstance(event := self.lifecycle.next(), Decision):
            events.append((event, text_of(event)))
        if self.lifecycle.state in (State.STREAMING, State.DONE):
            self.lifecycle.hold(events)
        else:  # the stream failed or was closed, so nothing is held for a reader
            self.got += [text for _, text in events]

    def carry_out(self, step: Decision) -> None:
        lifecycle = self.lifecycle
        if step is Decision.RELEASE:
            self.now += 1
            lifecycle.released(self.now, 0.0, 0.0)
        elif step is Decision.WAIT:
            assert not self.got, "an attempt after an event was delivered would replay it"
            assert not self.settled, "settling must not send another request"
            assert lifecycle.retry_at >= self.now
            lifecycle.waited()
        elif step is Decision.SEND:
            self.attempts += 1
            self.sent, self.has_finish, self.has_done, self.body_ended = [], False, False, False
            lifecycle.receive_head()
        elif step is Decision.DELIVER:
            self.take(lifecycle.delivered())
        elif step is not Decision.PAUSE:
            self.finish(step)

    def take(self, event: Any) -> None:
        assert self.final is None, "an event was delivered after the end"
        if self.lifecycle.state is not State.SETTLING and not self.settled:
            self.got.append(text_of(event))
        assert self.got == self.sent[: len(self.got)], "an event was lost, repeated or reordered"

    def finish(self, step: Decision) -> None:
        lifecycle = self.lifecycle
        assert not lifecycle.has_connection, "the stream ended before its connection was released"
        now = (step, lifecycle.error if step is Decision.FAIL else None)
        assert self.final in (None, now), "the stream ended twice in different ways"
        self.final = now
        if step is Decision.END:
            assert self.has_done or (self.has_finish and self.body_ended and not self.was_cut), (
                "a truncated stream was reported as complete"
            )
            assert self.settled or self.got == self.sent, "the stream ended before all events were delivered"
        elif step is Decision.FAIL and lifecycle.decoder.events:
            assert lifecycle.error.partial is not None, "the error has no partial result"

    # Rules of the user.

    settled = False

    @precondition(lambda self: self.trouble == "the user closes")
    @rule()
    def user_closes(self) -> None:
        self.lifecycle.close()

    @precondition(lambda self: self.trouble == "the user settles")
    @rule()
    def user_settles(self) -> None:
        self.settled = True
        self.lifecycle.settle()

    @precondition(lambda self: not self.races)
    @rule(shared=st.booleans())
    def user_subscribes(self, shared: bool) -> None:
        self.lifecycle.is_shared = shared and not self.settled

    # Invariants.

    @property
    def reads(self) -> bool:
        return self.lifecycle.state in module._PULLING and not self.body_ended and not self.lifecycle.decoder.is_over

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "lifecycle"):
            return
        lifecycle = self.lifecycle
        assert lifecycle.handed_over <= lifecycle.decoder.events
        assert (lifecycle.verdict.state == "open") == (lifecycle.state not in FINAL | {State.LAST})
        if lifecycle.verdict.state == "done":
            assert self.has_done or self.has_finish


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=300, stateful_step_count=20, deadline=None)
