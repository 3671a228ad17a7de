"""The queue as the sync job uses it: events, records, file reports, and writers."""

from collections.abc import Callable
from time import monotonic
from typing import Any, cast

import pytest
from support.builders import Bench
from support.waiters import LONG_S, SOON_S, Waiters
from taskorch.domain import errors
from taskorch.domain.events import FROM_THE_START, Events
from taskorch.domain.frozen import replace
from taskorch.domain.item import Discovery, Lease, NewItem, Note, Report, State
from taskorch.domain.mirror_record import MirrorRecord, MirrorStatus, Origin
from taskorch.queue import keys
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.replies import LEFT_OUT

LEASE_MS = 60_000
#: The entry of a file that a report is made from. It is older than the test.
ORIGIN = Origin(
    request="0123456789abcdef",
    written_at="2026-01-31T12:00:00.123456",
    at=1_769_860_800_123,
)
#: Each kind of report that a file can have, on an item that ada holds.
REPORTS: dict[str, Callable[[AgentQueue, Lease], object]] = {
    "progress": lambda me, lease: me.progress(lease, "half", percent=50),
    "discover": lambda me, lease: me.discover(lease, "rain", impact="coat"),
    "blocker": lambda me, lease: me.blocker(lease, "door?", needs="choice"),
    "complete": lambda me, lease: me.complete(lease, "done"),
    "stray": lambda me, lease: me.stray(lease.item, "me too", percent=20),
    "note": lambda me, lease: me.note(lease.item, "memo"),
}


def record(
    bench: Bench, item: str, *, session: str | None = None
) -> MirrorRecord:
    """Return the record of an item."""
    (found,) = bench.queue.views.records([item], session=session)
    return found


def entries(found: MirrorRecord) -> list[Report | Discovery]:
    """Return the reports and the discoveries of an item."""
    return [*found.reports, *found.discoveries]


def verbs(events: Events) -> list[str]:
    return [event.verb for event in events.entries]


def tag(bench: Bench) -> str:
    return keys.tag(bench.namespace)


# Events
# ------------------------------------------------------------------------------------------------------------


def test_events_follow_cursor_oldest_first(
    bench: Bench,
) -> None:
    project = bench.project()
    seen = bench.queue.views.events()
    item = bench.item(project)
    bench.claimed(item)

    events = bench.queue.views.events(since=seen.newest)

    assert [
        (event.verb, event.item, event.project, event.agent, event.state)
        for event in events.entries
    ] == [
        ("create", item, project, "ada", "queued"),
        ("claim", item, project, "ada", "in_progress"),
    ]
    assert events.known
    assert events.newest == events.entries[-1].cursor
    assert verbs(seen) == ["project"]


def test_events_are_paged_by_limit_and_cursor(bench: Bench) -> None:
    bench.claimed()

    first = bench.queue.views.events(limit=2)
    rest = bench.queue.views.events(since=first.entries[-1].cursor, limit=2)

    assert (verbs(first), verbs(rest)) == (["project", "create"], ["claim"])
    assert first.newest == rest.newest == rest.entries[-1].cursor


def test_no_events_follow_the_newest(bench: Bench) -> None:
    bench.item()
    newest = bench.queue.views.events(limit=1).newest

    events = bench.queue.views.events(since=newest)

    assert events == Events(known=True, newest=newest, entries=(), last=newest)


def test_namespace_without_events_has_no_known_cursor(bench: Bench) -> None:
    events = bench.queue.views.events()

    assert events == Events(
        known=False,
        newest=FROM_THE_START,
        entries=(),
        last=FROM_THE_START,
    )


@pytest.mark.parametrize(
    "how", ["trimmed", "deleted", "from the start", "another namespace's"]
)
def test_cursor_of_missing_event_is_unknown(bench: Bench, how: str) -> None:
    bench.item()
    cursor, raw = (
        bench.queue.views.events().entries[0].cursor,
        cast(Any, bench.raw),
    )
    bench.claimed()
    match how:
        case "trimmed":
            raw.xtrim(f"{tag(bench)}events", maxlen=2, approximate=False)
        case "deleted":
            raw.xdel(f"{tag(bench)}events", cursor)
        case "from the start":
            cursor = FROM_THE_START
        case _:
            cursor = "1700000000000-7"

    events = bench.queue.views.events(since=cursor)

    assert not events.known
    assert verbs(events)[-2:] == ["create", "claim"]


