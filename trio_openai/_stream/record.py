"""The beginning of a stream's body, kept for those who ask for its first events later."""

from __future__ import annotations

from trio_openai._wire.decoder import NEW_CONNECTION

_RECORD_BYTES = 64 * 1024  # kept of a body, unless somebody has asked for all of it


class Record:
    """The bytes of one body, up to 64 KiB of them; all, once somebody has asked for them.

    Attributes:
        size: how many bytes came, kept or not.
    """

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] | None = []  # None once there were too many
        self._is_wanted = False

    def add(self, data: bytes) -> None:
        """Keep a piece of the body."""
        self.size += len(data)
        if self._pieces is not None:
            self._pieces.append(data)
            if self.size > _RECORD_BYTES and not self._is_wanted:
                self._pieces = None

    def separate(self) -> None:
        """Note that what follows comes by another connection."""
        if self._pieces is not None:
            self._pieces.append(NEW_CONNECTION)

    def all(self, otherwise: str, *, keep: bool = False) -> list[bytes]:
        """Return everything that came; with `keep`, also what comes from now on is kept.

        Raises:
            RuntimeError: it was too much to be kept. `otherwise` says what to do.
        """
        if self._pieces is None:
            raise RuntimeError(
                f"of this stream no more than its first {_RECORD_BYTES // 1024} KiB were kept{otherwise}"
            )
        self._is_wanted = self._is_wanted or keep
        return self._pieces
