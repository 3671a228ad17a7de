"""Replies that clients do not read: all of them together have a bound."""

from taskorch_gateway.unread_replies import MOST_BYTES, UnreadReplies


class Reader:
    """A client that has to read a reply."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.is_cut = False

    def left_of_reply(self) -> int:
        """Return the size of the rest."""
        return self.size

    def cut(self) -> None:
        """Note that the connection is closed."""
        self.is_cut = True


def test_largest_of_too_many_unread_replies_is_cut() -> None:
    unread = UnreadReplies()
    large = Reader(MOST_BYTES // 2)
    others = [Reader(MOST_BYTES // 4) for _ in range(3)]

    for reader in (others[0], large, *others[1:]):
        unread.add(reader)

    assert large.is_cut
    assert not any(reader.is_cut for reader in others)


def test_replies_that_were_read_leave_room() -> None:
    unread = UnreadReplies()
    first, second, third = (Reader(MOST_BYTES // 2) for _ in range(3))

    unread.add(first)
    unread.add(second)
    first.size = 0  # the client has read it by now
    unread.add(third)
    unread.remove(second)
    unread.add(first)

    assert not any(reader.is_cut for reader in (first, second, third))
