"""The queue behaves like its model, in whatever order agents and orchestrators act.

Each step is done to the queue and to `model.Model`, which does not know Redis. The
results are compared, then the raw keys: with the model, and with each other. A failure
prints its steps, and a blob that repeats them as a decorator of `Lifecycle`.

`MODEL_EXAMPLES=3000 pytest tests/integration/test_model.py --log-cli-level=INFO` makes
more runs and logs the number of times that each outcome was seen.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    initialize,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.builders import Bench
from support.in_step import AGENTS, MODES, OWNERS, HeldLease, InStep
from support.model import OWN_POOL
from support.model_moves import OVER, Actor
from taskorch.domain.amounts import NAMESPACE
from taskorch.domain.frozen import replace
from taskorch.domain.item import Lease

logger = logging.getLogger(__name__)

#: Default number of runs; Lua is slow on fakeredis.
EXAMPLES, EXAMPLES_ON_FAKEREDIS = 80, 20
STEPS = 60
PROJECTS, MAX_ITEMS = ("proj_0", "proj_1"), 12

SESSIONS = ("", "second", "third")
HOLDERS_VERBS = (
    "progress",
    "discover",
    "renew",
    "blocker",
    "agent_comment",
    "withdraw",
    "complete",
    "complete-next",
    "ack",
    "fail",
    "fail-next",
    "bury",
    "release",
    "leave",
)
#: Outcomes that each run must have seen; a run without them proves nothing.
OUTCOMES = {
    "accepted",
    "repeated",
    "Held",
    "LeaseLost",
    "NotYours",
    "WrongState",
    "AlreadyCompleted",
    "NoQuestion",
    "SeveralQuestions",
    "OverBudget",
}
#: Runs in which all outcomes must come. A single short run misses a rare one, such as a
#: second question on an item, once in some twenty times.
RUNS = 5


def drawn_from(
    choices: Callable[["Lifecycle"], list[Any]],
) -> st.SearchStrategy[Any]:
    """Return a strategy that picks from the present choices of the machine."""
    return st.runner().flatmap(
        lambda machine: st.sampled_from(choices(machine))
    )


def sometimes(word: str) -> st.SearchStrategy[str]:
    """Return a strategy that gives the word one time in five, else ''."""
    return st.sampled_from(["", "", "", "", word])


class Lifecycle(InStep):
    """The steps that may happen to a namespace."""

    items = Bundle("items")
    claims = Bundle("claims")

    # The orchestrator -----------------------------------------------------------------

    @initialize(
        target=items,
        agents=st.lists(st.sampled_from(AGENTS), min_size=3, max_size=4),
    )
    def begin(self, agents: list[str]) -> Any:
        """Create items of which the last waits for the others."""
        for agent in AGENTS:  # none has a budget before its first call
            self.check_as(agent)
        first = [
            self.new_item(
                "proj_0",
                agent=agent,
                max_attempts=2,
                reviewer="" if place else "lead",
            )
            for place, agent in enumerate(agents)
        ]
        return multiple(
            *first, self.new_item("proj_0", agent="ada", depends_on=first[1:])
        )

    @precondition(lambda self: len(self.model.items) < MAX_ITEMS)
    @rule(
        target=items,
        project=st.sampled_from(PROJECTS),
        agent=st.sampled_from(["ada", "ada", "bob", OWN_POOL, ""]),
        priority=st.integers(1, 2),
        max_attempts=st.integers(1, 3),
        depends_on=st.lists(items, max_size=2),
        early=sometimes("early").map(bool),
        key=sometimes("k"),
        reviewer=sometimes("lead"),
    )
    def create(self, project: str, **fields: Any) -> Any:
        return self.new_item(project, **fields)

    @rule(item=items, owner=st.sampled_from(OWNERS))
    def assign(self, item: str, owner: str) -> None:
        self.assign_to(owner, item, force=False)

    @rule(
        item=items, others=st.lists(items, min_size=1, max_size=2, unique=True)
    )
    def depend(self, item: str, others: list[str]) -> None:
        self.step(
            "depend",
            lambda: self.recorded.queue.depend(item, others),
            lambda: self.model.depend(item, others),
        )

    @rule(
        item=items,
        field=st.sampled_from(["title", "priority", "depends_on"]),
        title=st.sampled_from(["T", "U"]),
        priority=st.integers(1, 2),
        other=items,
    )
    def edit(
        self, item: str, field: str, title: str, priority: int, other: str
    ) -> None:
        values = {"title": title, "priority": priority, "depends_on": other}
        self.edit_item(item, field, values[field])

    @precondition(lambda self: self.asking())
    @rule(
        target=claims,
        held=drawn_from(lambda self: self.asking()),
        verb=st.sampled_from(
            [
                "answer",
                "answer the first",
                "blocker",
                "withdraw",
                "takeover",
                "takeover",
                "discover",
                "progress",
                "release",
                "leave",
            ]
        ),
    )
    def act_on_open_question(self, held: HeldLease, verb: str) -> Any:
        if verb.startswith("answer"):
            questions = self.model.items[held.lease.item].questions
            first = next(iter(questions))
            question = first if verb == "answer the first" else 0
            self.answer(held.lease.item, question)
            return multiple()
        if verb == "takeover":
            return self.act(
                Actor(held.me.agent, "fourth"),
                Lease(item=held.lease.item),
                verb,
            )
        return self.act(held.me, held.lease, verb)

    @rule(
        owner=st.sampled_from([NAMESPACE, *AGENTS, *PROJECTS]),
        limit=st.sampled_from([None, 0, 3, 10]),
    )
    def limit_costs(self, owner: str, limit: int | None) -> None:
        self.set_budget(owner, limit)

    @precondition(lambda self: self.used_up())
    @rule(
        owner=drawn_from(lambda self: self.used_up()),
        limit=st.sampled_from([None, 30]),
    )
    def raise_budget(self, owner: str, limit: int | None) -> None:
        self.set_budget(owner, limit)

    @precondition(lambda self: self.used_up() and self.queued())
    @rule(
        item=drawn_from(lambda self: self.queued()),
        verb=st.sampled_from(["claim", "progress", "complete"]),
    )
    def act_over_budget(self, item: str, verb: str) -> None:
        self.act(self.owner(item, "", ""), Lease(item=item), verb)

    @rule(
        item=items,
        verb=st.sampled_from(
            [
                "answer",
                "comment",
                "accept",
                "send_back",
                "requeue",
                "requeue_and_reopen",
                "cancel",
                "complete_project",
                "cancel_project",
                "reopen_project",
            ]
        ),
        force=st.booleans(),
    )
    def repair_or_end(self, item: str, verb: str, force: bool) -> None:  # noqa: FBT001
        self._repair_or_end(item, verb, force=force)

    @precondition(lambda self: self.ids(lambda item: item.state in OVER))
    @rule(
        item=drawn_from(
            lambda self: self.ids(lambda item: item.state in OVER)
        ),
        verb=st.sampled_from(
            [
                "requeue",
                "requeue_and_reopen",
                "requeue_and_reopen",
                "cancel",
                "complete_project",
            ]
        ),
    )
    def repair_ended_item(self, item: str, verb: str) -> None:
        self._repair_or_end(item, verb, force=False)

    @precondition(lambda self: self.in_review())
    @rule(
        item=drawn_from(lambda self: self.in_review()),
        verb=st.sampled_from(
            ["accept", "accept", "send_back", "send_back", "cancel"]
        ),
    )
    def decide(self, item: str, verb: str) -> None:
        self.repair(verb, item)

    @precondition(lambda self: self.closed())
    @rule(
        item=drawn_from(lambda self: self.closed()),
        verb=st.sampled_from(["requeue", "requeue_and_reopen"]),
    )
    def requeue_in_closed_project(self, item: str, verb: str) -> None:
        self._repair_or_end(item, verb, force=False)

    def _repair_or_end(self, item: str, verb: str, *, force: bool) -> None:
        project = self.model.items[item].project
        match verb:
            case "answer":
                self.answer(item, 0)
            case "complete_project":
                self.close(project, force=force)
            case "cancel_project":
                self.cancel_project(project)
            case "reopen_project":
                self.reopen_project(project)
            case "requeue_and_reopen":
                self.requeue_and_reopen(item)
            case _:
                self.repair(verb, item)

    @precondition(lambda self: self.live())
    @rule(
        held=drawn_from(lambda self: self.live()),
        owner=st.sampled_from(OWNERS),
        force=st.sampled_from([True, True, False]),
    )
    def assign_held_item(
        self,
        held: HeldLease,
        owner: str,
        force: bool,  # noqa: FBT001
    ) -> None:
        self.assign_to(owner, held.lease.item, force=force)

    @precondition(lambda self: self.expired_unclaimed())
    @rule(
        held=drawn_from(lambda self: self.expired_unclaimed()),
        verb=st.sampled_from(
            ["assign", "depend", "depend", "depend", "cancel"]
        ),
        other=items,
    )
    def move_expired_item(
        self, held: HeldLease, verb: str, other: str
    ) -> None:
        item = held.lease.item
        if verb == "assign":
            self.assign_to(
                "bob" if held.me.agent == "ada" else "ada", item, force=False
            )
        elif verb == "depend":
            self.depend(item, [other])
        else:
            self.repair(verb, item)

    # Agents ---------------------------------------------------------------------------

    @rule(agent=st.sampled_from(["", *AGENTS]))
    def check_or_reap(self, agent: str) -> None:
        if agent:
            self.check_as(agent)
        else:
            self.step("reap", self.recorded.queue.reap, self.model.reap)

    @rule(
        target=claims,
        agent=st.sampled_from(AGENTS),
        session=st.sampled_from(SESSIONS),
    )
    def claim(self, agent: str, session: str) -> Any:
        return self.claim_as(Actor(agent, session))

    @precondition(lambda self: self.queued())
    @rule(
        target=claims,
        item=drawn_from(lambda self: self.queued()),
        session=st.sampled_from(SESSIONS),
        verbs=st.lists(
            st.sampled_from(["progress", "blocker", "renew", "discover"]),
            max_size=2,
        ),
        last=st.sampled_from(
            [
                "complete",
                "complete-next",
                "fail",
                "fail-next",
                "release",
                "renew",
            ]
        ),
    )
    def work_on_item(
        self, item: str, session: str, verbs: list[str], last: str
    ) -> Any:
        me = self.owner(item, "", session)
        held = self.act(me, Lease(item=item), "claim")
        if not isinstance(held, HeldLease):  # over budget
            return held
        for verb in (*verbs, last):
            self.act(me, held.lease, verb)
        return held

    @precondition(lambda self: self.queued())
    @rule(
        target=claims,
        item=drawn_from(lambda self: self.queued()),
        session=st.sampled_from(SESSIONS),
    )
    def get_queued_item(self, item: str, session: str) -> Any:
        return self.act(
            self.owner(item, "", session), Lease(item=item), "claim"
        )

    @precondition(lambda self: self.live())
    @rule(
        target=claims,
        held=drawn_from(lambda self: self.live()),
        verb=st.sampled_from(
            ["claim", "takeover", "takeover", "progress", "complete"]
        ),
    )
    def act_as_another_session(self, held: HeldLease, verb: str) -> Any:
        return self.act(
            Actor(held.me.agent, "fourth"), Lease(item=held.lease.item), verb
        )

    @precondition(lambda self: self.live())
    @rule(
        held=drawn_from(lambda self: self.live()),
        verb=st.sampled_from(HOLDERS_VERBS),
    )
    def act_as_holder(self, held: HeldLease, verb: str) -> None:
        self.act(held.me, held.lease, verb)

    @precondition(lambda self: self.live())
    @rule(
        held=drawn_from(lambda self: self.live()),
        verb=st.sampled_from(["blocker", "blocker", "discover", "renew"]),
    )
    def continue_as_holder(self, held: HeldLease, verb: str) -> None:
        self.act(held.me, held.lease, verb)

    @precondition(lambda self: self.delivered())
    @rule(
        held=drawn_from(lambda self: self.delivered()),
        verb=st.sampled_from(["complete", "complete-next", "ack"]),
    )
    def deliver_again(self, held: HeldLease, verb: str) -> None:
        self.act(held.me, held.lease, verb)

    @precondition(lambda self: self.live())
    @rule(
        held=drawn_from(lambda self: self.live()),
        verb=st.sampled_from(["answer", "withdraw", "complete", "leave"]),
    )
    def ask_several_questions(self, held: HeldLease, verb: str) -> None:
        for _ in range(2):
            self.act(held.me, held.lease, "blocker")
        if verb == "answer":
            self.answer(held.lease.item, 0)
        else:
            self.act(held.me, held.lease, verb)

    @precondition(lambda self: self.expired())
    @rule(
        held=drawn_from(lambda self: self.expired()),
        verb=st.sampled_from([*HOLDERS_VERBS, *MODES]),
    )
    def act_as_late_holder(self, held: HeldLease, verb: str) -> None:
        self.act(held.me, held.lease, verb)

    @rule(
        target=claims,
        held=claims,
        verb=st.sampled_from([*HOLDERS_VERBS, *MODES]),
        agent=sometimes("bob"),
    )
    def act_with_an_old_token(
        self, held: HeldLease, verb: str, agent: str
    ) -> Any:
        return self.act(Actor(agent) if agent else held.me, held.lease, verb)

    @precondition(lambda self: self.live())
    @rule(
        target=claims,
        held=drawn_from(lambda self: self.live()),
        verb=st.sampled_from([*HOLDERS_VERBS, "takeover"]),
    )
    def act_with_a_lost_claim(self, held: HeldLease, verb: str) -> Any:
        """Show the newest token number with the id of a claim that a failover lost."""
        return self.act(held.me, replace(held.lease, claim="f" * 16), verb)

    @rule(
        target=claims,
        item=items,
        agent=sometimes("bob"),
        session=st.sampled_from(SESSIONS),
        verb=st.sampled_from([*HOLDERS_VERBS, *MODES]),
    )
    def act_without_a_token(
        self, item: str, agent: str, session: str, verb: str
    ) -> Any:
        return self.act(
            self.owner(item, agent, session), Lease(item=item), verb
        )

    # The clock, and the network -------------------------------------------------------

    @precondition(lambda self: self.running())
    @rule(
        item=drawn_from(lambda self: self.running()),
        how=st.sampled_from(["over", "reaped", "reaped", "reaped", "lost"]),
    )
    def end_lease(self, item: str, how: str) -> None:
        if how == "lost":
            self.bench.delete_lease_entry(item)
        else:
            self.expire_lease(item)
        if how != "over":
            self.step("reap", self.recorded.queue.reap, self.model.reap)

    @precondition(lambda self: self.early())
    @rule(item=drawn_from(lambda self: self.early()))
    def end_delay(self, item: str) -> None:
        self.end_delay_of(item)

    @rule(reaped=st.sampled_from([True, True, False]))
    def end_all_leases_and_delays(self, reaped: bool) -> None:  # noqa: FBT001
        for item in self.running():
            self.expire_lease(item)
        for item in self.early():
            self.end_delay_of(item)
        if reaped:
            self.step("reap", self.recorded.queue.reap, self.model.reap)

    @precondition(lambda self: self.recorder.calls)
    @rule(
        number=drawn_from(
            lambda self: list(range(len(self.recorder.calls)))[-20:]
        )
    )
    def repeat_a_request(self, number: int) -> None:
        if self.claims_again(number):
            # The caller was never told of its item, so it gets the next one.
            return
        first, again = self.recorder.repeat(number)

        assert self.still_held(again) == self.still_held(first)
        self.note(first.script.name, "repeated")


def test_queue_behaves_like_its_model(bench: Bench) -> None:
    examples = os.environ.get(
        "MODEL_EXAMPLES", EXAMPLES if bench.url else EXAMPLES_ON_FAKEREDIS
    )
    Lifecycle.lane = bench
    Lifecycle.tally.clear()

    for _ in range(RUNS):
        run_state_machine_as_test(
            Lifecycle,
            settings=settings(
                max_examples=int(examples),
                stateful_step_count=STEPS,
                derandomize=False,
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
        if _missed() == set():
            break

    for outcome, times in sorted(Lifecycle.tally.items()):
        logger.info("%7d %s", times, outcome)
    assert _missed() == set()


def _missed() -> set[str]:
    """Return the outcomes that no step of the runs had."""
    return OUTCOMES - {
        outcome.partition(": ")[2] for outcome in Lifecycle.tally
    }
