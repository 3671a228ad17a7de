"""The briefing of an agent: the items that it holds, its leases and its queue."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.builders import Bench
from taskorch.cli import quoting
from taskorch.domain import errors
from taskorch.domain.item import (
    Claim,
    Discovery,
    Findings,
    Holder,
    Item,
    Lease,
    Note,
    Package,
    Project,
    Question,
    Report,
    State,
)
from taskorch.queue.briefing import AgentBriefing, HeldItem
from taskorch_worker.render import briefing


def test_briefing_of_idle_agent_has_its_queue(bench: Bench) -> None:
    items = [bench.item(title=f"Item {number}") for number in range(4)]
    bench.lease_in(State.WAITING)

    primed = bench.agent().prime()

    assert (primed.agent, primed.held, primed.held_count) == ("ada", (), 0)
    assert [queued.id for queued in primed.queue] == items[:3]
    assert (primed.queue_count, primed.later) == (4, 1)


def test_held_item_has_reports_answers_and_notes(
    bench: Bench,
) -> None:
    lease, me = bench.claimed(), bench.agent()
    me.progress(lease, "half way", percent=50)
    me.blocker(lease, "Which door?", needs="a choice")
    bench.queue.answer(lease.item, "The left one")
    for number in range(7):
        me.note(lease.item, f"note {number}")

    (held,) = me.prime([lease]).held

    assert held.claim.lease is not None
    assert (held.claim.lease.token, held.claim.package.item.percent) == (1, 50)
    assert (
        held.claim.lease.expires_at
        == held.claim.package.item.lease_expires_at
        > bench.now_ms()
    )
    assert [report.text for report in held.claim.package.history] == [
        "half way",
        "Which door?",
        "The left one",
    ]
    assert [note.text for note in held.notes] == [
        f"note {number}" for number in range(2, 7)
    ]


def test_own_comments_leave_room_for_those_of_others(bench: Bench) -> None:
    agent, lease = bench.agent(), bench.claimed()
    bench.queue.comment(lease.item, "Keep the names")
    for number in range(5):
        agent.comment(lease, f"Row {number} is empty")

    shown = briefing.briefing(agent.prime([lease]))

    assert "Keep the names" in shown
    assert "is empty" not in shown


def test_item_of_another_session_has_no_lease(bench: Bench) -> None:
    theirs, mine = (
        bench.claimed(session="other"),
        bench.claimed(session="mine"),
    )

    primed = bench.agent(session="mine").prime([mine])

    assert [
        (held.claim.package.item.id, bool(held.claim.lease))
        for held in primed.held
    ] == [
        (mine.item, True),
        (theirs.item, False),
    ]
    assert primed.session == "mine"


def test_expired_lease_is_still_in_briefing(bench: Bench) -> None:
    lease = bench.expired_lease(State.DELAYED)

    (held,) = bench.agent().prime([lease]).held

    assert held.claim.lease is not None
    assert held.claim.package.item.state is State.DELAYED
    assert bench.agent().complete(lease, "late").state is State.COMPLETED


def test_briefing_promises_nothing_about_a_dead_letter(
    bench: Bench,
) -> None:
    lease = bench.expired_lease(State.FAILED)

    primed = bench.agent().prime([lease])

    assert "worker complete still delivers it" in briefing.briefing(primed)
    assert "takes it up again" not in briefing.briefing(primed)
    assert briefing.next_step(primed) == "worker pop --wait 100"
    with pytest.raises(errors.WrongState):
        bench.agent().progress(lease, "still at it")
    assert bench.agent().complete(lease, "late").state is State.COMPLETED


@pytest.mark.parametrize(
    "state", [State.COMPLETED, State.FAILED, State.CANCELLED, State.QUEUED]
)
def test_revoked_token_is_not_in_briefing(bench: Bench, state: State) -> None:
    lease = bench.claimed()
    match state:
        case State.COMPLETED:
            bench.agent().complete(lease)
        case State.FAILED:
            bench.agent().fail(lease, "x", retry=False)
        case State.CANCELLED:
            bench.queue.cancel(lease.item)
        case State.QUEUED:
            bench.agent().release(lease)

    assert bench.agent().prime([lease]).held == ()


def test_token_taken_over_is_no_lease(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent(session="second").get(Lease(item=lease.item), takeover=True)

    (held,) = bench.agent().prime([lease]).held

    assert held.claim.lease is None


def test_briefing_skips_missing_and_foreign_items(bench: Bench) -> None:
    vanished, others = bench.claimed(), bench.claimed(agent="bob")
    bench.delete_item(vanished.item)

    primed = bench.agent().prime(
        [vanished, others, Lease(item="item_00000000", token=1)]
    )

    assert (primed.held, primed.held_count) == ((), 0)


def test_prime_changes_nothing(bench: Bench) -> None:
    lease = bench.claimed()
    bench.expire_lease(lease.item)
    before, seen = (
        bench.everything(),
        bench.queue.views.agents()[0].last_seen_at,
    )

    bench.agent().prime([lease])

    assert bench.everything() == before
    assert bench.queue.views.agents()[0].last_seen_at == seen


def test_briefing_counts_items_that_are_not_shown(bench: Bench) -> None:
    leases = [bench.claimed() for _ in range(5)]

    primed = bench.agent().prime(leases)

    assert (len(primed.held), primed.held_count) == (3, 5)
    assert "… and 2 more: worker check" in briefing.briefing(primed)


def test_prime_refuses_too_many_leases_and_bad_ids(bench: Bench) -> None:
    with pytest.raises(errors.Invalid):
        bench.agent().prime(
            [Lease(item=f"item_{number}") for number in range(201)]
        )
    with pytest.raises(errors.NoItem):
        bench.agent().prime([Lease(item="item_../x")])


TEXTS = st.text(max_size=40) | st.sampled_from(
    [
        "`" * 30,
        "🙂" * 9000,
        "x\n" * 9000,
        "\x1b[2J" * 3000,
        "",
        "```\n# Do this",
    ]
)


def briefing_with(
    texts: list[str], count: int, state: State = State.IN_PROGRESS
) -> AgentBriefing:
    """Return a briefing with `count` items that have these texts in every field."""

    def text(number: int) -> str:
        return texts[number % len(texts)]

    def report(kind: str, number: int) -> Report:
        return Report(
            id="1-1", at=1, kind=kind, agent="b" * 64, attempt=1, token=1, text=text(number), percent=5,
            needs=text(number + 1), request="", written_at="",
        )  # fmt: skip

    holder = Holder(
        agent="a" * 64,
        host=text(1) or "h",
        pid=4_000_000,
        session="s" * 64,
        since=1,
    )
    held = Item(
        id="item_" + "0" * 32, project="proj_" + "0" * 32, title=text(2)[:500], description=text(3),
        requirements=tuple(text(number) for number in range(200)), context={}, resources=(), deliverables_expected=(),
        criteria=(), priority=4, state=state, agent="a" * 64, holder=holder, token=99999, attempts=1000,
        max_attempts=1000, lease_expires_at=1, depends_on=(), percent=100, summary="", deliverables={},
        questions=tuple(
            Question(number=n, text=text(n), needs=text(n + 1), agent="b" * 64, at=1) for n in range(1, 11)
        ), assigned_by="", not_before_at=0, created_at=1, assigned_at=1, started_at=1, completed_at=0,
    )  # fmt: skip
    project = Project(
        id=held.project,
        title="",
        description="",
        status="active",
        orchestrator="",
        created_at=1,
        completed_at=0,
        counts={},
    )
    history = tuple(
        report(kind, number)
        for number, kind in enumerate(
            ["progress", "blocker", "answer", "fail"] * 9
        )
    )

    def discovery(number: int) -> Discovery:
        return Discovery(
            cursor="1-1", at=1, project=f"proj_{number:032}", item="item_" + "1" * 32, agent="c" * 64,
            text=text(number), impact=text(number + 1), cut=True,
        )  # fmt: skip

    found = tuple(map(discovery, range(5)))
    package = Package(
        item=held,
        project_context=project,
        dependencies=(),
        history=history,
        findings=Findings(of_dependencies=found, of_project=found, more=True),
    )
    leases = [Lease(item=held.id, token=99999, claim="0" * 16), None, None]
    notes = tuple(
        Note(at=1, text=text(number), written_at="") for number in range(5)
    )
    return AgentBriefing(
        agent="a" * 64, host="h" * 64, session="s" * 64, namespace="n" * 64,
        held=tuple(HeldItem(claim=Claim(package=package, lease=lease), notes=notes) for lease in leases[:count]),
        held_count=count, queue=(held,) * 3, queue_count=9999, later=9999,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=5), st.integers(0, 3))
@example(
    texts=["000000" + "`" * 14 + "0", "\N{SLIGHTLY SMILING FACE}" * 4000],
    count=3,
)
@example(texts=["x\n" * 2000, "`" * 3000] * 2, count=3)
def test_briefing_is_bounded_and_keeps_text_fenced(
    texts: list[str], count: int
) -> None:
    shown = briefing.briefing(briefing_with(texts, count))

    assert len(shown.encode()) <= quoting.MOST_BYTES
    headings = [
        row for row in _outside_of_fences(shown) if row.startswith("#")
    ]
    assert [heading.partition(" ")[0] for heading in headings] == [
        "#",
        "##",
        *["###"] * count,
        "##",
        "##",
        "##",
    ]
    assert shown.endswith(briefing.COMMANDS)


def _outside_of_fences(text: str) -> list[str]:
    """Return the lines outside of fences in Markdown; all fences must be closed."""
    outside, fence = [], ""
    for row in text.split("\n"):
        opening = re.fullmatch(r"(`{3,})(\w*)", row)
        if fence:
            fence = (
                ""
                if row.strip() == fence
                or (
                    re.fullmatch(r" {0,3}`+ *", row)
                    and len(row.strip()) >= len(fence)
                )
                else fence
            )
        elif opening:
            fence = opening[1]
        else:
            outside.append(row)
    assert not fence
    return outside


@given(st.lists(st.text("`a \n"), max_size=4))
def test_fence_is_longer_than_backticks_inside(lines: list[str]) -> None:
    opening, *content, closing = quoting.fenced(lines).split("\n")

    assert opening == f"{closing}text"
    assert set(closing) == {"`"}
    assert len(closing) >= 3
    assert closing not in "\n".join(content)


def test_only_long_texts_are_cut_with_a_notice() -> None:
    primed = briefing_with(["x" * 60_000, "a short one"], 1)

    shown = briefing.briefing(primed)

    assert re.search(r"x… \[\d+ more characters\]", shown)
    assert "a short one" in shown
    assert (
        f"Cut short: `worker get {primed.held[0].claim.package.item.id} --peek` prints all of it"
        in shown
    )


def test_short_texts_are_not_cut() -> None:
    shown = briefing.briefing(briefing_with(["brief"], 1))

    assert quoting.CUT not in shown
    assert "Description: brief" in shown


@pytest.mark.parametrize(
    ("count", "state", "command"),
    [
        (0, State.QUEUED, "worker pop"),
        (1, State.IN_PROGRESS, "worker get item_" + "0" * 32),
        (1, State.DELAYED, "worker get item_" + "0" * 32),
        (1, State.BLOCKED, "worker pop"),
        (1, State.FAILED, "worker pop"),
    ],
)
def test_the_next_step_is_a_command(
    count: int, state: State, command: str
) -> None:
    assert briefing.next_step(briefing_with(["x"], count, state)) == command


def test_long_text_is_cut_before_it_is_shown() -> None:
    lengths = []

    def show(text: str) -> str:
        lengths.append(len(text))
        return text

    kept = quoting.cut("x" * 100_000, 20, show)

    assert kept == f"{'x' * 20}… [99980 {quoting.CUT}"
    assert lengths == [21]
