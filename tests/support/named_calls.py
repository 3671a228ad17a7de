"""A connection that records which scripts a test has called."""

from collections.abc import Sequence

from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)


class Noted(ConnectionWrapper):
    """A connection that records the names of scripts."""

    def __init__(self, connection: Connection, seen: list[str]) -> None:
        super().__init__(connection)
        self._seen = seen

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        self._seen.append(script.name)
        return super().run_script(script, key, arguments)
