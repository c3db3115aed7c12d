"""The arguments of `trio-openai batch`. Imports nothing but argparse, so that `--help` is fast."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable
from typing import Any

from trio_openai._cli.parsing import Commands, Parser

HELP = """\
usage: trio-openai batch IN.jsonl -o OUT.jsonl [options]

Send each line of a file to the API and write one line for each result.
Run the same command again to continue. Nothing is sent twice.

  IN                   lines as for OpenAI's Batch API, or {"prompt": "..."},
                       or {"messages": [...]}; may be gzipped; - is stdin
  -o, --output OUT     the file of results, which only grows; - is stdout
  --text               write only {"custom_id", "text"} for each line
  --parquet            write a Parquet file (needs trio-openai[parquet])
for lines that do not say it themselves:
  --model NAME         the model
  --system TEXT        the system message
  --param NAME=VALUE   a parameter of the API, as temperature=0; repeatable
  --url PATH           the endpoint (default: /v1/chat/completions)
which lines:
  --limit N            send at most N requests
  --shard I/N          take the I-th of N parts of the file, from 1
  --retry-failed       send again what failed in an earlier run
  --no-dedupe          send identical requests each time they occur
  --dry-run            only count requests, tokens and cost
limits:
  --max-concurrent N   requests at a time (default: 256)
  --rpm N, --tpm N     requests and tokens per minute
  --max-failures N     start no more requests after N failed lines
  --max-tokens-total N, --max-cost X
                       start no more requests when this run has used so much
  --prices FILE        {"MODEL": {"input": 0.15, "output": 0.6}} per 1M tokens
servers:
  --base-url URL       repeat it, and the servers share the work
  --api-key-env NAME   the variable that has the key, once for all servers or
                       once for each (default: OPENAI_API_KEY)
  --workers N          send from N processes (needs trio-openai[ray]), which
                       --ray-address auto puts on a Ray cluster
progress, on stderr:
  --json-status        a JSON object per second; --quiet prints only errors
Ctrl-C lets running requests finish; a second one cancels them. Exit codes:
0 all done, 1 lines failed or are left, 2 usage, 130 Ctrl-C.
"""

_EXAMPLE = "trio-openai batch in.jsonl -o out.jsonl"


def add_batch(commands: Commands) -> None:
    """Add the command to those of the command line."""
    add_arguments(commands.add_parser("batch", help="send a file of requests, write a file of results", help_text=HELP))


def add_arguments(parser: Parser) -> None:
    """Add the options of the command to its parser. `HELP` describes them."""
    parser.set_defaults(run=_run, parser=parser)
    parser.add_argument("input", nargs="?")
    parser.add_argument("-o", "--output")
    for name in ("--text", "--parquet", "--retry-failed", "--no-dedupe", "--dry-run", "--json-status", "--quiet"):
        parser.add_argument(name, action="store_true")
    for name in ("--model", "--system", "--prices", "--ray-address"):
        parser.add_argument(name)
    parser.add_argument("--url", default="/v1/chat/completions", type=_endpoint)
    parser.add_argument("--param", action="append", default=[], type=parameter)
    for name in ("--base-url", "--api-key-env"):
        parser.add_argument(name, action="append", default=[])
    parser.add_argument("--max-concurrent", type=_whole(1), default=256)
    for name in ("--workers", "--limit", "--max-failures", "--max-tokens-total"):
        parser.add_argument(name, type=_whole(1))
    for name in ("--rpm", "--tpm", "--max-cost"):
        parser.add_argument(name, type=_positive)
    parser.add_argument("--shard", type=shard)


def _run(options: argparse.Namespace) -> int:
    """Check how the arguments fit together, and run the command. Return its exit code."""
    check(options)
    from .command import run_batch

    return run_batch(options)


def check(options: argparse.Namespace) -> None:
    """Exit with code 2 if the arguments do not fit together or name files that are not there."""
    if problem := _problem(options):
        options.parser.error(problem)


def _problem(options: argparse.Namespace) -> str | None:
    return _problem_of_files(options) or _problem_of_servers(options) or _problem_of_choices(options)


def _problem_of_files(options: argparse.Namespace) -> str | None:
    source, output = options.input, options.output
    if source is None:
        return f"name the file of requests, as in: {_EXAMPLE}"
    if output is None and not options.dry_run:
        return f"name the file of results with -o, as in: {_EXAMPLE}"
    if source != "-" and os.path.isdir(source):  # noqa: PTH112 - pathlib takes a while to import
        return f"{source} is a folder; name a file of requests"
    if source != "-" and not os.path.exists(source):  # noqa: PTH110
        return f"there is no file {source}; check its name"
    if output not in (None, "-") and os.path.exists(output) and os.path.samefile(source, output):  # noqa: PTH110, PTH121
        return f"the input and the output are both {output}; choose another name after -o"
    if options.prices and not os.path.exists(options.prices):  # noqa: PTH110
        return f"there is no price file {options.prices}; check its name"
    return None


def _problem_of_servers(options: argparse.Namespace) -> str | None:
    urls, names = options.base_url, options.api_key_env
    if len(names) > 1 and len(names) != len(urls):
        return f"give --api-key-env once, or once for each of the {len(urls)} --base-url; not {len(names)} times"
    for name in names:
        if not os.environ.get(name):
            return f"--api-key-env names {name}, which is not set; set it with: export {name}=..."
    return None


def _problem_of_choices(options: argparse.Namespace) -> str | None:
    if options.text and options.parquet:
        return "choose one of --text and --parquet"
    if options.parquet and options.output == "-":
        return "a Parquet file cannot be written to stdout; name a file after -o"
    if options.max_cost is not None and not options.prices:
        return "--max-cost needs the prices of your models; name their file with --prices"
    if options.ray_address and not options.workers:
        return "--ray-address needs the number of workers; add --workers N"
    return None


# Conversions of one argument. The message follows the name of the option.


def _whole(least: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"takes a whole number from {least}, not {text!r}")
        return int(text)

    return convert


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"takes a number above 0, not {text!r}")
    return number


def _endpoint(text: str) -> str:
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"takes a path such as /v1/responses, not {text!r}")
    return text


def parameter(text: str) -> tuple[str, Any]:
    """Return the name and the value of `NAME=VALUE`. A value that is not JSON is a string."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"takes NAME=VALUE, such as temperature=0, not {text!r}")
    try:
        return name, json.loads(value, parse_constant=_refuse)
    except ValueError:
        return name, value


def _refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(constant)


def shard(text: str) -> tuple[int, int]:
    """Return the two numbers of `I/N`."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"takes I/N with I from 1 to N, such as 1/4, not {text!r}")
    return int(part), int(parts)
