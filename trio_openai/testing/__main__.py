"""`python -m trio_openai.testing`: a server on loopback that answers any prompt, for trying out clients."""

from __future__ import annotations

import argparse
import sys
from functools import partial

import trio

from trio_openai.testing import ScriptedServer, auto_reply
from trio_openai.testing._auto import DEFAULT_PACE


async def _serve(port: int, pace: float) -> None:
    server = ScriptedServer(partial(auto_reply, pace=pace))
    async with trio.open_nursery() as nursery:
        await server.start(nursery, port=port)
        print(f"listening on {server.base_url}", flush=True)  # noqa: T201


def _pace(text: str) -> float:
    seconds = float(text)
    if not seconds >= 0:
        raise ValueError(text)
    return seconds


def _port(text: str) -> int:
    number = int(text)
    if number not in range(65536):
        raise ValueError(text)
    return number


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m trio_openai.testing", description=__doc__)
    parser.add_argument("--port", type=_port, default=0, help="the port on 127.0.0.1 (default: a free one)")
    parser.add_argument(
        "--pace",
        type=_pace,
        default=DEFAULT_PACE,
        metavar="SECONDS",
        help="seconds per word (default: %(default)s)",
    )
    return parser.parse_args()


def main() -> int:
    """Serve until killed. Return the exit code: 130 after Ctrl-C, 1 if the port is not available."""
    arguments = _arguments()
    code = 0
    try:
        trio.run(_serve, arguments.port, arguments.pace)
    except* KeyboardInterrupt:
        code = 130
    except* OSError as errors:
        print(f"cannot serve on port {arguments.port}: {errors.exceptions[0]}", file=sys.stderr)  # noqa: T201
        code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