@pytest.mark.parametrize("cursor", ["", "0", "$", "1-", "(1-0", "-"])
def test_invalid_cursor_is_refused_locally(bench: Bench, cursor: str) -> None:
    with pytest.raises(errors.Invalid):
        bench.queue.views.events(since=cursor)
    with pytest.raises(errors.Invalid):
        bench.queue.views.wait_for_event(cursor, LONG_S)


def test_event_wakes_every_follower(bench: Bench, waiters: Waiters) -> None:
    newest = bench.queue.views.events().newest
    futures = [
        waiters.start(
            lambda bench: bench.queue.views.wait_for_event(newest, LONG_S)
        )
        for _ in range(3)
    ]

    bench.project()

    assert [future.result(SOON_S) for future in futures] == [True, True, True]


def test_call_without_event_wakes_no_follower(
    bench: Bench, waiters: Waiters
) -> None:
    item = bench.item()
    newest = bench.queue.views.events().newest
    follower = waiters.start(
        lambda bench: bench.queue.views.wait_for_event(newest, LONG_S)
    )

    bench.agent().note(item, "memo")
    bench.queue.mirror_take("root", "here:1", LEASE_MS)
    still = not follower.done()
    bench.claimed(item)

    assert still
    assert follower.result(SOON_S)


def test_follower_behind_newest_event_does_not_block(bench: Bench) -> None:
    bench.item()
    started = monotonic()

    followed = bench.queue.views.wait_for_event(FROM_THE_START, LONG_S)

    assert followed
    assert monotonic() - started < SOON_S


def test_follower_returns_at_its_timeout(bench: Bench) -> None:
    bench.item()
    newest, started = bench.queue.views.events().newest, monotonic()

    followed = bench.queue.views.wait_for_event(newest, 0.2)

    assert not followed
    assert 0.15 <= monotonic() - started < SOON_S


# Records
# -----------------------------------------------------------------------------------------------------------


def test_record_has_item_project_reports_and_discoveries(
    bench: Bench,
) -> None:
    project = bench.project()
    lease, other = (
        bench.claimed(bench.item(project)),
        bench.claimed(bench.item(project)),
    )
    bench.agent().progress(lease, "half", percent=50)
    bench.agent().discover(lease, "rain", impact="coat")
    bench.agent().discover(other, "not mine")
    bench.agent().discover(lease, "snow")
    bench.agent().blocker(lease, "door?", needs="choice")
    shown = bench.queue.views.show(lease.item)

    found = record(bench, lease.item)

    assert found.item == shown.item
    assert found.project == shown.project_context
    assert [(report.kind, report.text) for report in found.reports] == [
        ("progress", "half"),
        ("blocker", "door?"),
    ]
    assert [
        (finding.text, finding.impact) for finding in found.discoveries
    ] == [
        ("rain", "coat"),
        ("snow", ""),
    ]
    assert all(
        len(each.request) == 16 and not each.written_at
        for each in entries(found)
    )


def test_records_keep_order_and_skip_missing_items(
    bench: Bench,
) -> None:
    first, vanished, last = (bench.item() for _ in range(3))
    bench.delete_item(vanished)

    records = bench.queue.views.records(
        [last, "item_neverwas", vanished, first]
    )

    assert [found.item.id for found in records] == [last, first]
    assert bench.queue.views.records([]) == ()


def test_record_lacks_trimmed_discoveries(
    bench: Bench,
) -> None:
    lease = bench.claimed()
    first = bench.agent().discover(lease, "rain")
    bench.agent().discover(lease, "snow")
    project = record(bench, lease.item).project.id
    cast(Any, bench.raw).xdel(
        f"{tag(bench)}discoveries:{project}", first.entry
    )

    found = record(bench, lease.item)

    assert [finding.text for finding in found.discoveries] == ["snow"]


