"""The server that the contenders read from. It uses blocking sockets and prepared bytes, to be as fast as possible.

It accepts as many requests as the plan in their path has streams, and answers each with the head and the opening
events. Then it waits at the gate, which is one datagram from the client, and sends the rest in rounds: one write to
every stream, each a packet of its own because of TCP_NODELAY. When the client has nothing left to do, it ends the
streams and waits for the next plan.

    python _server.py CPU        prints its port and serves until its standard input ends
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import sys
import threading
import time

from _machine import pin
from _pace import ClientWatch
from _plan import RATE, Plan
from _wire import HEAD

_PATIENCE = 120.0  # seconds to wait for any single step of the client
_READ_SIZE = 64 * 1024


def serve(cpu: int) -> None:
    """Listen, print the port, and serve one plan after the other."""
    pin(cpu)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0), backlog=8192) as listener, _gate(listener) as gate:
        print(listener.getsockname()[1], flush=True)
        while True:
            _serve_plan(listener, gate)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def _gate(listener: socket.socket) -> socket.socket:
    """Return a datagram socket on the same port."""
    gate = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    gate.bind(listener.getsockname())
    gate.settimeout(_PATIENCE)
    return gate


def _serve_plan(listener: socket.socket, gate: socket.socket) -> None:
    streams = [listener.accept()[0]]
    plan = _answer(streams[0])
    while len(streams) < plan.streams:
        streams.append(listener.accept()[0])
        _answer(streams[-1])
    watch = ClientWatch(int(gate.recv(32)))
    if plan.pace == "endless":
        _send_endlessly(streams[0], plan)
    elif plan.pace == "timed":
        _send_timed(streams, plan)
    else:
        _send_rounds(streams, plan, watch)
    _end(streams, plan, watch)


def _answer(stream: socket.socket) -> Plan:
    """Read one request and answer with the head and the opening events."""
    stream.settimeout(_PATIENCE)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plan = Plan.of_request(_read_request(stream))
    stream.sendall(HEAD + plan.wire.beginning)
    return plan


def _read_request(stream: socket.socket) -> bytes:
    """Read a whole request and return its head."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(stream)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    while len(body) < length:
        body += _receive(stream)
    return head


def _receive(stream: socket.socket) -> bytes:
    data = stream.recv(_READ_SIZE)
    if not data:
        raise ConnectionResetError("the client closed the connection in the middle of its request")
    return data


def _send_rounds(streams: list[socket.socket], plan: Plan, watch: ClientWatch) -> None:
    rest = watch.wait_idle if plan.pace == "lockstep" else watch.give_way
    for data in plan.wire.writes(plan.events, plan.per_write):
        for stream in streams:
            stream.sendall(data)
        rest()


def _send_timed(streams: list[socket.socket], plan: Plan) -> None:
    """Write to each stream at its rate, taking turns. A write that is late is not delayed further."""
    begin, between = time.monotonic(), 1 / RATE / len(streams)
    for number in range(plan.events * len(streams)):
        early = begin + number * between - time.monotonic()
        if early > 0:
            time.sleep(early)
        streams[number % len(streams)].sendall(plan.wire.stamped(time.monotonic_ns()))


def _send_endlessly(stream: socket.socket, plan: Plan) -> None:
    writes = itertools.cycle(plan.wire.writes(plan.events, plan.per_write))
    with contextlib.suppress(ConnectionError):
        for data in writes:
            stream.sendall(data)
    sys.exit()


def _end(streams: list[socket.socket], plan: Plan, watch: ClientWatch) -> None:
    """End every stream, and wait until the client has closed it."""
    watch.wait_idle()
    for stream in streams:
        stream.sendall(plan.wire.tail)
        stream.shutdown(socket.SHUT_WR)
    for stream in streams:
        while stream.recv(_READ_SIZE):
            pass
        stream.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
