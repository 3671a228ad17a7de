"""The timeline of an item: everything that happened to it, in order."""

from typing import Any, cast

import pytest
from support.builders import Bench, need_lease
from taskorch.domain.item import Caller, Lease, NewItem, State
from taskorch.domain.timeline import TimelineEntry
from taskorch.queue.queue import Queue


def timeline(bench: Bench, item: str) -> tuple[TimelineEntry, ...]:
    return bench.queue.views.timeline(item).timeline


def steps(bench: Bench, item: str) -> list[tuple[str, str]]:
    """Return the kind and the agent of each entry."""
    return [
        (entry.report.kind, entry.report.agent)
        for entry in timeline(bench, item)
    ]


def details(bench: Bench, item: str, kind: str) -> list[dict[str, str]]:
    return [
        dict(entry.details)
        for entry in timeline(bench, item)
        if entry.report.kind == kind
    ]


def called_from(bench: Bench, host: str) -> Bench:
    """Return the bench as another host sees it."""
    scripts = bench.queue._scripts
    caller = Caller(agent="planner", host=host, pid=7)
    queue = Queue(scripts.connection, bench.namespace, caller)
    return Bench(queue, bench.raw, bench.namespace, bench.url)


def next_ms(bench: Bench) -> None:
    bench.wait_for_next_ms()


def test_new_item_has_creation_and_assignment(bench: Bench) -> None:
    assigned, unassigned = bench.item(), bench.item(agent="")

    assert steps(bench, assigned) == [
        ("create", "planner"),
        ("assign", "planner"),
    ]
    assert details(bench, assigned, "assign") == [{"to": "ada"}]
    assert steps(bench, unassigned) == [("create", "planner")]


def test_whole_life_is_in_order(bench: Bench) -> None:
    item, ada = bench.item(), bench.agent()
    lease = need_lease(ada.claim())
    ada.progress(lease, "begun", percent=10)
    next_ms(bench)
    ada.discover(lease, "It rains", impact="take a coat")
    next_ms(bench)
    ada.blocker(lease, "Which door?", needs="a choice")
    bench.queue.answer(item, "The left one")
    bench.queue.comment(item, "Mind the gap")
    ada.complete(lease, "done")
    bench.queue.requeue(item)

    entries = timeline(bench, item)

    assert [entry.report.kind for entry in entries] == [
        "create",
        "assign",
        "claim",
        "progress",
        "discover",
        "blocker",
        "answer",
        "comment",
        "complete",
        "requeue",
    ]
    times = [entry.report.at for entry in entries]
    assert times == sorted(times)
    discovery = entries[4]
    assert discovery.report.text == "It rains"
    assert discovery.details == {"impact": "take a coat"}
    assert all(entry.report.request == "" for entry in entries)


def test_each_claim_is_kept_with_its_place(bench: Bench) -> None:
    item = bench.item()
    first, second = called_from(bench, "one"), called_from(bench, "two")
    lease = need_lease(first.agent(session="s1").claim())
    first.agent(session="s1").progress(lease, "mine")
    bench.expire_lease(item)
    bench.queue.reap()
    bench.end_delay(item)
    bench.queue.reap()
    second.agent().release(need_lease(second.agent().claim()), reason="no")
    third = need_lease(second.agent(session="s3").claim())

    kinds = [kind for kind, _ in steps(bench, item)]
    claims = [
        entry
        for entry in timeline(bench, item)
        if entry.report.kind == "claim"
    ]

    assert kinds == [
        "create",
        "assign",
        "claim",
        "progress",
        "expire",
        "claim",
        "release",
        "claim",
    ]
    assert [dict(claim.details) for claim in claims] == [
        {"host": "one", "pid": "7", "session": "s1"},
        {"host": "two", "pid": "7", "session": ""},
        {"host": "two", "pid": "7", "session": "s3"},
    ]
    assert [
        (claim.report.token, claim.report.attempt) for claim in claims
    ] == [(1, 1), (2, 2), (third.token, 2)]


