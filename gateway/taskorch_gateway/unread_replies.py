"""The bound of all replies that clients of a process have not read yet.

Each of them may be large, and a client may read it as slowly as the limits allow.
"""

from typing import Protocol

MOST_BYTES = 256 * 1024 * 1024


class ReplyReader(Protocol):
    """A connection whose client has to read the rest of a reply."""

    def left_of_reply(self) -> int:
        """Return the size of the rest."""

    def cut(self) -> None:
        """Close it."""


class UnreadReplies:
    """The bytes of replies that clients of a process have not read yet, with a bound."""

    def __init__(self) -> None:
        #: The size of the rest when it was looked at last.
        self._sizes: dict[ReplyReader, int] = {}
        self._total = 0

    def add(self, reader: ReplyReader) -> None:
        """Add the rest of a reply. If all are too large together, the largest is cut."""
        self.remove(reader)
        self._sizes[reader] = reader.left_of_reply()
        self._total += self._sizes[reader]
        if self._total > MOST_BYTES:
            self._look_again()
        if self._total > MOST_BYTES:
            largest = max(self._sizes, key=self._sizes.__getitem__)
            self.remove(largest)
            largest.cut()

    def remove(self, reader: ReplyReader) -> None:
        """Remove a reply that was read, or whose client has left."""
        self._total -= self._sizes.pop(reader, 0)

    def _look_again(self) -> None:
        self._sizes = {each: each.left_of_reply() for each in self._sizes}
        self._total = sum(self._sizes.values())
