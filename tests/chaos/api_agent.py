"""A worker that uses the library; its repeated calls act once."""

from collections.abc import Callable, Sequence

from taskorch.domain import errors
from taskorch.domain.item import Caller, Lease, Receipt
from taskorch.domain.usage import ModelUsage
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.port import Argument, ConnectionWrapper, Reply, Script

from chaos.call_recorder import ClaimedItem
from chaos.process_config import ProcessConfig, start
from chaos.worker import COST_MICROS, POOL, Worker

WAIT_S = 1.0
#: The share of replies that are lost.
LOST = 0.02
REPLY_LOST = "the reply was lost"
USED = ModelUsage(cost_micros=COST_MICROS)

STEPS: dict[str, Callable[[AgentQueue, Lease, str], Receipt]] = {
    "progress": lambda me, lease, text: me.progress(
        lease, text, percent=50, used=USED
    ),
    "renew": lambda me, lease, _: me.renew(lease),
    "discover": lambda me, lease, text: me.discover(lease, text),
    "complete": lambda me, lease, text: me.complete(lease, text, used=USED),
    "fail": lambda me, lease, text: me.fail(lease, text, used=USED),
    "release": lambda me, lease, text: me.release(lease, reason=text),
}


class LossyConnection(ConnectionWrapper):
    """A connection that loses some replies, as a network does.

    The caller sets the request id of its next step; a repeat under that id acts once.
    """

    def __init__(self, config: ProcessConfig) -> None:
        self._config = config
        self._random = config.random()
        super().__init__(config.connection())
        #: "" if the step has its reply: the next call has its own id.
        self.request = ""

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script."""
        reply = super().run_script(
            script, key, (self.request or arguments[0], *arguments[1:])
        )
        if self._random.random() < LOST and not self._config.faults_are_over():
            raise errors.Unreachable(url=self._config.url, reason=REPLY_LOST)
        # A claim that found no item is made again under the same id.
        found_no_item = isinstance(reply, list) and reply[0] == ""
        if not found_no_item:
            self.request = ""
        return reply


class ApiClient:
    """The client of a worker that uses the library."""

    def __init__(self, config: ProcessConfig) -> None:
        self._connection = LossyConnection(config)
        caller = Caller(
            agent=config.agent,
            host="chaos",
            session=config.name,
            pools=(POOL,),
        )
        self._queue = AgentQueue(self._connection, config.namespace, caller)

    def claim(self, call: str) -> ClaimedItem | None:
        """Claim the next item, waiting a moment for it."""
        self._connection.request = call
        claim = self._queue.claim(wait_s=WAIT_S)
        if not claim or not claim.lease:
            return None
        item = claim.package.item
        since = (
            item.holder.since
            if item.holder and item.token == claim.lease.token
            else 0
        )
        return ClaimedItem(lease=claim.lease, title=item.title, since=since)

    def step(self, verb: str, lease: Lease, call: str) -> Receipt:
        """Run a verb of the holder."""
        self._connection.request = call
        return STEPS[verb](self._queue, lease, call)


def run(config: ProcessConfig) -> None:
    """Work until the driver stops the run."""
    start(config)
    Worker(config, ApiClient(config)).work()