@pytest.mark.parametrize("end", ["fail", "takeover", "force", "requeue"])
def test_ended_claim_is_kept_for_the_next(bench: Bench, end: str) -> None:
    item, ada = bench.item(), bench.agent()
    lease = need_lease(ada.claim())
    next_ms(bench)
    match end:
        case "fail":
            ada.fail(lease, "no luck")
            bench.end_delay(item)
            bench.queue.reap()
        case "force":
            bench.queue.assign(item, "ada", force=True)
        case "requeue":
            ada.complete(lease, "done")
            bench.queue.requeue(item)
    bench.agent(session="next").get(Lease(item=item), takeover=True)

    found = timeline(bench, item)

    claims = [one.report for one in found if one.report.kind == "claim"]
    assert [(claim.agent, claim.token) for claim in claims] == [
        ("ada", 1),
        ("ada", 2),
    ]
    assert claims[0].at < claims[1].at


def test_late_return_is_one_claim(bench: Bench) -> None:
    item, ada = bench.item(), bench.agent()
    lease = need_lease(ada.claim())
    bench.expire_lease(item)
    bench.queue.reap()
    ada.progress(lease, "back again")
    ada.fail(lease, "no luck")

    kinds = [kind for kind, _ in steps(bench, item)]

    assert kinds.count("claim") == 1
    assert kinds[2:] == ["claim", "expire", "progress", "fail"]


def test_each_assignment_is_kept(bench: Bench) -> None:
    item = bench.item()
    lead = Queue(
        bench.queue._scripts.connection, bench.namespace, Caller(agent="lead")
    )
    next_ms(bench)
    lead.assign(item, "bob")
    next_ms(bench)
    bench.queue.assign(item, "carol")

    assert [
        (kind, by) for kind, by in steps(bench, item) if kind == "assign"
    ] == [("assign", "planner"), ("assign", "lead"), ("assign", "planner")]
    assert details(bench, item, "assign") == [
        {"to": "ada"},
        {"to": "bob", "from": "ada"},
        {"to": "carol", "from": "bob"},
    ]


def test_assignment_to_own_agent_adds_no_entry(bench: Bench) -> None:
    item = bench.item()

    bench.queue.assign(item, "ada", context={"style": "plain"})

    assert len(timeline(bench, item)) == 2


