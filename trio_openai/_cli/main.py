"""The command line's arguments. A command's modules are imported when it runs, so that `--help` is fast."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trio_openai._version import __version__

from .batch.arguments import add_batch
from .parsing import Parser

if TYPE_CHECKING:
    from collections.abc import Sequence

_ABOUT = "Stream answers from OpenAI and compatible servers. See how that looks."

_EXAMPLES = """\
examples:
  python -m trio_openai demo              from a small model on this machine
  python -m trio_openai demo --scripted   from a scripted server, with no model
  python -m trio_openai demo --help       list the other servers that can answer

see also:
  python -m trio_openai.local --help      serve a model on this machine
  python -m trio_openai.testing --help    serve a scripted answer, for tests
"""

_DEMO = """\
Stream from a model in three scenes. They take about ten seconds:

  1. Six prompts stream at once. A deadline cuts one, and three tasks read one.
  2. Two calls race for one answer. The loser is closed.
  3. Twelve prompts run, four at a time.
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Without a command, print the help.

    Args:
        argv: the arguments. None takes those of the process.

    Returns:
        The exit code: 0; 1 if something failed, after printing it; 130 after Ctrl-C.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        code: int = options.run(options)
        return code
    except KeyboardInterrupt:
        return 130


def _run_demo(options: argparse.Namespace) -> int:
    from .demo import run_demo

    return run_demo(options)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="trio-openai", description=_ABOUT, epilog=_EXAMPLES)
    parser.add_argument("--version", action="version", version=f"trio_openai {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    add_batch(commands)
    demo = commands.add_parser(
        "demo",
        help="stream many prompts at once, and race two calls",
        description=_DEMO,
        epilog=_SERVERS,
    )
    demo.set_defaults(run=_run_demo, parser=demo)
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
