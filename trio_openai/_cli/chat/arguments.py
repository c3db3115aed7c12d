"""The arguments of `trio-openai chat`. Imports nothing heavy, so that `--help` is fast."""

from __future__ import annotations

import argparse

from trio_openai._cli.batch.arguments import parameter
from trio_openai._cli.connection import add_connection
from trio_openai._cli.parsing import Commands

HELP = """\
usage: trio-openai chat [PROMPT] [options]

Print an answer while the model writes it. Without PROMPT, converse.

  PROMPT               the question; text from a pipe is added to it
  --file FILE          add a text file or a picture; repeatable
  --system TEXT        the system message
  --model NAME         the model (default: $OPENAI_MODEL, else gpt-4o-mini,
                       or the first model that the server of --base-url lists)
  --param NAME=VALUE   a parameter, such as temperature=0; repeatable
  --base-url URL       the server (default: $OPENAI_BASE_URL, else OpenAI)
  --api-key-env NAME   the variable that has the key (default: OPENAI_API_KEY)

In a conversation, Ctrl-C stops the answer, Ctrl-D ends the program. A line
that ends with \\ goes on in the next one. /clear forgets what was said.
Only the answer goes to stdout, without colors if that is not a terminal.
Exit codes: 0 done, 1 failed, 2 usage, 130 Ctrl-C.

  trio-openai chat "Why is the sky blue?"
  git diff | trio-openai chat "Write a commit message."
  trio-openai chat --file photo.jpg "What is this?"
"""


def add_chat(commands: Commands) -> None:
    """Add the command to those of the command line."""
    parser = commands.add_parser("chat", help="ask a question, or hold a conversation", help_text=HELP)
    parser.set_defaults(run=_run, parser=parser)
    parser.add_argument("prompt", nargs="?")
    parser.add_argument("--file", action="append", default=[])
    parser.add_argument("--system")
    parser.add_argument("--model")
    parser.add_argument("--param", action="append", default=[], type=parameter)
    add_connection(parser)


def _run(options: argparse.Namespace) -> int:
    from .command import run_chat

    return run_chat(options)
