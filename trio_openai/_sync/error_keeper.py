"""Catch an exception in the loop, and keep it for the thread that has to raise it."""

from __future__ import annotations

from types import TracebackType

from trio_openai._http.nursery import split_cancelled


class ErrorKeeper:
    """A context manager that catches an exception and keeps it for another thread. A cancellation is raised.

    An observer or another function of the program may raise `KeyboardInterrupt` or `SystemExit`. In the loop it would
    end all calls of all threads. So the thread whose call it was gets it.

    Attributes:
        error: The exception, or None.
    """

    error: BaseException | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if exc is None:
            return False
        cancelled, rest = split_cancelled(exc)
        self.error = rest or self.error
        if cancelled is not None and cancelled is not exc:
            raise cancelled from None
        return cancelled is None