def test_forced_assignment_names_holder_that_lost(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.assign(lease.item, "bob", force=True)

    assert steps(bench, lease.item) == [
        ("create", "planner"),
        ("assign", "planner"),
        ("claim", "ada"),
        ("lost", "ada"),
        ("assign", "planner"),
    ]


def test_claims_of_one_ms_keep_their_order(bench: Bench) -> None:
    item, ada = bench.item(), bench.agent()
    for _ in range(30):
        ada.release(need_lease(ada.claim()))

    kinds = [kind for kind, _ in steps(bench, item)]

    assert kinds[2:] == ["claim", "release"] * 30


def test_long_timeline_is_complete(bench: Bench) -> None:
    lease, ada = bench.claimed(), bench.agent()
    for number in range(450):
        ada.progress(lease, f"report {number}")
    for number in range(410):
        ada.discover(lease, f"finding {number}")

    shown = bench.queue.views.timeline(lease.item)

    texts = [entry.report.text for entry in shown.timeline]
    assert texts == [
        *[""] * 3,
        *[f"report {number}" for number in range(450)],
        *[f"finding {number}" for number in range(410)],
    ]
    assert not shown.trimmed


def test_trimmed_timeline_says_so(bench: Bench) -> None:
    lease, ada = bench.claimed(), bench.agent()
    for number in range(1150):
        ada.progress(lease, f"report {number}")

    shown = bench.queue.views.timeline(lease.item)

    assert shown.trimmed
    assert shown.timeline[-1].report.text == "report 1149"
    assert shown.timeline[0].report.kind == "create"


def test_item_of_earlier_version_has_a_timeline(bench: Bench) -> None:
    item, ada = bench.item(), bench.agent()
    ada.release(need_lease(ada.claim()), reason="not my field")
    tag = f"taskorch:{{{bench.namespace}}}:"
    raw = cast("Any", bench.raw)
    raw.hdel(f"{tag}item:{item}", "created_by")
    raw.hset(f"{tag}item:{item}", "assigned_by", "planner")
    ((_, fields),) = raw.xrange(f"{tag}progress:{item}")
    raw.delete(f"{tag}progress:{item}")
    for name in ("holder", "host", "pid", "session", "since"):
        del fields[name]
    raw.xadd(f"{tag}progress:{item}", fields)
    need_lease(ada.claim())

    assert steps(bench, item) == [
        ("create", ""),
        ("assign", "planner"),
        ("release", "ada"),
        ("claim", "ada"),
    ]


def test_damaged_facts_of_claim_are_left_out(bench: Bench) -> None:
    item, ada = bench.item(), bench.agent()
    ada.release(need_lease(ada.claim()))
    tag = f"taskorch:{{{bench.namespace}}}:"
    raw = cast("Any", bench.raw)
    ((_, fields),) = raw.xrange(f"{tag}progress:{item}")
    raw.delete(f"{tag}progress:{item}")
    raw.xadd(
        f"{tag}progress:{item}",
        {**fields, "since": "9" * 30, "holder": "no name"},
    )

    assert ("release", "ada") in steps(bench, item)


def test_comment_is_not_a_report_on_work(bench: Bench) -> None:
    item, ada = bench.item(), bench.agent()
    project = bench.queue.views.show(item).item.project
    ada.fail(need_lease(ada.claim()), "no luck", retry=False)
    bench.queue.comment(item, "Never mind")

    last = bench.queue.views.progress(project).last_reports[item]
    (stuck,) = bench.queue.views.stuck().items

    assert (last.kind, last.text) == ("fail", "no luck")
    assert stuck.reason == "no luck"


def test_comment_does_not_hide_unstarted_item(bench: Bench) -> None:
    item = bench.item()
    next_ms(bench)
    next_ms(bench)
    bench.queue.comment(item, "Is nobody there?")

    stuck = bench.queue.views.stuck(unstarted_ms=1).items

    assert [each.item.id for each in stuck] == [item]


def test_created_by_is_that_of_apply(bench: Bench) -> None:
    lead = Queue(
        bench.queue._scripts.connection, bench.namespace, Caller(agent="lead")
    )
    item = lead.create(bench.project(), NewItem(title="Its own"))

    assert steps(bench, item) == [("create", "lead")]


def test_first_page_of_long_timeline_is_bounded(bench: Bench) -> None:
    lease, ada = bench.claimed(), bench.agent()
    for number in range(200):
        ada.progress(lease, f"report {number}")
        if number == 100:
            next_ms(bench)

    shown = bench.queue.views.timeline(lease.item, most_pages=1)
    whole = bench.queue.views.timeline(lease.item, most_pages=5)

    texts = [entry.report.text for entry in shown.timeline]
    assert shown.has_older
    assert texts[-1] == "report 199"
    assert 1 <= len(texts) <= 50
    assert not whole.has_older
    assert len(whole.timeline) == 203


def test_dependents_are_shown_with_their_states(bench: Bench) -> None:
    item = bench.item()
    waiting = bench.item(title="Later", depends_on=(item,))
    given_up = bench.item(title="Never", depends_on=(item,))
    bench.queue.cancel(given_up)

    shown = bench.queue.views.timeline(item)

    found = {(each.id, each.title, each.state) for each in shown.dependents}
    assert found == {
        (waiting, "Later", State.WAITING),
        (given_up, "Never", State.CANCELLED),
    }
    assert shown.dependents_left_out == 0


def test_many_dependents_are_counted(bench: Bench) -> None:
    item = bench.item()
    later = [NewItem(title="Later", depends_on=(item,)) for _ in range(60)]
    bench.create_many(bench.project(), later)

    shown = bench.queue.views.timeline(item)

    assert len(shown.dependents) == 30
    assert shown.dependents_left_out == 30
