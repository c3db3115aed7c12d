"""Run `trio-openai batch`: make the job from the arguments, obey signals, and show the progress."""

from __future__ import annotations

import gzip
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trio_openai import OpenAIError, TrioOpenAI, batch
from trio_openai._batch.rows import BatchRow, Defaults, parse_line
from trio_openai._cli.parsing import Parser
from trio_openai.errors import BatchJobError

from .progress import Progress, make_progress
from .report import counted, exit_code

if TYPE_CHECKING:
    import argparse

FINISH_SECONDS = 30.0
"""How long running requests have after the first Ctrl-C."""
_LONGEST_LOOK = 1 << 20
_NEED_MODEL = ("/chat/completions", "/completions", "/responses", "/embeddings")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # a cluster sends SIGTERM, and kills half a minute later


def run_batch(options: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit code: 0 if all is done, 1 if lines failed or are left, 130 after Ctrl-C.
    """
    parser: Parser = options.parser
    _raise_open_files(options.max_concurrent + 100)
    if _lacks_model(options):
        parser.error(f"the first line of {options.input} names no model; add --model NAME")
    try:
        clients = _clients(options)
        job = _job(options, clients)
    except (OpenAIError, TypeError, ValueError, ModuleNotFoundError) as error:
        parser.error(_in_words_of_the_command(_one_line(error)))
    command = Command(options.output, make_progress(options))
    code = 1
    try:
        code = trio.run(command.run, clients, job)
    except* OpenAIError as group:
        for leaf in _leaves(group):
            _print_error(leaf)
    except* KeyboardInterrupt:
        code = 130
    return code


def _lacks_model(options: argparse.Namespace) -> bool:
    """Return whether the first line of the file lacks a model. If it does, so do most of the others."""
    if options.model or options.input == "-" or not Path(options.input).is_file():
        return False
    try:
        with Path(options.input).open("rb") as raw:
            file = gzip.GzipFile(fileobj=raw) if options.input.endswith(".gz") else raw
            line = file.readline(_LONGEST_LOOK)
    except (OSError, EOFError):
        return False  # the job says what is wrong with the file
    row = parse_line(line, 1, Defaults(params=dict(options.param), url=options.url))
    return isinstance(row, BatchRow) and row.path in _NEED_MODEL and "model" not in row.body


def _servers(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the arguments of a client for each server."""
    urls = options.base_url or [os.environ.get("OPENAI_BASE_URL")]
    names = options.api_key_env or ["OPENAI_API_KEY"]
    names = names * len(urls) if len(names) == 1 else names
    return [{"base_url": url, "api_key": os.environ.get(name)} for url, name in zip(urls, names, strict=True)]


def _clients(options: argparse.Namespace) -> list[TrioOpenAI] | batch.RayWorkers:
    """Return a client for each server, or the workers that have them."""
    servers = _servers(options)
    clients = [TrioOpenAI(**server, max_connections=options.max_concurrent) for server in servers]
    if options.workers is None:
        return clients
    return batch.RayWorkers(options.workers, servers, address=options.ray_address)


def _job(
    options: argparse.Namespace, clients: list[TrioOpenAI] | batch.RayWorkers
) -> AbstractAsyncContextManager[batch.Job]:
    prices = batch.load_prices(options.prices) if options.prices else None
    return batch.run(
        options.input,
        _sink(options),
        clients=clients,
        model=options.model,
        system=options.system,
        params=dict(options.param),
        url=options.url,
        max_concurrent=options.max_concurrent,
        rpm=options.rpm,
        tpm=options.tpm,
        max_tokens_total=options.max_tokens_total,
        max_cost=options.max_cost,
        prices=prices,
        dedupe=not options.no_dedupe,
        retry_failed=options.retry_failed,
        max_failures=options.max_failures,
        limit=options.limit,
        shard=options.shard,
        dry_run=options.dry_run,
    )


def _sink(options: argparse.Namespace) -> batch.Sink:
    if options.output is None:
        return _Nothing()
    if options.parquet:
        return batch.ParquetSink(options.output)
    return batch.JSONLSink(options.output, format="text" if options.text else "full")


class _Nothing:
    """The sink of a dry run without an output: it has no earlier results."""

    async def open(self) -> Iterable[Mapping[str, Any]]:
        await trio.lowlevel.checkpoint()
        return ()

    async def write(self, lines: list[Mapping[str, Any]]) -> None:  # noqa: ARG002
        await trio.lowlevel.checkpoint()

    async def sync(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@attrs.define
class Command:
    """One run of the command.

    Attributes:
        output: The file of results, or None.
        progress: Where the progress is shown.
        interrupted: The number of the first signal, or None.
    """

    output: str | None
    progress: Progress
    interrupted: int | None = None

    async def run(
        self, clients: list[TrioOpenAI] | batch.RayWorkers, manager: AbstractAsyncContextManager[batch.Job]
    ) -> int:
        """Run the job until its end. Return the exit code."""
        async with AsyncExitStack() as stack:
            for client in [clients] if isinstance(clients, batch.RayWorkers) else clients:
                await stack.enter_async_context(client)
            job = await stack.enter_async_context(manager)
            end = await self._watched(job)
        code = exit_code(end, self.interrupted)
        self.progress.end(end, self.output, code)
        return code

    async def _watched(self, job: batch.Job) -> batch.BatchStatistics:
        """Wait for the end of the job. Meanwhile, obey signals and show the progress."""
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals, job)
                nursery.start_soon(self._show, job)
                end = await job.wait()
                nursery.cancel_scope.cancel()
        return end

    async def _obey(self, signals: AsyncIterator[int], job: batch.Job) -> None:
        """Stop the job after the first signal, and cancel it after the second."""
        self.interrupted = await anext(signals)
        job.stop(FINISH_SECONDS)
        running = counted(job.statistics().running, "running request")
        self.progress.say(f"finishing {running}, {FINISH_SECONDS:g} s at most; press Ctrl-C again to cancel")
        await anext(signals)
        self.progress.say("cancelling")
        job.cancel()

    async def _show(self, job: batch.Job) -> None:
        try:
            while True:
                self.progress.show(job.statistics(), is_stopping=self.interrupted is not None)
                await trio.sleep(self.progress.seconds)
        finally:
            self.progress.hide()


def _raise_open_files(needed: int) -> None:
    """Raise the limit of open files, as far as the system lets us, since each request has a socket."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _print_error(error: OpenAIError) -> None:
    text, lost = _one_line(error), 0
    if isinstance(error, BatchJobError) and (lost := len(error.unsaved)):
        text = text.partition(f". {lost} answers could not be saved")[0]  # the rest is about Python
    print(f"trio-openai batch: {text}", file=sys.stderr)
    if lost:
        print(f"{counted(lost, 'answer')} could not be saved; the next run asks again", file=sys.stderr)


def _in_words_of_the_command(text: str) -> str:
    """Replace what a client says about Python's parameters."""
    text = text.replace("RayWorkers needs", "--workers needs").replace(
        "pass TrioOpenAI(api_key=...)", "name its variable with --api-key-env"
    )
    return text.replace("base_url", "--base-url")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _leaves(group: BaseExceptionGroup[OpenAIError]) -> Iterator[OpenAIError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
