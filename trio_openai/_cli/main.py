"""The command line's arguments. A command's modules are imported when it runs, so that `--help` is fast."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEMO = """\
Stream six prompts at once, over TCP, in one trio nursery: a deadline cuts one of them, and one has three readers.
Then a race of two calls for one answer, and more prompts than may run at a time.

Without options the answers come from a model on this machine (llama.cpp in a separate process; no key, no account).
With --base-url, --api-key or --model NAME they come from any OpenAI-compatible endpoint.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments. None takes those of the process.

    Returns:
        The exit code: 0; 1 if something failed, after printing it; 130 after Ctrl-C.
    """
    options = _parser().parse_args(argv)
    try:
        from .demo import run_demo

        return run_demo(options)
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trio_openai", description="Streams from OpenAI-compatible APIs.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help="stream six prompts at once",
        description=_DEMO,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument("--scripted", action="store_true", help="answer from a scripted server, without any model")
    demo.add_argument("--base-url", metavar="URL", help="a server, such as http://127.0.0.1:8080/v1")
    demo.add_argument("--api-key", metavar="KEY", help="the server's API key (default: $OPENAI_API_KEY)")
    demo.add_argument(
        "--model",
        metavar="NAME|FILE.gguf",
        help="the server's model (default: gpt-4o-mini), or a GGUF file to run on this machine",
    )
    demo.add_argument("--plain", action="store_true", help="print plain lines, as when stdout is not a terminal")
    return parser
