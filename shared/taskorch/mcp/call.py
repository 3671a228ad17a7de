"""One call of a tool: it works like a command, with a connection of its own.

Loaded by the first call, because the queue takes longer to load than a client waits for
the list of tools.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from taskorch.config.settings import Settings
from taskorch.connections import open_connection, unanswered_requests
from taskorch.domain import errors
from taskorch.domain.access import Access
from taskorch.domain.leases import LeaseStore
from taskorch.mcp.background import Background
from taskorch.queue.fields import Damage
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch.queue.requests import Requests

logger = logging.getLogger(__name__)


class ToolCall(ABC):
    """One call of a tool: what the tool acts with."""

    #: The client's id of its session, "" if it has none.
    program_session = ""
    #: Whether the client accepts a task in place of a result.
    takes_tasks = False
    #: The work that continues after a call. None where a client does such work itself.
    background: Background[Any] | None = None
    connection: Connection

    def __init__(
        self,
        settings: Settings,
        requests: Requests,
        leases: LeaseStore | None = None,
    ) -> None:
        """`leases` are those of an agent on another machine, None for one here."""
        self.settings = settings
        self.requests = requests
        self.leases = leases
        #: Kind and id of a damaged row that the result lacks -> the reason.
        self.damage: Damage = {}
        #: Gives back what the call claimed, if the client cancels the call.
        self.undo: Callable[[], None] | None = None

    @property
    def files(self) -> Settings | None:
        """The settings of the root whose files the call may use; None for none."""
        return None if self.leases else self.settings

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @abstractmethod
    def new_call(self) -> "ToolCall":
        """Return another call, to give back what this one claimed, or to go on later."""

    @abstractmethod
    def raise_if_cancelled(self) -> None:
        """Raise CallCancelled if the client has cancelled the call."""


class LocalCall(ToolCall):
    """One call of a tool on the machine of its agent, with its connection."""

    connection: "CancellableConnection"

    def __init__(
        self,
        settings: Settings,
        access: Access,
        words: str,
        program_session: str = "",
    ) -> None:
        """Open the connection of a call; `words` are the tool and its arguments.

        A call with the same words repeats a request that Redis left unanswered. With
        "", it repeats none. `program_session` is the client's id of its session.
        """
        self._opened = open_connection(settings, logger.warning, access)
        requests = Requests(store=unanswered_requests(settings, words))
        super().__init__(settings, requests)
        self.connection = CancellableConnection(self._opened)
        self.program_session = program_session
        #: Whether the thread of the call has ended.
        self.is_over = False

    def cancel(self) -> None:
        """End a wait, and make no further step: each raises CallCancelled."""
        self.connection.is_cancelled = True
        self.close()

    def end_waits(self) -> None:
        """End a wait with errors.InputClosed; other steps continue.

        A wait that is about to start may miss it: call this again until the call is
        over.
        """
        self.connection.refuses_waits = True
        if self.connection.is_waiting:
            self.close()

    def close(self) -> None:
        """Close the connection."""
        self._opened.close()

    def raise_if_cancelled(self) -> None:
        """Raise CallCancelled if the client has cancelled the call."""
        self.connection.raise_if_cancelled()

    def new_call(self) -> "LocalCall":
        """Return another call, to give back what this one claimed, or to go on later."""
        return LocalCall(self.settings, Access.USE, "", self.program_session)


class CallCancelled(Exception):
    """The client cancelled its call."""


class CancellableConnection(ConnectionWrapper):
    """The connection of a call that can be cancelled while another thread uses it.

    A call that took a wake token still claims the item: otherwise the item is ready and
    the other waiters sleep on.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        #: Whether every step raises CallCancelled.
        self.is_cancelled = False
        #: Whether every wait raises errors.InputClosed.
        self.refuses_waits = False
        self.is_waiting = False
        self._has_token = False

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script, unless the call is cancelled."""
        if not self._has_token:
            self.raise_if_cancelled()
        self._has_token = False
        return super().run_script(script, key, arguments)

    def wait_for_wake(self, lists: Sequence[str], timeout_s: float) -> bool:
        """Take a wake token, unless the call is cancelled."""
        self._has_token = self._wait(
            lambda: self.connection.wait_for_wake(lists, timeout_s)
        )
        return self._has_token

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Wait for an entry of a stream, unless the call is cancelled."""
        return self._wait(
            lambda: self.connection.wait_for_entry(key, cursor, timeout_s)
        )

    def _wait(self, wait: Callable[[], bool]) -> bool:
        self.is_waiting = True
        try:
            self._check_wait()
            found = wait()
        except errors.Unavailable:
            self._check_wait()  # cancelling a wait closes its connection
            raise
        finally:
            self.is_waiting = False
        if not found:
            self._check_wait()
        return found

    def raise_if_cancelled(self) -> None:
        """Raise CallCancelled if the call is cancelled."""
        if self.is_cancelled:
            raise CallCancelled

    def _check_wait(self) -> None:
        self.raise_if_cancelled()
        if self.refuses_waits:
            raise errors.InputClosed