def test_each_assignment_and_requeue_has_own_sequence(bench: Bench) -> None:
    item = bench.item(agent="")
    steps: list[Callable[[], object]] = [
        lambda: bench.queue.assign(item, "ada"),
        lambda: bench.queue.assign(item, "bob"),
        lambda: bench.claimed(item, agent="bob"),
        lambda: bench.queue.assign(item, "bob", force=True),
        lambda: bench.queue.cancel(item),
        lambda: bench.queue.requeue(item),
    ]
    sequences = [record(bench, item).sequence]

    for step in steps:
        step()
        sequences.append(record(bench, item).sequence)

    created, first, second, claimed, forced, cancelled, requeued = sequences
    assert (claimed, cancelled) == (second, forced)
    assert created < first < second < forced < requeued


def test_assignment_of_context_keeps_sequence(
    bench: Bench,
) -> None:
    item = bench.item()
    before = record(bench, item)

    bench.queue.assign(item, "ada", context={"style": "plain"})

    after = record(bench, item)
    assert after.sequence == before.sequence
    assert after.event != before.event


def test_record_has_its_last_event(bench: Bench) -> None:
    first = bench.item()
    waiting = bench.item(depends_on=(first,))
    bench.agent().fail(bench.claimed(waited := bench.item()), "no luck")
    bench.agent().complete(bench.claimed(first), "done")

    records = bench.queue.views.records([first, waiting, waited])

    last = {
        event.item: (event.cursor, event.verb)
        for event in bench.queue.views.events().entries
    }
    assert {found.item.id: found.event for found in records} == {
        item: last[item][0] for item in (first, waiting, waited)
    }
    assert [last[item][1] for item in (first, waiting, waited)] == [
        "complete",
        "ready",
        "fail",
    ]


def test_record_has_session_and_token_of_holder(
    bench: Bench,
) -> None:
    item = bench.item()
    free = record(bench, item, session="files-root")
    lease = bench.claimed(item, session="files-root")
    held = record(bench, item, session="files-root")

    bench.agent(session="files-root").complete(lease, "done")

    ended = record(bench, item, session="files-root")
    assert [(found.session, found.lease.token) for found in (free, held)] == [
        ("", 0),
        ("files-root", lease.token),
    ]
    assert ended.lease.token == 0


def test_record_has_token_of_expired_lease(bench: Bench) -> None:
    lease = bench.expired_lease(State.DELAYED)

    assert bench.lease_of(lease.item).token == lease.token


# Reports from files
# ------------------------------------------------------------------------------------------------


def times_of_reports(bench: Bench, item: str) -> list[tuple[int, str]]:
    """Return the times of all reports on an item: in ms, and as written in the file."""
    reports: list[Report | Discovery | Note] = [
        *entries(record(bench, item)),
        *bench.agent().notes(item),
    ]
    return [(each.at, each.written_at) for each in reports]


@pytest.mark.parametrize("verb", REPORTS)
def test_file_report_keeps_its_time(bench: Bench, verb: str) -> None:
    lease = bench.claimed()

    REPORTS[verb](bench.queue.agent_queue("ada", origin=ORIGIN), lease)

    assert times_of_reports(bench, lease.item) == [
        (ORIGIN.at, ORIGIN.written_at)
    ]


@pytest.mark.parametrize("verb", REPORTS)
def test_file_report_is_made_once(bench: Bench, verb: str) -> None:
    lease = bench.claimed()
    first = REPORTS[verb](bench.queue.agent_queue("ada", origin=ORIGIN), lease)
    before = bench.everything()

    second = REPORTS[verb](
        bench.queue.agent_queue("ada", origin=ORIGIN), lease
    )

    assert second == first
    assert bench.everything() == before


@pytest.mark.parametrize("verb", sorted(REPORTS.keys() - {"note"}))
def test_file_report_is_identified_by_its_request(
    bench: Bench, verb: str
) -> None:
    lease = bench.claimed()

    REPORTS[verb](bench.queue.agent_queue("ada", origin=ORIGIN), lease)

    assert [each.request for each in entries(record(bench, lease.item))] == [
        ORIGIN.request
    ]


def test_two_file_entries_are_two_reports(bench: Bench) -> None:
    lease, other = bench.claimed(), replace(ORIGIN, request="fedcba9876543210")

    for origin in (ORIGIN, other):
        bench.queue.agent_queue("ada", origin=origin).progress(
            lease, "the same words"
        )

    assert [
        report.request for report in record(bench, lease.item).reports
    ] == [
        ORIGIN.request,
        other.request,
    ]


