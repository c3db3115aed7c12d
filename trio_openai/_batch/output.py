"""The output of a job: its sink, what it has already, and the lines that could not be written."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterable, Mapping
from typing import Any, cast

import trio

from trio_openai.errors import BatchJobError

from .journal import Index, read_object
from .settings import Settings
from .sinks import EarlierLines, JSONLSink, Sink

_SLICE = 32  # lines between two checkpoints
_WRITE_SECONDS = 30.0
_RECENT = 1000  # answers that are kept for identical requests, if the sink cannot be read


class Output:
    """The output of a job.

    Args:
        sink: Where it goes.
        settings: The arguments of the job.

    Attributes:
        index: The lines that the sink had when the job started.
    """

    def __init__(self, sink: Sink, settings: Settings) -> None:
        self._sink = sink
        self._file = sink if isinstance(sink, JSONLSink) else None
        self._settings = settings
        self._is_open = False
        self._unsaved: deque[tuple[Mapping[str, Any], bytes | None]] = deque()
        self._recent: OrderedDict[bytes, Mapping[str, Any]] = OrderedDict()
        self._lock = trio.Lock()
        self.index = Index(retry_failed=settings.retry_failed)

    @property
    def unsaved(self) -> list[Mapping[str, Any]]:
        """The lines that could not be written."""
        return [line for line, _ in self._unsaved]

    async def open(self) -> None:
        """Open the sink, and read what it has already.

        Raises:
            BatchJobError: The output cannot be opened, or is something else.
        """
        if self._file is None:
            earlier = await self._sink.open()
            self._is_open = True
            await self._read_any(earlier)
            return
        if not self._settings.dry_run:
            self._file.open_file()
            self._is_open = True
        elif not self._file.exists():
            await trio.lowlevel.checkpoint()
            return
        count = 0
        async for written, _, location in EarlierLines(self._file, only_look=self._settings.dry_run):
            self.index.add(written, location if self._settings.dedupe else None)
            count += 1
            if count % _SLICE == 0:
                await trio.lowlevel.checkpoint()

    async def _read_any(self, earlier: Any) -> None:
        if isinstance(earlier, AsyncIterable):
            async for line in cast("AsyncIterable[object]", earlier):
                self._add(line)
            return
        for count, line in enumerate(earlier):
            self._add(line)
            if count % _SLICE == 0:
                await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()

    def _add(self, line: object) -> None:
        if (written := read_object(line)) is None:
            raise BatchJobError("the sink returned a line that is not the output of a batch job")
        self.index.add(written)

    async def write(self, line: Mapping[str, Any], digest: bytes | None) -> None:
        """Store a line, and those before it that could not be written.

        Args:
            line: The line.
            digest: The hash of its request, if other lines may need its answer.

        Raises:
            BatchJobError: The lines could not be written. They are kept.
        """
        self._unsaved.append((line, digest))
        await self._write_unsaved()

    async def _write_unsaved(self) -> None:
        if self._file is not None:
            while self._unsaved:
                line, digest = self._unsaved[0]
                location = self._file.append(line)
                self._unsaved.popleft()
                self._remember(line, digest, location)
            return  # noqa: ASYNC910 - a file is written without a checkpoint, so nothing can come in between
        async with self._lock:  # the methods of a sink are never called at the same time
            while self._unsaved:
                line, digest = self._unsaved[0]
                # Shielded, because nobody would know whether a line was stored whose `write` was cancelled.
                with trio.move_on_after(_WRITE_SECONDS, shield=True) as scope:
                    await self._sink.write([line])
                if scope.cancelled_caught:
                    raise BatchJobError(f"the sink has not stored a line within {_WRITE_SECONDS:g} seconds")
                self._unsaved.popleft()
                self._remember(line, digest, None)

    def _remember(self, line: Mapping[str, Any], digest: bytes | None, location: int | None) -> None:
        if digest is None or not self._settings.dedupe:
            return
        if location is not None:
            self.index.answered(digest, location)
            return
        self._recent[digest] = line
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)

    def remember(self, digest: bytes) -> None:
        """Let `answer_of` find a request that a dry run would send."""
        self.index.answered(digest, 0)

    def answer_of(self, digest: bytes) -> Mapping[str, Any] | None:
        """Return the output line of an identical request, or None."""
        if (line := self._recent.get(digest)) is not None:
            return line
        location = self.index.location(digest)
        if location is not None and self._settings.dry_run:
            return {}
        return None if location is None or self._file is None else self._file.read(location)

    async def sync(self) -> None:
        """Make sure that what was written survives a power cut."""
        async with self._lock:
            await self._sink.sync()

    async def close(self) -> None:
        """Write what could not be written, if that works now, and close the sink.

        Raises:
            BatchJobError: The output cannot be written.
        """
        if not self._is_open:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self._write_unsaved()
            await self.sync()
        finally:
            await self._sink.aclose()  # noqa: ASYNC102 - the caller is shielded and bounded
