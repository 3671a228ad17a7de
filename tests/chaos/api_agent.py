"""A worker through the API, whose calls act once however often they are repeated."""

from collections.abc import Callable, Sequence

from taskorch.domain import errors
from taskorch.domain.item import Caller, Lease, Receipt
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.port import Argument, ConnectionWrapper, Reply, Script

from chaos.call_recorder import Taken
from chaos.process_config import Duty, begin
from chaos.worker import Worker

WAIT_S = 1.0
#: Of the replies: those that never arrive.
LOST = 0.02
REPLY_LOST = "the reply was lost"

STEPS: dict[str, Callable[[AgentQueue, Lease, str], Receipt]] = {
    "progress": lambda me, lease, text: me.progress(lease, text, percent=50),
    "renew": lambda me, lease, _: me.renew(lease),
    "discover": lambda me, lease, text: me.discover(lease, text),
    "complete": lambda me, lease, text: me.complete(lease, text),
    "fail": lambda me, lease, text: me.fail(lease, text),
    "release": lambda me, lease, text: me.release(lease, reason=text),
}


class LossyConnection(ConnectionWrapper):
    """A connection that loses some replies, as a network does: the call was made, the caller cannot know.

    The caller says under which request id its next step goes; what it calls again under that id acts no second time.
    """

    def __init__(self, duty: Duty) -> None:
        self._duty = duty
        self._fate = duty.fate()
        super().__init__(duty.connection())
        #: "" when the step has its reply: the next call brings its own.
        self.request = ""

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script."""
        reply = super().run_script(
            script, key, (self.request or arguments[0], *arguments[1:])
        )
        if self._fate.random() < LOST and not self._duty.is_calm():
            raise errors.Unreachable(url=self._duty.url, reason=REPLY_LOST)
        if not (
            isinstance(reply, list) and reply[0] == ""
        ):  # a claim that finds nothing goes on waiting
            self.request = ""
        return reply


class Api:
    """The library, in a process that lives as long as it is let."""

    def __init__(self, duty: Duty) -> None:
        self._connection = LossyConnection(duty)
        caller = Caller(agent=duty.agent, host="chaos", session=duty.name)
        self._queue = AgentQueue(self._connection, duty.namespace, caller)

    def claim(self, call: str) -> Taken | None:
        """Take the next item, waiting a moment for it."""
        self._connection.request = call
        claim = self._queue.claim(wait_s=WAIT_S)
        if not claim or not claim.lease:
            return None
        item = claim.package.item
        since = (
            item.holder.since if item.holder and item.token == claim.lease.token else 0
        )
        return Taken(lease=claim.lease, title=item.title, since=since)

    def step(self, verb: str, lease: Lease, call: str) -> Receipt:
        """Do a holder's verb."""
        self._connection.request = call
        return STEPS[verb](self._queue, lease, call)


def run(duty: Duty) -> None:
    """Work until the driver says stop."""
    begin(duty)
    Worker(duty, Api(duty)).work()