def test_command_report_has_only_redis_time(
    bench: Bench,
) -> None:
    lease, before = bench.claimed(), bench.now_ms()

    bench.agent().progress(lease, "half")

    ((at, written_at),) = times_of_reports(bench, lease.item)
    assert before <= at <= bench.now_ms()
    assert written_at == ""


def test_file_report_time_does_not_change_item(
    bench: Bench,
) -> None:
    lease = bench.claimed()

    bench.queue.agent_queue("ada", origin=ORIGIN).progress(
        lease, "half", percent=50
    )

    stored = cast(Any, bench.raw).hgetall(f"{tag(bench)}item:{lease.item}")
    assert {"written_at", "made_at", "request"} & stored.keys() == set()
    assert stored["percent"] == "50"


# Strays
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(State))
def test_stray_report_changes_only_history(bench: Bench, state: State) -> None:
    item = bench.lease_in(state).item
    before = bench.everything()

    bench.agent("bob").stray(item, "me too", percent=20)

    after, stream = bench.everything(), f"progress:{item}"
    changed = {
        name
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name)
    }
    assert changed - {"counters", "hours"} == {
        stream,
        "events",
        f"item:{item}",
    }
    assert _without_event(after[f"item:{item}"]) == _without_event(
        before[f"item:{item}"]
    )
    assert bench.inconsistencies() == []


def _without_event(item: object) -> dict[str, str]:
    fields = LEFT_OUT | cast("dict[str, str]", item)
    # since when it is queued stays known, although the newest event is another
    changes = {"event", "since"}
    return {
        name: value for name, value in fields.items() if name not in changes
    }


def test_stray_report_emits_one_event(
    bench: Bench,
) -> None:
    lease = bench.claimed()
    newest = bench.queue.views.events().newest

    bench.agent("bob").stray(lease.item, "me too")

    (event,) = bench.queue.views.events(since=newest).entries
    assert (event.verb, event.item, event.agent, event.state) == (
        "stray",
        lease.item,
        "ada",
        "in_progress",
    )
    assert record(bench, lease.item).event == event.cursor


def test_stray_report_names_its_agent(bench: Bench) -> None:
    lease = bench.claimed()

    bench.agent("bob").stray(lease.item, "me too", percent=20)
    bench.agent("eve").stray(lease.item, "")

    assert [
        (each.kind, each.agent, each.text, each.percent)
        for each in record(bench, lease.item).reports
    ] == [
        ("stray", "bob", "me too", 20),
        ("stray", "eve", "", None),
    ]


def test_stray_report_keeps_lease_of_holder(bench: Bench) -> None:
    lease = bench.claimed()
    bench.shorten_lease(lease.item, left_ms=LEASE_MS)
    expires_at = bench.queue.views.show(lease.item).item.lease_expires_at

    bench.agent("bob").stray(lease.item, "me too")

    assert (
        bench.queue.views.show(lease.item).item.lease_expires_at == expires_at
    )
    assert bench.agent().complete(lease, "done").state is State.COMPLETED


