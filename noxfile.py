"""Sessions for nox, which work on every system: python -m nox --list.

Each session makes its own environment. On Linux and macOS, `scripts/test` is the shorter way to run the tests, and
`.ci/run` checks everything in one environment.
"""

from __future__ import annotations

import nox

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
ALL_CORES = ("-n", "auto", "--dist", "worksteal")
HTTP = ("http", "request", "testing", "test_client.py", "test_azure.py", "test_errors.py")

nox.options.sessions = ["tests", "lint", "types", "docs"]
nox.options.error_on_missing_interpreters = False


def run_pytest(session: nox.Session, *default: str) -> None:
    """Run the tests with the arguments after `--`, or else the default ones."""
    session.run("python", "-m", "pytest", "-W", "error", *(session.posargs or default))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests. Arguments of pytest go after --."""
    session.install("-e", ".[test]")
    run_pytest(session, *ALL_CORES)


@nox.session(python=PYTHONS[0])
def oldest(session: nox.Session) -> None:
    """Run the tests with the oldest version of each dependency that pyproject.toml allows."""
    session.install("uv")
    python = str(session.bin) + ("/python.exe" if session.platform == "win32" else "/python")
    session.run("uv", "pip", "install", "--quiet", "--python", python, "--resolution", "lowest-direct", "-e", ".[test]")
    run_pytest(session, *ALL_CORES)


@nox.session
def httpx2(session: nox.Session) -> None:
    """Run the tests of HTTP with httpx2, where httpx cannot be imported."""
    session.install("-e", ".[test]")
    session.env["PYTHONPATH"] = "tests/helpers"
    # The test that is left out measures how long httpx itself takes to close.
    chosen = ("-m", "not promise(n=8)", "-k", "not hanging_streams_are_closed_under_one_time_limit")
    run_pytest(session, "-p", "httpx2_alone", *chosen, *(f"tests/{name}" for name in HTTP))


@nox.session
@nox.parametrize("library", ["msgspec", "stdlib"])
def json(session: nox.Session, library: str) -> None:
    """Run the tests of JSON with a library other than orjson."""
    session.install("-e", ".[test]")
    session.env["TRIO_OPENAI_JSON"] = library
    run_pytest(session, "-m", "not promise(n=8)", "tests/wire", "tests/protocols", "tests/types")


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style of the code, the workflows, and the copies of the examples in the pages."""
    session.install("-e", ".[test,lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("flake8", "trio_openai", "tests", "docs", "benchmarks")
    session.run("python", "docs/embed.py", "--check")
    session.run("python", "scripts/repository.py")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy and pyright."""
    session.install("-e", ".[test,lint]")
    session.run("mypy", "--strict")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "trio_openai", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into site/."""
    session.install("-e", ".[docs]")
    session.run("mkdocs", "build", "--strict")


@nox.session
def package(session: nox.Session) -> None:
    """Build the packages into dist/, check them, and stream from an empty environment."""
    session.install("-e", ".[package]")
    session.run("python", "scripts/package.py")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Print quick figures beside those of openai. Arguments of benchmarks/page.py go after --."""
    session.install("-e", ".[test,benchmark]")
    session.run("python", "benchmarks/page.py", *(session.posargs or ["--quick"]))
