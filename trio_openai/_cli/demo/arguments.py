"""The arguments of `trio-openai demo`. Imports nothing heavy, so that `--help` is fast."""

from __future__ import annotations

import argparse

from trio_openai._cli.parsing import Commands

_ABOUT = """\
Stream from a model in three scenes. They take about ten seconds:

  1. Six prompts stream at once. A deadline cuts one, and three tasks read one.
  2. Two calls race for one answer. The loser is closed.
  3. Ten prompts run, four at a time.
"""

_SERVERS = """\
who answers:
  demo                      a model on this machine; no key, no account
                            (scripts/demo, in a checkout, installs it)
  demo --model FILE.gguf    another model on this machine
  demo --scripted           a scripted server; nothing else is needed
  demo --model NAME         OpenAI, with the key in $OPENAI_API_KEY
  demo --model NAME --base-url http://127.0.0.1:8080/v1
                            any OpenAI-compatible server
"""


def add_demo(commands: Commands) -> None:
    """Add the command to those of the command line."""
    demo = commands.add_parser(
        "demo", help="stream many prompts at once, and race two calls", description=_ABOUT, epilog=_SERVERS
    )
    demo.set_defaults(run=_run, parser=demo)
    demo.add_argument("--scripted", action="store_true", help="answer from a scripted server, without any model")
    demo.add_argument("--base-url", metavar="URL", help="a server, such as http://127.0.0.1:8080/v1")
    demo.add_argument("--api-key", metavar="KEY", help="the server's API key (default: $OPENAI_API_KEY)")
    demo.add_argument(
        "--model",
        metavar="NAME|FILE.gguf",
        help="the server's model (default: gpt-4o-mini), or a GGUF file to run on this machine",
    )
    demo.add_argument("--plain", action="store_true", help="print plain lines, as when stdout is not a terminal")


def _run(options: argparse.Namespace) -> int:
    from .command import run_demo

    return run_demo(options)
