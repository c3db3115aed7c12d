"""Run an example of these pages: `python docs/run.py first_stream`.

This starts a scripted server on this machine and runs `docs/examples/NAME.py` against it. No key and no network is
needed, and the output is the one that the page shows. Without a name, it lists the examples.

The server's replies to each example are in `tests/helpers/example_scripts.py`.
"""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from pathlib import Path

import trio

from trio_openai.testing import ScriptedServer

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"


def server_for(name: str) -> ScriptedServer:
    """Return the server of an example. It is not started yet."""
    helpers = runpy.run_path(str(ROOT / "tests" / "helpers" / "example_scripts.py"))
    return ScriptedServer(helpers["SCRIPTS"].get(name, helpers["count_to_three"]))


def environment(base_url: str) -> dict[str, str]:
    """Return the environment variables of an example that asks the server at `base_url`."""
    azure = {
        "AZURE_OPENAI_ENDPOINT": base_url.removesuffix("/v1"),
        "AZURE_OPENAI_API_KEY": "key",
        "OPENAI_API_VERSION": "2024-10-21",
    }
    return {**os.environ, "OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "sk-example", **azure}


async def run(example: Path) -> int:
    """Run an example against its server, and return its exit code."""
    server = server_for(example.stem)
    async with trio.open_nursery() as nursery:
        await server.start(nursery)
        command = [sys.executable, str(example)]
        done = await trio.run_process(command, env=environment(server.base_url), check=False)
        nursery.cancel_scope.cancel()
    return done.returncode


def main() -> int:
    """Return the exit code of the example."""
    paths = [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("openai_python/*.py")]
    names = sorted(path.relative_to(EXAMPLES).with_suffix("").as_posix() for path in paths)
    parser = argparse.ArgumentParser(prog="python docs/run.py", description="Run an example of the documentation.")
    parser.add_argument("name", nargs="?", choices=names, metavar="NAME", help="such as first_stream")
    name = parser.parse_args().name
    if name is None:
        print(*names, sep="\n")
        return 0
    return trio.run(run, EXAMPLES / f"{name}.py")


if __name__ == "__main__":
    sys.exit(main())
