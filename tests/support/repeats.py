"""A connection that remembers requests, so that a test can send an old one again."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from taskorch.queue.port import Argument, Connection, ConnectionWrapper, Reply, Script

#: How much of a reply a repeat gets again; the package or project behind it is read afresh.
KEPT_WORDS = {"get": 3, "complete_project": 0}


@dataclass(frozen=True)
class Call:
    """A call as it was sent, and the first reply to it."""

    script: Script
    key: str
    words: tuple[Argument, ...]
    reply: Reply

    def kept(self) -> Reply:
        """Return the part of the reply that a repeat gets again."""
        if self.script.name == "claim":
            return [row[:3] for row in cast("list[list[list[Reply]]]", self.reply)[0]]
        words = KEPT_WORDS.get(self.script.name)
        return (
            self.reply
            if words is None or not isinstance(self.reply, list)
            else self.reply[:words]
        )

    def changed_nothing(self) -> bool:
        """Return whether its reply is not kept: a check, a claim of nothing, a get that brought no token."""
        if not isinstance(self.reply, list) or self.script.name == "check":
            return True
        told = {"claim": 0, "get": 1}.get(self.script.name)
        return told is not None and not self.reply[told]


@dataclass
class Remembering(ConnectionWrapper):
    """A connection that numbers its requests, and remembers those whose replies Redis keeps.

    A request without such a reply leaves nothing behind, and the next one has the same number.
    """

    connection: Connection
    calls: list[Call] = field(default_factory=list)

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        words = (f"{len(self.calls):016x}", *arguments[1:])
        call = Call(script, key, words, self.connection.run_script(script, key, words))
        if not call.changed_nothing():
            self.calls.append(call)
        return call.reply

    def again(self, number: int) -> tuple[Call, Call]:
        """Send an old request again; return the call as it was, and as it is now."""
        first = self.calls[number]
        return first, replace(
            first,
            reply=self.connection.run_script(first.script, first.key, first.words),
        )
