"""The queue, its agents and their tasks as coroutines; each call runs in a thread.

A cancelled call ends before it raises asyncio.CancelledError, within milliseconds unless
Redis hangs: a step is done or not done, and a wait has claimed nothing.
"""

from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial, wraps
from types import TracebackType
from typing import (
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Self,
    TypeVar,
    overload,
)

from taskorch.domain import errors
from taskorch.domain.item import Delivery, Item, Package, SettledReceipt
from taskorch.domain.usage import NONE, ModelUsage
from taskorch.library.agent import LEASE_MS, Agent
from taskorch.library.async_call import finished
from taskorch.library.queue import Queue
from taskorch.library.result import SettledTask, settle
from taskorch.library.stoppable import StoppableCall, StoppableConnection
from taskorch.library.task import Task
from taskorch.queue.port import Connection
from taskorch.queue.views import Views
from taskorch.queue.wait_results import Answered, Goal, Waited

P = ParamSpec("P")
Done = TypeVar("Done")
Of = TypeVar("Of")
Of_co = TypeVar("Of_co", covariant=True)


class _InThreads(Generic[Of_co]):
    """Calls the verbs of an object in threads."""

    def __init__(self, of: Of_co, connection: Connection) -> None:
        self._of = of
        self._connection = connection

    async def _run(
        self,
        call: Callable[[StoppableConnection], Done],
        *,
        undo: Callable[[Done], object] = lambda _: None,
    ) -> Done:
        """Call in a thread. `undo` reverts a result whose wait was cancelled."""
        return await finished(StoppableCall(self._connection, call, undo=undo))


def _coroutine(
    verb: Callable[Concatenate[Of, P], Done],
) -> Callable[Concatenate[_InThreads[Of], P], Coroutine[Any, Any, Done]]:
    """Return a verb as a coroutine, with the same signature."""

    @wraps(verb)
    async def call(
        called: _InThreads[Of], /, *arguments: P.args, **options: P.kwargs
    ) -> Done:
        step = partial(verb, called._of, *arguments, **options)  # noqa: SLF001
        return await called._run(lambda _: step())  # noqa: SLF001

    return call


class AsyncQueue(_InThreads[Queue]):
    """One namespace of the queue; the verbs of `Queue` as coroutines.

    async with AsyncQueue.open(agent="planner") as queue:
        project = await queue.project("Build authentication system")

    """

    project = _coroutine(Queue.project)
    create = _coroutine(Queue.create)
    create_many = _coroutine(Queue.create_many)
    apply = _coroutine(Queue.apply)
    depend = _coroutine(Queue.depend)
    edit = _coroutine(Queue.edit)
    assign = _coroutine(Queue.assign)
    assign_many = _coroutine(Queue.assign_many)
    answer = _coroutine(Queue.answer)
    accept = _coroutine(Queue.accept)
    send_back = _coroutine(Queue.send_back)
    comment = _coroutine(Queue.comment)
    new_discoveries = _coroutine(Queue.new_discoveries)
    cancel = _coroutine(Queue.cancel)
    cancel_project = _coroutine(Queue.cancel_project)
    requeue = _coroutine(Queue.requeue)
    complete_project = _coroutine(Queue.complete_project)
    reopen_project = _coroutine(Queue.reopen_project)
    set_budget = _coroutine(Queue.set_budget)
    check_purge = _coroutine(Queue.check_purge)
    purge = _coroutine(Queue.purge)
    reap = _coroutine(Queue.reap)
    close = _coroutine(Queue.close)

    def __init__(self, queue: Queue) -> None:
        super().__init__(queue, queue.connection)
        #: The same queue for threads.
        self.queue = queue
        #: The reads of an orchestrator.
        self.views = AsyncViews(queue.views, queue.connection)

    @classmethod
    def open(
        cls,
        url: str | None = None,
        namespace: str | None = None,
        agent: str | None = None,
        pools: Sequence[str] | None = None,
    ) -> Self:
        """Open the queue as `Queue.open` does; nothing is connected yet."""
        return cls(Queue.open(url, namespace, agent, pools))

    def agent(
        self, name: str, *, pools: Sequence[str] | None = None
    ) -> "AsyncAgent":
        """Return an agent, which claims its items as tasks; as `Queue.agent` does."""
        return AsyncAgent(self.queue.agent(name, pools=pools))

    async def until(
        self,
        id_: str,
        goals: Collection[Goal],
        *,
        timeout_s: float,
        since: str = "",
    ) -> Waited:
        """Wait until a project or an item has reached one of the goals.

        As `Queue.waits().until(…)` does, with the same errors.
        """
        return await self._run(
            lambda connection: (
                self.queue.over(connection)
                .waits()
                .until(id_, goals, timeout_s=timeout_s, since=since)
            )
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class AsyncViews(_InThreads[Views]):
    """The reads of an orchestrator as coroutines; see `Views`."""

    show = _coroutine(Views.show)
    timeline = _coroutine(Views.timeline)
    progress = _coroutine(Views.progress)
    discoveries = _coroutine(Views.discoveries)
    count_new_discoveries = _coroutine(Views.count_new_discoveries)
    list = _coroutine(Views.list)
    items_of = _coroutine(Views.items_of)
    search = _coroutine(Views.search)
    unassigned = _coroutine(Views.unassigned)
    inbox = _coroutine(Views.inbox)
    questions = _coroutine(Views.questions)
    reviews = _coroutine(Views.reviews)
    stuck = _coroutine(Views.stuck)
    projects = _coroutine(Views.projects)
    open_projects = _coroutine(Views.open_projects)
    projects_page = _coroutine(Views.projects_page)
    finished = _coroutine(Views.finished)
    finished_page = _coroutine(Views.finished_page)
    agents = _coroutine(Views.agents)
    pools = _coroutine(Views.pools)
    pool_figures = _coroutine(Views.pool_figures)
    events = _coroutine(Views.events)
    find = _coroutine(Views.find)
    counters = _coroutine(Views.counters)
    hours = _coroutine(Views.hours)
    item_counts = _coroutine(Views.item_counts)
    agent_figures = _coroutine(Views.agent_figures)
    agent_usage = _coroutine(Views.agent_usage)
    budgets = _coroutine(Views.budgets)
    costs = _coroutine(Views.costs)
    usage = _coroutine(Views.usage)
    needs = _coroutine(Views.needs)
    workload = _coroutine(Views.workload)
    news = _coroutine(Views.news)


class AsyncAgent(_InThreads[Agent]):
    """An agent: what is assigned to it, and the claims of its items."""

    check = _coroutine(Agent.check)
    discoveries = _coroutine(Agent.discoveries)
    new_discoveries = _coroutine(Agent.new_discoveries)
    reviews = _coroutine(Agent.reviews)
    accept = _coroutine(Agent.accept)
    send_back = _coroutine(Agent.send_back)

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent, agent.queue.connection)

    @overload
    def claim(
        self, *, wait_s: None = None, lease_ms: int = LEASE_MS
    ) -> "AbstractAsyncContextManager[AsyncTask]": ...

    @overload
    def claim(
        self, *, wait_s: float, lease_ms: int = LEASE_MS
    ) -> "AbstractAsyncContextManager[AsyncTask | None]": ...

    def claim(
        self, *, wait_s: float | None = None, lease_ms: int = LEASE_MS
    ) -> "AbstractAsyncContextManager[AsyncTask | None]":
        """Claim the agent's next item for a block, as `Agent.claim` does.

        A cancelled wait claims nothing, and a cancelled block releases its item.
        """
        return self._claim(wait_s, lease_ms)

    @asynccontextmanager
    async def get(
        self, item: str, *, takeover: bool = False, lease_ms: int = LEASE_MS
    ) -> "AsyncIterator[AsyncTask]":
        """Claim a queued item of the agent by its id, as `Agent.get` does."""
        claim = await finished(
            self._of.get_call(item, takeover=takeover, lease_ms=lease_ms)
        )
        async with self.working(self._of.task(claim)) as task:
            yield task

    @asynccontextmanager
    async def _claim(
        self, wait_s: float | None, lease_ms: int
    ) -> "AsyncIterator[AsyncTask | None]":
        claims = await finished(
            self._of.claim_call(wait_s=wait_s, lease_ms=lease_ms)
        )
        if not claims:
            yield None
            return
        async with self.working(self._of.task(claims[0])) as task:
            yield task

    @asynccontextmanager
    async def working(self, of: Task) -> "AsyncIterator[AsyncTask]":
        """Yield a task for coroutines, and end it with the block, by `Task.end`."""
        task = AsyncTask(of)
        try:
            yield task
        except BaseException as error:
            await task.end(error)
            raise
        await task.end(None)


