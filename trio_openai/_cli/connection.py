"""The options that say which server a command asks, and the client that is made of them.

The commands `chat` and `models` have them in common. The client is imported when it is made, so that `--help` is fast.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from trio_openai import SyncOpenAI

    from .parsing import Parser

DEFAULT_MODEL = "gpt-4o-mini"


def add_connection(parser: Parser) -> None:
    """Add the options to a parser."""
    parser.add_argument("--base-url")
    parser.add_argument("--api-key-env")


def make_client(options: argparse.Namespace) -> SyncOpenAI:
    """Return a client of the server that the options name. Exit with code 2 if there is no key for it."""
    from trio_openai import OpenAIError, SyncOpenAI

    parser: Parser = options.parser
    name: str | None = options.api_key_env
    if name and not os.environ.get(name):
        parser.error(f"--api-key-env names {name}, which is not set; set it with: export {name}=...")
    try:
        return SyncOpenAI(base_url=options.base_url, api_key=os.environ[name] if name else None)
    except (OpenAIError, TypeError, ValueError) as error:
        message = str(error).replace("base_url", "--base-url").replace("pass TrioOpenAI(api_key=...)", "--api-key-env")
        parser.error(message)


def default_model(client: SyncOpenAI) -> str:
    """Return the model to ask if the user names none: `OPENAI_MODEL`, OpenAI's small one, or the server's first.

    Raises:
        APIError: The server was asked for its models, and failed.
        OpenAIError: The server has none.
    """
    if name := os.environ.get("OPENAI_MODEL"):
        return name
    if client.base_url.host == "api.openai.com":
        return DEFAULT_MODEL
    for model in client.models.list():
        if model.id:
            return model.id
    from trio_openai import OpenAIError

    raise OpenAIError(f"the server {client.base_url.host} lists no models; name one with --model")


def print_error(prog: str, error: BaseException) -> None:
    """Print an error as one line on stderr."""
    print(f"{prog}: {' '.join(str(error).split())}", file=sys.stderr)


def quiet_exit() -> None:
    """Let the interpreter exit without an error although nobody reads its output any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_terminal(stream: Any) -> bool:
    """Return whether a file is a terminal. It may be None, or closed."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False
