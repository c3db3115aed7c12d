"""The output file as a journal: whole lines that are only ever appended. No I/O.

A process may be killed at any moment, also while it writes. So the last line of the file may be torn. `LineSplitter`
cuts a file into whole lines and keeps the rest, and `repair` decides what becomes of that rest: it is completed if only
its end of line is missing, and cut off otherwise. What was cut off belongs to a request that counts as in flight.

A file that is not ours is never changed. `read_line` and `repair` refuse it.
"""

from __future__ import annotations

import attrs

from trio_openai._wire.json import decode_json, is_object

from .rows import identity_of
from .table import DigestTable

PREFIX = b'{"id":"batch_'
_REQUEST, _LINE = "batch_req_", "batch_line_"
_HALF = 32
_LOW = (1 << _HALF) - 1


class LineSplitter:
    """Cut a file into lines.

    Args:
        most: The longest line to keep. Of a longer one, only the first bytes are kept.

    Attributes:
        rest: The bytes after the last end of line.
        position: The number of bytes in whole lines so far.
    """

    def __init__(self, most: int) -> None:
        self.rest = b""
        self.position = 0
        self._most = most
        self._dropped = 0  # bytes of the unfinished line that were not kept
        self._pieces: list[bytes] = []
        self._kept = 0

    def receive_data(self, data: bytes) -> list[bytes]:
        """Return the lines that these bytes complete, without their ends."""
        lines = data.split(b"\n")
        last = lines.pop()
        if lines:
            lines[0] = self._first(lines[0])
            self.position += sum(map(len, lines)) + len(lines) + self._dropped
            self._pieces, self._kept, self._dropped = [], 0, 0
        self._keep(last)
        return lines

    def finish(self) -> bytes:
        """Return the bytes after the last end of line."""
        self.rest = b"".join(self._pieces)
        return self.rest

    def _first(self, piece: bytes) -> bytes:
        if not self._pieces:
            return piece
        self._keep(piece)
        return b"".join(self._pieces)

    def _keep(self, piece: bytes) -> None:
        room = self._most + 1 - self._kept  # one more byte tells that a line was too long
        if len(piece) > room:
            self._dropped += len(piece) - max(room, 0)
            piece = piece[: max(room, 0)]
        if piece:
            self._pieces.append(piece)
            self._kept += len(piece)


@attrs.frozen
class Repair:
    """The repair of a file's torn last line.

    Attributes:
        cut: How many bytes to cut off the end of the file.
        append: What to append to it.
    """

    cut: int = 0
    append: bytes = b""


def repair(rest: bytes) -> Repair | None:
    """Decide what becomes of the bytes after the last end of line. None means that they are not ours."""
    if not rest:
        return Repair()
    if read_line(rest) is not None:
        return Repair(append=b"\n")
    # A power cut may leave zeros where the data had not reached the disk.
    if rest.startswith(PREFIX) or PREFIX.startswith(rest) or not rest.strip(b"\0"):
        return Repair(cut=len(rest))
    return None


@attrs.frozen
class Written:
    """One line of the output.

    Attributes:
        digest: The hash of its request or, for a line that is not a request, of that line.
        identity: The hash by which a line of the input is found.
        is_failure: True if it has an error that another attempt may not have.
        replaces_failure: True if it repeats an earlier line of the output that failed.
        is_request: False if its line of the input is not a request.
    """

    digest: bytes
    identity: bytes
    is_failure: bool
    replaces_failure: bool
    is_request: bool


def read_line(line: bytes) -> Written | None:
    """Return what a line of the output says, or None if it is not one of ours."""
    try:
        found = decode_json(line)
    except (ValueError, RecursionError):
        return None
    return read_object(found)


def read_object(found: object) -> Written | None:
    """Return what a decoded line of the output says, or None if it is not one of ours."""
    if not is_object(found):
        return None
    name: object = found.get("id")
    custom_id: object = found.get("custom_id")
    if not isinstance(name, str) or not isinstance(custom_id, str | None):
        return None
    is_request = name.startswith(_REQUEST)
    try:
        digest = bytes.fromhex(name.removeprefix(_REQUEST if is_request else _LINE))
    except ValueError:
        return None
    if len(digest) != 16:
        return None
    return Written(
        digest=digest,
        identity=identity_of(custom_id, digest),
        is_failure=is_request and found.get("error") is not None,
        replaces_failure=found.get("replaces_failure") is True,
        is_request=is_request,
    )


def id_of(digest: bytes, *, is_request: bool) -> str:
    """Return the `id` of an output line."""
    return (_REQUEST if is_request else _LINE) + digest.hex()


class Index:
    """The lines of the output, by the hashes of their requests.

    An input may have the same line several times. Each gets its own line of output, so lines are counted, and every
    line of the input that is found takes one off.

    Args:
        retry_failed: Whether lines that failed are to be sent again.

    Attributes:
        took_failure: True if the line that `take` found last has failed.
    """

    def __init__(self, *, retry_failed: bool = False) -> None:
        self._retry_failed = retry_failed
        self._counts = DigestTable()  # complete lines, and above them failed ones
        self.took_failure = False
        self._answers = DigestTable()  # where the answer of a request is

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, line: Written, location: int | None = None) -> None:
        """Record a line that an earlier run has written.

        Args:
            line: The line.
            location: Where it is, if its answer can be read again.
        """
        number = self._counts.get(line.identity) or 0
        failed, complete = number >> _HALF, number & _LOW
        if line.replaces_failure and failed:
            failed -= 1
        if line.is_failure:
            failed += 1
        else:
            complete += 1
        self._counts.set(line.identity, failed << _HALF | complete)
        if location is not None and line.is_request and not line.is_failure:
            self._answers.set(line.digest, location)

    def take(self, identity: bytes) -> bool | None:
        """Look for a line of the input, and take it off.

        Returns:
            True if it is done, False if it failed and is to be sent again, None if it is not in the output.
        """
        if not len(self._counts) or not (number := self._counts.get(identity)):
            return None
        self.took_failure = not number & _LOW
        if not self.took_failure:
            self._counts.set(identity, number - 1)
            return True
        self._counts.set(identity, number - (1 << _HALF))
        return not self._retry_failed

    def answered(self, digest: bytes, location: int) -> None:
        """Record where the answer of a request is."""
        self._answers.set(digest, location)

    def location(self, digest: bytes) -> int | None:
        """Return where the answer of a request is, or None."""
        return self._answers.get(digest)