class AsyncTask(_InThreads[Task]):
    """A claimed item; the verbs of `Task` as coroutines."""

    progress = _coroutine(Task.progress)
    discover = _coroutine(Task.discover)
    blocker = _coroutine(Task.blocker)
    withdraw = _coroutine(Task.withdraw)
    comment = _coroutine(Task.comment)
    fail = _coroutine(Task.fail)
    release = _coroutine(Task.release)
    renew = _coroutine(Task.renew)
    note = _coroutine(Task.note)
    notes = _coroutine(Task.notes)
    end = _coroutine(Task.end)

    def __init__(self, task: Task) -> None:
        super().__init__(task, task.queue.connection)
        #: The same task for threads.
        self.task = task

    @property
    def id(self) -> str:
        """The id of the item."""
        return self.task.id

    @property
    def item(self) -> Item:
        """The item as it was when it was claimed."""
        return self.task.item

    @property
    def package(self) -> Package:
        """The item with its project, dependencies and history."""
        return self.task.package

    @property
    def lost(self) -> errors.TaskOrchestratorError | None:
        """The error that says why the lease is lost, else None."""
        return self.task.lost

    async def complete(
        self,
        summary: str = "",
        *,
        deliverables: Mapping[str, object] | None = None,
        used: ModelUsage = NONE,
    ) -> SettledReceipt:
        """Complete the item, as `Task.complete` does.

        A cancelled call terminates the running acceptance check.
        """
        delivery = Delivery(
            summary=summary, deliverables=deliverables or {}, used=used
        )
        return await self._run(
            lambda connection: self.task.deliver(
                delivery, is_stopped=lambda: connection.is_stopped
            )
        )

    async def settle(
        self, result: object, *, count: int, lease_ms: int
    ) -> SettledTask:
        """Complete the item with the result of its handler, as `settle` does.

        What a cancelled call has claimed is given back.
        """
        agent = Agent(self.task.queue)
        return await self._run(
            lambda connection: settle(
                self.task,
                result,
                count=count,
                lease_ms=lease_ms,
                is_stopped=lambda: connection.is_stopped,
            ),
            undo=lambda settled: agent.give_back(settled.claims),
        )

    async def wait_for_answer(
        self, *, timeout_s: float, question: int = 0
    ) -> Answered:
        """Wait until a question is answered, as `Task.wait_for_answer` does."""
        task = self.task

        def wait(connection: StoppableConnection) -> Answered:
            with task.held():
                return task.queue.over(connection).wait_for_answer(
                    task.lease, timeout_s=timeout_s, question=question
                )

        return await self._run(wait)
