"""A connection whose caller is confined to a project."""

from collections.abc import Sequence
from dataclasses import dataclass

from taskorch.queue.port import (
    CONFINED,
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)


@dataclass
class Confined(ConnectionWrapper):
    """A connection that confines each call to a project, as a gateway does."""

    connection: Connection
    project: str

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        request, *words = arguments
        confined = (f"{request}{CONFINED}{self.project}", *words)
        return self.connection.run_script(script, key, confined)
