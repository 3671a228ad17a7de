"""Whatever agents, orchestrators and the clock do, and in whatever order: the queue does as the model says.

Each step is done to the queue and to `model.Model`, which knows nothing of Redis. What the caller is told is compared,
then the raw keys: with the model, and with each other.
A failure prints its steps, and a blob that goes onto `Lifecycle` as a decorator and does them again.
`MODEL_EXAMPLES=3000 pytest tests/integration/test_model.py --log-cli-level=INFO` looks longer, and says how often each
outcome was seen.
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
from support.in_step import AGENTS, MODES, Grip, InStep
from support.model_moves import OVER, Actor
from taskorch.domain.frozen import replace
from taskorch.domain.item import Lease

logger = logging.getLogger(__name__)

#: Runs unless MODEL_EXAMPLES says otherwise; Lua is slow on fakeredis.
EXAMPLES, EXAMPLES_ON_FAKEREDIS = 80, 20
STEPS = 60
PROJECTS, MOST_ITEMS = ("proj_0", "proj_1"), 12

SESSIONS = ("", "second", "third")
HOLDERS_VERBS = (
    "progress",
    "discover",
    "renew",
    "blocker",
    "complete",
    "fail",
    "bury",
    "release",
    "leave",
)
#: What each run has seen many times; one that has not proves nothing.
OUTCOMES = {"accepted", "repeated", "Held", "LeaseLost", "NotYours", "WrongState"}


def drawn_from(choices: Callable[["Lifecycle"], list[Any]]) -> st.SearchStrategy[Any]:
    """Return a strategy that picks from what the machine has at that moment."""
    return st.runner().flatmap(lambda machine: st.sampled_from(choices(machine)))


def sometimes(word: str) -> st.SearchStrategy[str]:
    """Return a strategy that gives the word one time in five, else ''."""
    return st.sampled_from(["", "", "", "", word])


class Lifecycle(InStep):
    """What may happen to a namespace."""

    items = Bundle("items")
    grips = Bundle("grips")

    # The orchestrator ------------------------------------------------------------------------------------------------

    @initialize(
        target=items, agents=st.lists(st.sampled_from(AGENTS), min_size=3, max_size=4)
    )
    def begin(self, agents: list[str]) -> Any:
        """Make items of which the last waits for all others."""
        first = [
            self.new_item("proj_0", agent=agent, max_attempts=2) for agent in agents
        ]
        return multiple(
            *first, self.new_item("proj_0", agent="ada", depends_on=first[1:])
        )

    @precondition(lambda self: len(self.model.items) < MOST_ITEMS)
    @rule(
        target=items,
        project=st.sampled_from(PROJECTS),
        agent=st.sampled_from(["ada", "ada", "bob", ""]),
        priority=st.integers(1, 2),
        max_attempts=st.integers(1, 3),
        depends_on=st.lists(items, max_size=2),
        early=sometimes("early").map(bool),
        key=sometimes("k"),
    )
    def create(self, project: str, **fields: Any) -> Any:
        return self.new_item(project, **fields)

    @rule(item=items, agent=st.sampled_from(AGENTS))
    def assign(self, item: str, agent: str) -> None:
        self.assign_to(agent, item, force=False)

    @rule(item=items, others=st.lists(items, min_size=1, max_size=2, unique=True))
    def depend(self, item: str, others: list[str]) -> None:
        self.step(
            "depend",
            lambda: self.told.queue.depend(item, others),
            lambda: self.model.depend(item, others),
        )

    @precondition(lambda self: self.asking())
    @rule(
        target=grips,
        grip=drawn_from(lambda self: self.asking()),
        verb=st.sampled_from(
            [
                "answer",
                "takeover",
                "takeover",
                "discover",
                "progress",
                "release",
                "leave",
            ]
        ),
    )
    def a_question_is_open(self, grip: Grip, verb: str) -> Any:
        if verb == "answer":
            self.mend(verb, grip.lease.item)
            return multiple()
        if verb == "takeover":
            return self.act(
                Actor(grip.me.agent, "fourth"), Lease(item=grip.lease.item), verb
            )
        return self.act(grip.me, grip.lease, verb)

    @rule(
        item=items,
        verb=st.sampled_from(["answer", "requeue", "cancel", "complete_project"]),
        force=st.booleans(),
    )
    def mend_or_end(self, item: str, verb: str, force: bool) -> None:  # noqa: FBT001
        self._mend_or_end(item, verb, force=force)

    @precondition(lambda self: self.ids(lambda item: item.state in OVER))
    @rule(
        item=drawn_from(lambda self: self.ids(lambda item: item.state in OVER)),
        verb=st.sampled_from(
            ["requeue", "requeue", "requeue", "cancel", "complete_project"]
        ),
    )
    def mend_what_is_over(self, item: str, verb: str) -> None:
        self._mend_or_end(item, verb, force=False)

    def _mend_or_end(self, item: str, verb: str, *, force: bool) -> None:
        if verb == "complete_project":
            self.close(self.model.items[item].project, force=force)
        else:
            self.mend(verb, item)

    @precondition(lambda self: self.living())
    @rule(
        grip=drawn_from(lambda self: self.living()),
        agent=st.sampled_from(AGENTS),
        force=st.sampled_from([True, True, False]),
    )
    def assign_what_has_a_holder(self, grip: Grip, agent: str, force: bool) -> None:  # noqa: FBT001
        self.assign_to(agent, grip.lease.item, force=force)

    @precondition(lambda self: self.adrift())
    @rule(
        grip=drawn_from(lambda self: self.adrift()),
        verb=st.sampled_from(["assign", "depend", "depend", "depend", "cancel"]),
        other=items,
    )
    def move_what_is_adrift(self, grip: Grip, verb: str, other: str) -> None:
        item = grip.lease.item
        if verb == "assign":
            self.assign_to(
                "bob" if grip.me.agent == "ada" else "ada", item, force=False
            )
        elif verb == "depend":
            self.depend(item, [other])
        else:
            self.mend(verb, item)

    # Agents ----------------------------------------------------------------------------------------------------------

    @rule(agent=st.sampled_from(["", *AGENTS]))
    def check_or_reap(self, agent: str) -> None:
        if agent:
            self.check_as(agent)
        else:
            self.step("reap", self.told.queue.reap, self.model.reap)

    @rule(
        target=grips, agent=st.sampled_from(AGENTS), session=st.sampled_from(SESSIONS)
    )
    def claim(self, agent: str, session: str) -> Any:
        return self.claim_as(Actor(agent, session))

    @precondition(lambda self: self.queued())
    @rule(
        target=grips,
        item=drawn_from(lambda self: self.queued()),
        session=st.sampled_from(SESSIONS),
        verbs=st.lists(
            st.sampled_from(["progress", "blocker", "renew", "discover"]), max_size=2
        ),
        last=st.sampled_from(["complete", "complete", "fail", "release", "renew"]),
    )
    def an_agent_works(
        self, item: str, session: str, verbs: list[str], last: str
    ) -> Any:
        me = self.owner(item, "", session)
        grip = self.act(me, Lease(item=item), "claim")
        for verb in (*verbs, last):
            self.act(me, grip.lease, verb)
        return grip

    @precondition(lambda self: self.queued())
    @rule(
        target=grips,
        item=drawn_from(lambda self: self.queued()),
        session=st.sampled_from(SESSIONS),
    )
    def an_agent_begins(self, item: str, session: str) -> Any:
        return self.act(self.owner(item, "", session), Lease(item=item), "claim")

    @precondition(lambda self: self.living())
    @rule(
        target=grips,
        grip=drawn_from(lambda self: self.living()),
        verb=st.sampled_from(["claim", "takeover", "takeover", "progress", "complete"]),
    )
    def another_session(self, grip: Grip, verb: str) -> Any:
        return self.act(
            Actor(grip.me.agent, "fourth"), Lease(item=grip.lease.item), verb
        )

    @precondition(lambda self: self.living())
    @rule(
        grip=drawn_from(lambda self: self.living()), verb=st.sampled_from(HOLDERS_VERBS)
    )
    def the_holder(self, grip: Grip, verb: str) -> None:
        self.act(grip.me, grip.lease, verb)

    @precondition(lambda self: self.living())
    @rule(
        grip=drawn_from(lambda self: self.living()),
        verb=st.sampled_from(["blocker", "discover", "renew"]),
    )
    def the_holder_goes_on(self, grip: Grip, verb: str) -> None:
        self.act(grip.me, grip.lease, verb)

    @precondition(lambda self: self.lapsed())
    @rule(
        grip=drawn_from(lambda self: self.lapsed()),
        verb=st.sampled_from([*HOLDERS_VERBS, *MODES]),
    )
    def the_holder_comes_late(self, grip: Grip, verb: str) -> None:
        self.act(grip.me, grip.lease, verb)

    @rule(
        target=grips,
        grip=grips,
        verb=st.sampled_from([*HOLDERS_VERBS, *MODES]),
        agent=sometimes("bob"),
    )
    def somebody_with_an_old_token(self, grip: Grip, verb: str, agent: str) -> Any:
        return self.act(Actor(agent) if agent else grip.me, grip.lease, verb)

    @precondition(lambda self: self.living())
    @rule(
        target=grips,
        grip=drawn_from(lambda self: self.living()),
        verb=st.sampled_from([*HOLDERS_VERBS, "takeover"]),
    )
    def somebody_whose_claim_a_failover_lost(self, grip: Grip, verb: str) -> Any:
        """Show the number of the newest token, given out twice, with the id of a claim that Redis does not know."""
        return self.act(grip.me, replace(grip.lease, claim="f" * 16), verb)

    @rule(
        target=grips,
        item=items,
        agent=sometimes("bob"),
        session=st.sampled_from(SESSIONS),
        verb=st.sampled_from([*HOLDERS_VERBS, *MODES]),
    )
    def somebody_without_a_token(
        self, item: str, agent: str, session: str, verb: str
    ) -> Any:
        return self.act(self.owner(item, agent, session), Lease(item=item), verb)

    # The clock, and the network --------------------------------------------------------------------------------------

    @precondition(lambda self: self.running())
    @rule(
        item=drawn_from(lambda self: self.running()),
        how=st.sampled_from(["over", "reaped", "reaped", "reaped", "lost"]),
    )
    def a_lease_ends(self, item: str, how: str) -> None:
        if how == "lost":
            self.bench.lose_lease_entry(item)
        else:
            self.lease_runs_out(item)
        if how != "over":
            self.step("reap", self.told.queue.reap, self.model.reap)

    @precondition(lambda self: self.early())
    @rule(item=drawn_from(lambda self: self.early()))
    def a_delay_passes(self, item: str) -> None:
        self.delay_passes(item)

    @rule(reaped=st.sampled_from([True, True, False]))
    def a_night_passes(self, reaped: bool) -> None:  # noqa: FBT001
        for item in self.running():
            self.lease_runs_out(item)
        for item in self.early():
            self.delay_passes(item)
        if reaped:
            self.step("reap", self.told.queue.reap, self.model.reap)

    @precondition(lambda self: self.memory.calls)
    @rule(number=drawn_from(lambda self: list(range(len(self.memory.calls)))[-20:]))
    def a_request_comes_again(self, number: int) -> None:
        first, again = self.memory.again(number)

        assert again.kept() == self.still_kept(first)
        self.note(first.script.name, "repeated")


def test_the_queue_does_as_its_model(bench: Bench) -> None:
    examples = os.environ.get(
        "MODEL_EXAMPLES", EXAMPLES if bench.url else EXAMPLES_ON_FAKEREDIS
    )
    Lifecycle.lane = bench
    Lifecycle.tally.clear()

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

    for outcome, times in sorted(Lifecycle.tally.items()):
        logger.info("%7d %s", times, outcome)
    assert (
        OUTCOMES - {outcome.partition(": ")[2] for outcome in Lifecycle.tally} == set()
    )
