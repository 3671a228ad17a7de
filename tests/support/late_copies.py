"""First copies of calls that arrive after their repeat, below the retries of a client."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from support.builders import Bench, need_lease
from taskorch.domain import errors
from taskorch.domain.backoff import Patience
from taskorch.domain.item import NewItem, State
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
    ScriptError,
)
from taskorch.transport.retry import RetryingConnection, is_not_final

Sent = tuple[Script, str, Sequence[Argument]]


@dataclass
class LateCopies(ConnectionWrapper):
    """A connection on which the first copy of each call is late."""

    connection: Connection
    late: list[Sent] = field(default_factory=list)

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        request = str(arguments[0]).removesuffix("+")
        if request not in [str(words[0]) for _, _, words in self.late]:
            self.late.append((script, key, arguments))
            raise errors.Unreachable(url="redis://x", reason="cut off")
        return self.connection.run_script(script, key, arguments)

    def deliver(self) -> list[str]:
        """Deliver the late copies, and return the first word of each refusal."""
        words = []
        for script, key, arguments in self.late:
            try:
                self.connection.run_script(script, key, arguments)
            except ScriptError as refusal:
                words.append(str(refusal).partition(" ")[0])
        return words


def check_late_copies(bench: Bench) -> None:
    """Fail if a late copy acts, of a claim, a completion or a refused call."""
    copies = LateCopies(bench.queue._scripts.connection)
    patience = Patience(may_pass=is_not_final, attempts=2)
    late = bench.with_connection(
        lambda _: RetryingConnection(copies, patience)
    )
    held = need_lease(
        bench.agent().claim() if bench.item(agent="ada") else None
    )

    assert late.agent("bob").claim() is None
    with pytest.raises(errors.WrongState):
        late.queue.requeue(held.item)
    project = late.queue.project("Once")
    created = late.queue.create(project, NewItem(title="T", agent="bob"))
    late.agent("bob").complete(need_lease(late.agent("bob").claim()), "done")
    bench.item(agent="bob")
    bench.queue.requeue(created)
    bench.queue.cancel(held.item)
    before = bench.everything()

    assert copies.deliver() == ["WRONG_STATE"]
    assert bench.everything() == before
    assert bench.state(created) is State.QUEUED
