"""The command line's arguments. A command's modules are imported when it runs, so that `--help` is fast.

Each command is one module or folder with a function that adds it to the parser. To add a command, call that function in
`_parser`, and add a line to `_HELP`.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trio_openai._version import __version__

from .parsing import Parser

if TYPE_CHECKING:
    from collections.abc import Sequence

_HELP = """\
usage: trio-openai COMMAND [options]        (or: python -m trio_openai COMMAND)

Stream answers from OpenAI and compatible servers.

commands:
  chat     ask a question, or hold a conversation
  batch    send a file of requests, write a file of results
  models   list the models of a server
  demo     stream many prompts at once, and race two calls

examples:
  trio-openai chat "Why is the sky blue?"
  trio-openai batch prompts.jsonl -o answers.jsonl --model gpt-4o-mini
  trio-openai models --base-url http://127.0.0.1:8080/v1
  trio-openai demo --scripted

trio-openai COMMAND --help shows the options of a command.
The key is in $OPENAI_API_KEY. trio-openai --version shows the version.

see also:
  python -m trio_openai.local --help      serve a model on this machine
  python -m trio_openai.testing --help    serve a scripted answer, for tests
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


def _parser() -> argparse.ArgumentParser:
    from .batch.arguments import add_batch
    from .chat.arguments import add_chat
    from .demo.arguments import add_demo
    from .models import add_models

    parser = Parser(prog="trio-openai", help_text=_HELP)
    parser.add_argument("--version", action="version", version=f"trio_openai {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    for add in (add_chat, add_batch, add_models, add_demo):
        add(commands)
    return parser
