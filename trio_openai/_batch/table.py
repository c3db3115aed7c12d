"""A compact table from 16-byte hashes to numbers, for what is in the output already. No I/O.

A Python dictionary needs about 180 bytes for each entry. This table needs about 40. It is a list of byte strings, one
for every first two bytes of a hash. An entry is the hash and its number, 24 bytes. `bytes.find` searches them in C: of
a million entries it looks at fifteen, of a hundred million at 1,500. Nothing is ever rehashed, so no insertion is slow.
"""

from __future__ import annotations

_KEY = 16
_ENTRY = 24
_PARTS = 1 << 16


class DigestTable:
    """A map from hashes of 16 bytes to integers of 64 bits."""

    def __init__(self) -> None:
        self._parts: list[bytearray | None] = [None] * _PARTS
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, digest: bytes) -> int | None:
        """Return the number of a hash, or None."""
        part = self._parts[digest[0] << 8 | digest[1]]
        if part is None or (at := _find(part, digest)) < 0:
            return None
        return int.from_bytes(part[at + _KEY : at + _ENTRY], "little")

    def set(self, digest: bytes, number: int) -> None:
        """Set the number of a hash."""
        index = digest[0] << 8 | digest[1]
        part = self._parts[index]
        if part is None:
            part = self._parts[index] = bytearray()
        at = _find(part, digest)
        if at < 0:
            part += digest
            part += number.to_bytes(8, "little")
            self._count += 1
        else:
            part[at + _KEY : at + _ENTRY] = number.to_bytes(8, "little")


def _find(part: bytearray, digest: bytes) -> int:
    """Return where the entry of a hash begins, or -1."""
    at = part.find(digest)
    while at > 0 and at % _ENTRY:  # the bytes of two entries may look like a hash together
        at = part.find(digest, at + 1)
    return at
