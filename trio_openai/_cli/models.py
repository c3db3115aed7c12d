"""The command `trio-openai models`: list the models that a server offers."""

from __future__ import annotations

import argparse
import sys

from .connection import add_connection, make_client, print_error, quiet_exit
from .parsing import Commands

HELP = """\
usage: trio-openai models [WORD] [options]

List the models that the server offers, one per line.

  WORD                 only those whose name has this word in it
  --json               a JSON object for each, with everything the server says
  --base-url URL       the server (default: $OPENAI_BASE_URL, else OpenAI)
  --api-key-env NAME   the variable that has the key (default: OPENAI_API_KEY)

Exit codes: 0 done, 1 failed, 2 usage, 130 Ctrl-C.
"""


def add_models(commands: Commands) -> None:
    """Add the command to those of the command line."""
    parser = commands.add_parser("models", help="list the models of a server", help_text=HELP)
    parser.set_defaults(run=run_models, parser=parser)
    parser.add_argument("word", nargs="?", default="")
    parser.add_argument("--json", action="store_true")
    add_connection(parser)


def run_models(options: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit code: 0; 1 if the request failed.
    """
    from trio_openai import OpenAIError

    word: str = options.word.lower()
    with make_client(options) as client:
        try:
            for model in client.models.list():
                if word in (model.id or "").lower():
                    print(model.to_json() if options.json else model.id)
            sys.stdout.flush()
        except BrokenPipeError:
            quiet_exit()
        except OpenAIError as error:
            print_error(options.parser.prog, error)
            return 1
    return 0
