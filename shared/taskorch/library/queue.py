"""The queue of a Python program: it opens its own connection, and has agents."""

import logging
import os
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import TracebackType
from typing import Self

from taskorch.config.settings import Settings, resolve
from taskorch.connections import open_connection
from taskorch.domain import errors, limits
from taskorch.domain.access import Access
from taskorch.domain.frozen import replace
from taskorch.domain.item import Caller
from taskorch.library.agent import Agent
from taskorch.queue import queue

_log = logging.getLogger(__name__)


class Queue(queue.Queue):
    """One namespace of the queue, with every verb of an orchestrator.

        with Queue.open("redis://localhost:6379/0", agent="planner") as queue:
            project = queue.project("Build authentication system")
            new = NewItem(title="Design schema", agent="database_specialist")
            queue.create(project, new)

    Threads may share it: calls take turns on one socket, and each wait has a socket of
    its own. A forked process opens its own sockets.
    """

    #: The pools of its agents, if they are given no others; None if none are stated.
    pools: tuple[str, ...] | None = None

    @classmethod
    def open(
        cls,
        url: str | None = None,
        namespace: str | None = None,
        agent: str | None = None,
        pools: Sequence[str] | None = None,
    ) -> Self:
        """Open the queue that the commands use in this folder.

        `url` and `namespace` take the place of the options --redis-url and --namespace,
        `agent` that of ORCHESTRATOR_ID: the name of the orchestrator. `pools` takes that
        of AGENT_POOLS: the pools of its agents and workers. A value of None
        comes from the environment and the config files, as for the commands. The
        defaults are the folder's bundled server, which is started, the namespace
        "default" and the name "orchestrator". Nothing is connected before the first
        call. Raises errors.Usage and errors.UntrustedConfig for the settings, and
        errors.Invalid for a bad name.
        """
        settings = _settings(url, namespace)
        connection = open_connection(settings, _log.info, Access.CREATE)
        caller = Caller(
            agent=settings.orchestrator if agent is None else agent,
            session=settings.session,
        )
        queue = cls(connection, settings.namespace, caller)
        queue.pools = settings.pools if pools is None else limits.pools(pools)
        return queue

    def agent(self, name: str, *, pools: Sequence[str] | None = None) -> Agent:
        """Return an agent, which claims its items as tasks.

        After its own queue, it takes items from `pools`, in this order; None for those
        of the queue. With (), the agent leaves its pools.
        """
        own = self.agent_queue(
            name,
            session=self.caller.session,
            pools=self.pools if pools is None else pools,
        )
        return Agent(own)

    def close(self) -> None:
        """Close the sockets. The bundled server keeps running."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _settings(url: str | None, namespace: str | None) -> Settings:
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        raise errors.Usage(
            reason="The current folder does not exist any more."
        ) from None
    flags = {"redis_url": url, "namespace": namespace}
    settings = resolve(flags, os.environ, folder)
    if settings.redis_url:
        return settings
    return replace(settings, service_command=_service_command())


def _service_command() -> tuple[str, ...]:
    """Return the arguments with which Python runs the service; () if there is none.

    The package that has it is above this one, which does not know its name.
    """
    for found in entry_points(group="taskorch.service"):
        return "-m", found.module, found.name
    return ()
