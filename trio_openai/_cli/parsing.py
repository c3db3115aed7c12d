"""The parser of every command: usage errors are one sentence, and the help is a text of our own."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any, NoReturn, TypeAlias

USAGE_ERROR = 2
"""The exit code of a usage error."""


Commands: TypeAlias = "argparse._SubParsersAction[Any]"  # pyright: ignore[reportPrivateUsage] - it has no other name
"""What a command is added to."""


class Parser(argparse.ArgumentParser):
    """A parser whose usage errors are one sentence that says what to do.

    Args:
        help_text: The whole help. By default argparse's own.
        **options: As for `ArgumentParser`.
    """

    def __init__(self, *, help_text: str | None = None, **options: Any) -> None:
        # An abbreviation could begin to mean another option in a later version.
        fixed: Any = {"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter}
        super().__init__(**fixed, **options)
        self._help_text = help_text

    def format_help(self) -> str:
        """Return the help."""
        return self._help_text or super().format_help()

    def parse_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """Parse the arguments. For an unknown option, suggest one with a similar name."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            (getattr(options, "parser", None) or self).refuse(unknown[0])
        return options

    def refuse(self, argument: str) -> NoReturn:
        """Exit because of an argument that the command does not know."""
        name = argument.partition("=")[0]
        if not name.startswith("-"):
            self.error(f"unexpected argument {argument!r}; quote it if it belongs to the one before")
        import difflib

        similar = difflib.get_close_matches(name, self._option_string_actions, 1)
        hint = f"did you mean {similar[0]}?" if similar else f"see {self.prog} --help"
        self.error(f"there is no option {name}; {hint}")

    def error(self, message: str) -> NoReturn:
        """Print one sentence and exit with code 2."""
        message = re.sub(r"^argument (?:-\w/)?(\S+): ", r"\1 ", message)
        message = message.replace("expected one argument", "needs a value after it")
        message = re.sub(r"^COMMAND invalid choice: '(.*)' \((.*)\)$", r"there is no command \1; \2", message)
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(USAGE_ERROR)
