"""Keep the beginning of a stream's body, for subscribers and iterators that ask for its first events later."""

from __future__ import annotations

from trio_openai._wire.decoder import NEW_CONNECTION

_RECORD_BYTES = 64 * 1024  # the part of a body that is kept, unless all of it has been asked for


class Record:
    """The first 64 KiB of one body, or all of it once that has been asked for.

    Attributes:
        size: the number of bytes that came, kept or not.
    """

    __slots__ = ("_is_wanted", "_pieces", "size")

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] | None = []  # None once there were too many to keep
        self._is_wanted = False

    def add(self, data: bytes) -> None:
        """Keep a piece of the body."""
        self.size += len(data)
        if self._pieces is not None:
            self._pieces.append(data)
            if self.size > _RECORD_BYTES and not self._is_wanted:
                self._pieces = None

    def separate(self) -> None:
        """Mark that what follows comes by another connection."""
        if self._pieces is not None:
            self._pieces.append(NEW_CONNECTION)

    def all(self, otherwise: str, *, keep: bool = False) -> list[bytes]:
        """Return all bytes that came.

        Args:
            otherwise: ends the message of the error, and says what to do.
            keep: also keep everything that comes from now on.

        Raises:
            RuntimeError: there were too many bytes to keep.
        """
        if self._pieces is None:
            raise RuntimeError(
                f"only the first {_RECORD_BYTES // 1024} KiB of this stream were kept, and more has come{otherwise}"
            )
        self._is_wanted = self._is_wanted or keep
        return self._pieces
