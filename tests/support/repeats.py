"""A connection that records requests, so that a test can repeat an old one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
    repeated,
)

#: Words of a receipt that are kept; the comments after them are read again.
RECEIPT_WORDS = 7
#: Steps that settle an item -> the place of the word that claims the next one.
SETTLING = {"complete": 6, "fail": 10}
#: The words of a reply that are kept for repeats; what follows them is read again.
KEPT_WORDS = {
    "create": 4,
    "get": 3,
    "close_project": 3,
    "reopen_project": 1,
    "set_budget": 2,
}


@dataclass(frozen=True)
class Call:
    """A call as it was sent, and its reply."""

    script: Script
    key: str
    words: tuple[Argument, ...]
    reply: Reply

    def kept(self) -> Reply:
        """Return the part of the reply that is kept for repeats."""
        if self.script.name == "claim":
            return [
                row[:3]
                for row in cast("list[list[list[Reply]]]", self.reply)[0]
            ]
        if self.script.name in SETTLING:
            receipts, claims = self._settled()
            return [
                [row[:RECEIPT_WORDS] for row in receipts],
                [row[:3] for row in claims],
            ]
        if self.script.name in KEPT_WORDS and isinstance(self.reply, list):
            return self.reply[: KEPT_WORDS[self.script.name]]
        return self.reply

    def _settled(self) -> tuple[list[list[Reply]], list[list[Reply]]]:
        """Return the receipts of a step that settles items, and the claims after it."""
        reply = cast("list[Any]", self.reply)
        claims: list[list[Reply]] = []
        if self.script.name == "complete":
            receipts, claims, _ = reply
        elif self.words[SETTLING[self.script.name]]:
            receipts, claims = reply
        else:
            receipts = reply
        is_one = self.script.name == "fail"
        return [receipts] if is_one else receipts, claims

    def changed_nothing(self) -> bool:
        """Return whether its reply is not kept.

        That is a check, a claim of nothing, or a get that returned no token.
        """
        if not isinstance(self.reply, list) or self.script.name == "check":
            return True
        place = {"claim": 0, "get": 1}.get(self.script.name)
        return place is not None and not self.reply[place]


@dataclass
class RecordingConnection(ConnectionWrapper):
    """A connection that numbers its requests and records those with kept replies.

    The next request reuses the number of a request without such a reply.
    """

    connection: Connection
    calls: list[Call] = field(default_factory=list)

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        words = (f"{len(self.calls):016x}", *arguments[1:])
        call = Call(
            script, key, words, self.connection.run_script(script, key, words)
        )
        if not call.changed_nothing():
            self.calls.append(call)
        return call.reply

    def repeat(self, number: int) -> tuple[Call, Call]:
        """Send an old request again; return the first call and the new one."""
        first = self.calls[number]
        words = repeated(first.script, first.words)
        return first, replace(
            first,
            reply=self.connection.run_script(first.script, first.key, words),
        )