def test_stray_report_does_not_replace_cancel_reason(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.cancel(lease.item, reason="not needed")

    bench.agent("bob").stray(lease.item, "me too")

    with pytest.raises(errors.Cancelled) as refusal:
        bench.agent().progress(lease, "half")
    assert refusal.value.details["reason"] == "not needed"


def test_stray_report_needs_an_item(bench: Bench) -> None:
    with pytest.raises(errors.NoItem):
        bench.agent().stray("item_neverwas", "me too")

    assert bench.everything().keys() == {"meta"}


# The lease of a root's writer
# ---------------------------------------------------------------------------------------


def let_lease_expire(bench: Bench, root: str = "root") -> None:
    """Let the lease of a root's writer expire."""
    assert bench.raw.hset(f"{tag(bench)}mirror:{root}", "until", "1") == 0


def the_mirror(bench: Bench) -> MirrorStatus:
    (mirror,) = bench.queue.views.mirrors()
    return mirror


def test_one_writer_has_the_lease_of_a_root(
    bench: Bench,
) -> None:
    first = bench.queue.mirror_take("root", "here:1", LEASE_MS)

    second = bench.queue.mirror_take("root", "there:2", LEASE_MS)

    assert (first[:2], second[:2]) == ((True, "here:1"), (False, "here:1"))


def test_lease_is_for_one_root(bench: Bench) -> None:
    bench.queue.mirror_take("root", "here:1", LEASE_MS)

    assert bench.queue.mirror_take("other", "there:2", LEASE_MS)[:2] == (
        True,
        "there:2",
    )


def test_writer_may_renew_its_lease(bench: Bench) -> None:
    bench.queue.mirror_take("root", "here:1", LEASE_MS)
    key, before = f"{tag(bench)}mirror:root", bench.now_ms()

    again = bench.queue.mirror_take("root", "here:1", 10 * LEASE_MS)

    assert again[:2] == (True, "here:1")
    until = int(cast(Any, bench.raw).hget(key, "until"))
    assert before + 10 * LEASE_MS <= until <= bench.now_ms() + 10 * LEASE_MS


def test_lease_of_writer_expires(bench: Bench) -> None:
    bench.queue.mirror_take("root", "here:1", LEASE_MS)
    let_lease_expire(bench)

    assert bench.queue.mirror_take("root", "there:2", LEASE_MS)[:2] == (
        True,
        "there:2",
    )
    assert bench.queue.mirror_take("root", "here:1", LEASE_MS)[:2] == (
        False,
        "there:2",
    )


def test_released_lease_is_free(bench: Bench) -> None:
    bench.queue.mirror_take("root", "here:1", LEASE_MS)

    bench.queue.mirror_give("root", "here:1", {"error": ""}, {})

    assert bench.queue.mirror_take("root", "there:2", LEASE_MS)[:2] == (
        True,
        "there:2",
    )


@pytest.mark.parametrize("lost", [False, True])
def test_only_the_writer_releases_its_lease(
    bench: Bench, *, lost: bool
) -> None:
    if lost:
        bench.queue.mirror_take("root", "there:2", LEASE_MS)
        let_lease_expire(bench)
    bench.queue.mirror_take("root", "here:1", LEASE_MS)
    before = bench.everything()

    bench.queue.mirror_give("root", "there:2", {"written": 1}, {"pid": 2})

    assert bench.everything() == before
    assert bench.queue.mirror_take("root", "there:2", LEASE_MS)[:2] == (
        False,
        "here:1",
    )


def test_lease_that_was_never_taken_is_not_released(bench: Bench) -> None:
    bench.queue.mirror_give("root", "here:1", {"written": 1}, {})

    assert bench.queue.views.mirrors() == ()


# The status of mirrors
# ----------------------------------------------------------------------------------------------


def test_root_is_listed_from_its_first_pass(bench: Bench) -> None:
    bench.queue.mirror_take("root", "here:1", LEASE_MS)

    assert the_mirror(bench) == MirrorStatus(
        root="root", at=0, status={}, behind=0, service={}, service_at=0
    )


def test_mirrors_have_last_status_and_service(bench: Bench) -> None:
    status = {
        "path": "/tmp/é",
        "written": 3,
        "troubles": {"a.json": 'torn "here"'},
    }
    service = {"host": "here", "pid": 1, "runs_on": "RQ"}
    before = bench.now_ms()
    bench.queue.mirror_take("root", "here:1", LEASE_MS)

    bench.queue.mirror_give("root", "here:1", status, service)

    mirror = the_mirror(bench)
    assert (mirror.root, mirror.status, mirror.service, mirror.behind) == (
        "root",
        status,
        service,
        0,
    )
    assert before <= mirror.at <= bench.now_ms()
    assert mirror.service_at == mirror.at


def test_pass_without_service_keeps_last_service(
    bench: Bench,
) -> None:
    bench.queue.mirror_take("root", "here:1", LEASE_MS)
    bench.queue.mirror_give("root", "here:1", {"written": 1}, {"pid": 1})
    before = the_mirror(bench)
    bench.wait_for_next_ms()
    bench.queue.mirror_take("root", "here:2", LEASE_MS)

    bench.queue.mirror_give("root", "here:2", {"written": 2}, {})

    mirror = the_mirror(bench)
    assert (mirror.status, mirror.service, mirror.service_at) == (
        {"written": 2},
        {"pid": 1},
        before.service_at,
    )
    assert mirror.at > before.at


def test_lag_counts_events_after_cursor(bench: Bench) -> None:
    bench.item()
    bench.queue.mirror_take("root", "here:1", LEASE_MS)
    bench.queue.mirror_give(
        "root", "here:1", {"cursor": bench.queue.views.events().newest}, {}
    )
    behind = [the_mirror(bench).behind]

    bench.claimed()
    behind.append(the_mirror(bench).behind)

    assert behind == [0, 3]


@pytest.mark.parametrize("status", [{}, {"cursor": FROM_THE_START}])
def test_root_without_cursor_is_listed(
    bench: Bench, status: dict[str, str]
) -> None:
    bench.queue.mirror_take("root", "here:1", LEASE_MS)

    bench.queue.mirror_give("root", "here:1", status, {})

    assert (the_mirror(bench).status, the_mirror(bench).behind) == (status, 0)


def test_lag_is_at_most_three_hundred(bench: Bench) -> None:
    raw = cast(Any, bench.raw)
    for _ in range(301):
        raw.xadd(f"{tag(bench)}events", {"verb": "progress"})
    bench.queue.mirror_take("root", "here:1", LEASE_MS)

    bench.queue.mirror_give("root", "here:1", {"cursor": FROM_THE_START}, {})

    assert the_mirror(bench).behind == 300


def test_root_with_newest_pass_is_listed_first(bench: Bench) -> None:
    for root in ("first", "second", "never"):
        bench.queue.mirror_take(root, "here:1", LEASE_MS)
    for root in ("second", "first"):
        bench.queue.mirror_give(root, "here:1", {}, {})
        bench.wait_for_next_ms()

    shown = bench.queue.views.mirrors()

    assert [mirror.root for mirror in shown] == ["first", "second", "never"]
    assert [mirror.root for mirror in bench.queue.views.mirrors(limit=1)] == [
        "first"
    ]


# Ids of an import
# --------------------------------------------------------------------------------------------------


def test_imported_project_keeps_id_and_time(bench: Bench) -> None:
    project = bench.queue.project(
        "Old", id="proj_0ld", created_at=1_600_000_000_000
    )
    newer = bench.project()

    assert project == "proj_0ld"
    assert [
        (shown.id, shown.title) for shown in bench.queue.views.projects()
    ] == [
        (newer, "A project"),
        ("proj_0ld", "Old"),
    ]
    assert (
        bench.queue.views.progress(project).project.created_at
        == 1_600_000_000_000
    )


def test_project_imported_again_changes_nothing(bench: Bench) -> None:
    bench.queue.project("Old", id="proj_0ld", created_at=1)
    bench.queue.complete_project("proj_0ld")
    before = bench.everything()

    again = bench.queue.project(
        "New", description="other", id="proj_0ld", created_at=2
    )

    assert again == "proj_0ld"
    assert bench.everything() == before


def test_imported_item_keeps_id_and_time(bench: Bench) -> None:
    project = bench.project()

    item = bench.item(project, id="item_0ld", created_at=1_600_000_000_000)

    shown = bench.queue.views.show(item).item
    assert (item, shown.state, shown.created_at) == (
        "item_0ld",
        State.QUEUED,
        1_600_000_000_000,
    )
    assert [
        each.id for each in bench.queue.views.list(project=project).items
    ] == [item]
    assert bench.claimed(item).item == item


@pytest.mark.parametrize("closed", [False, True])
def test_item_imported_again_changes_nothing(
    bench: Bench, *, closed: bool
) -> None:
    project = bench.project()
    bench.item(project, id="item_0ld", created_at=1)
    if closed:
        bench.queue.complete_project(project, force=True)
    before = bench.everything()

    again = bench.queue.create(
        project, NewItem(title="New", agent="bob", id="item_0ld", created_at=2)
    )

    assert again == "item_0ld"
    assert bench.everything() == before


def test_imported_id_must_be_valid(bench: Bench) -> None:
    project = bench.project()

    with pytest.raises(errors.NoProject):
        bench.queue.project("Old", id="item_0ld")
    with pytest.raises(errors.NoItem):
        bench.item(project, id="../etc")

    assert bench.queue.views.list().items == ()


@pytest.mark.parametrize("lease_ms", [0, 600_001])
def test_lease_of_root_is_ten_minutes_at_most(
    bench: Bench, lease_ms: int
) -> None:
    with pytest.raises(errors.Invalid, match="lease in ms"):
        bench.queue.mirror_take("root", "here:1", lease_ms)

    assert bench.queue.mirror_take("root", "here:1", 600_000)[0]
