"""The page about batch jobs: its help is that of the command, and its commands have valid arguments."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from trio_openai._cli.batch.arguments import HELP, add_arguments
from trio_openai._cli.parsing import Parser

PAGE = Path(__file__).parents[2].joinpath("docs/batch.md").read_text()
COMMANDS = [
    command
    for fence in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for command in re.findall(r"trio-openai batch .*", fence.replace("\\\n", ""))
]


def test_the_page_has_the_help_of_the_command() -> None:
    assert f"<!-- trio-openai batch --help -->\n```text\n{HELP}```\n" in PAGE


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_have_valid_arguments(command: str) -> None:
    parser = Parser(help_text=HELP)
    add_arguments(parser)
    words = shlex.split(command.partition("2>")[0])[2:]
    options = parser.parse_args(words)
    assert options.input
    assert options.output or options.dry_run
