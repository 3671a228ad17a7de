"""Discoveries reach the other agents: in packages, in order, and each reader once."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from support.builders import Bench
from taskorch.domain import errors, limits
from taskorch.domain.item import Discovery, DiscoveryPage, Lease, State
from taskorch.queue import keys
from taskorch.queue.port import Argument, ConnectionWrapper, Reply, Script
from taskorch.queue.queue import Queue
from taskorch.queue.requests import KeptRequest, Requests
from taskorch_orchestrator import actions
from taskorch_orchestrator.render import tables


def found_by(bench: Bench, item: str, *texts: str, agent: str = "bob") -> None:
    """Let an agent discover something on an item that is assigned to it."""
    lease = bench.lease_of(item)
    for text in texts:
        lease = bench.agent(agent).discover(lease, text).lease


def texts(found: DiscoveryPage | tuple[Discovery, ...]) -> list[str]:
    rows = found.discoveries if isinstance(found, DiscoveryPage) else found
    return [each.text for each in rows]


# Findings in packages


def test_package_has_findings_of_dependencies_first(bench: Bench) -> None:
    project = bench.project()
    elsewhere = bench.item(agent="bob")
    needed = bench.item(project, agent="bob")
    other = bench.item(project, agent="bob")
    item = bench.item(project, depends_on=(elsewhere, needed))
    for each in (elsewhere, needed, other):
        found_by(bench, each, f"on {each}")
        # the order of findings of two projects is that of their ms
        bench.wait_for_next_ms()

    findings = bench.queue.views.show(item).findings

    assert texts(findings.of_dependencies) == [
        f"on {elsewhere}",
        f"on {needed}",
    ]
    assert texts(findings.of_project) == [f"on {other}"]
    assert [each.project for each in findings.of_dependencies] == [
        bench.queue.views.show(elsewhere).item.project,
        project,
    ]
    assert findings.are_whole


def test_claim_get_and_prime_have_findings(bench: Bench) -> None:
    project = bench.project()
    found_by(bench, bench.item(project, agent="bob"), "It leaks.")
    item = bench.item(project)

    claim = bench.agent().claim()
    assert claim is not None
    got = bench.agent().get(Lease(item=item), peek=True)
    (held,) = bench.agent().prime().held

    for package in (claim.package, got.package, held.claim.package):
        assert texts(package.findings.of_project) == ["It leaks."]


def test_package_has_no_discovery_of_its_own_item(bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project)
    found_by(bench, item, "mine", agent="ada")
    found_by(bench, bench.item(project, agent="bob"), "bob's")

    findings = bench.queue.views.show(item).findings

    assert texts(findings.of_project) == ["bob's"]


def test_discoveries_of_own_item_hide_no_others(bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project)
    found_by(bench, bench.item(project, agent="bob"), "bob's")
    found_by(bench, item, *map(str, range(45)), agent="ada")

    findings = bench.queue.views.show(item).findings

    assert texts(findings.of_project) == ["bob's"]


def test_package_has_newest_findings_of_many(bench: Bench) -> None:
    project = bench.project()
    needed = bench.item(project, agent="bob")
    other = bench.item(project, agent="bob")
    found_by(bench, needed, *(f"needed {n}" for n in range(12)))
    found_by(bench, other, *(f"other {n}" for n in range(12)))
    item = bench.item(project, depends_on=(needed,))

    findings = bench.queue.views.show(item).findings

    assert texts(findings.of_dependencies) == [
        f"needed {n}" for n in range(7, 12)
    ]
    assert texts(findings.of_project) == [f"other {n}" for n in range(7, 12)]
    assert findings.more


def test_long_finding_is_cut_between_characters(bench: Bench) -> None:
    project = bench.project()
    found_by(bench, bench.item(project, agent="bob"), "x" + "é" * 30_000)
    item = bench.item(project)

    (found,) = bench.queue.views.show(item).findings.of_project

    assert found.cut
    assert found.text == "x" + "é" * 499


def test_long_findings_end_the_search_for_more(bench: Bench) -> None:
    project = bench.project()
    found_by(bench, bench.item(project, agent="bob"), *["x" * 60_000] * 4)
    item = bench.item(project)

    findings = bench.queue.views.show(item).findings

    assert len(findings.of_project) == 2
    assert findings.more


def test_trimmed_and_purged_findings_are_left_out(bench: Bench) -> None:
    gone = bench.item(agent="bob")
    found_by(bench, gone, "gone")
    item = bench.item(depends_on=(gone,))
    bench.delete_key(
        f"discoveries:{bench.queue.views.show(gone).item.project}"
    )

    findings = bench.queue.views.show(item).findings

    assert findings.of_dependencies == ()
    assert findings.are_whole


@pytest.mark.one_lane  # fakeredis raises the error of a pcall in another form
def test_key_of_another_type_hides_no_item(bench: Bench) -> None:
    project = bench.project()
    needed = bench.item(project, agent="bob")
    item = bench.item(project, depends_on=(needed,))
    for key in (f"discoveries:{project}", f"found:{needed}"):
        bench.add_entry(key, "a member of a sorted set")

    package = bench.queue.views.show(item)

    assert package.item.id == item
    assert package.findings.of_project == ()
    bench.delete_key(f"discoveries:{project}")
    bench.delete_key(f"found:{needed}")


# The discoveries of several projects


def test_all_discoveries_are_in_one_order(bench: Bench) -> None:
    items = [bench.item(agent="bob") for _ in range(3)]
    for number in range(30):
        bench.add_discovery(items[number % 3], f"{number + 1}-0", str(number))

    page = bench.queue.views.discoveries()

    assert texts(page) == [str(number) for number in range(30)]
    assert [each.item for each in page.discoveries] == items * 10
    assert not page.more


def test_pages_of_all_projects_repeat_and_skip_nothing(bench: Bench) -> None:
    items = [bench.item(agent="bob") for _ in range(4)]
    for number in range(9):
        for item in items:
            bench.add_discovery(item, f"{1 + number // 3}-{number % 3}", item)
    found: list[str] = []
    cursor, has_more = "0-0", True

    while has_more:
        page = bench.queue.views.discoveries(since=cursor, limit=5)
        found += texts(page)
        cursor, has_more = page.cursor, page.more

    projects = {
        item: bench.queue.views.show(item).item.project for item in items
    }
    assert found == sorted(items, key=lambda item: projects[item]) * 9


def made_in_step(bench: Bench) -> list[str]:
    """Make 420 discoveries of bob in 7 projects with equal ids; return their texts."""
    items = [bench.item(agent="bob") for _ in range(7)]
    items.sort(key=lambda item: bench.queue.views.show(item).item.project)
    for number in range(60):
        for item in items:
            bench.add_discovery(item, f"{number + 1}-0", f"{number} {item}")
    return [f"{number} {item}" for number in range(60) for item in items]


def test_discoveries_are_read_beyond_one_page(bench: Bench) -> None:
    made = made_in_step(bench)

    found = bench.queue.views.discoveries(limit=250)
    rest = bench.queue.views.discoveries(since=found.cursor)

    assert texts(found) == made[:250]
    assert found.cursor == found.discoveries[-1].cursor
    assert found.more
    assert texts(rest) == made[250:]
    assert not rest.more


def test_newest_discoveries_are_read_beyond_one_page(bench: Bench) -> None:
    made = made_in_step(bench)

    found = bench.agent("bob").discoveries(limit=250)
    all_ = bench.agent("bob").discoveries(limit=1000)

    assert texts(found) == made[-250:]
    assert found.cursor == found.discoveries[-1].cursor == all_.cursor
    assert found.more
    assert texts(all_) == made
    assert not all_.more


def test_new_discoveries_are_one_page_at_most(bench: Bench) -> None:
    item = bench.item(agent="bob")
    for number in range(70):
        bench.add_discovery(item, f"{number + 1}-0", str(number))

    first, second = (
        bench.queue.new_discoveries(limit=1000),
        bench.queue.new_discoveries(limit=1000),
    )

    assert (len(first.discoveries), first.more) == (40, True)
    assert (len(second.discoveries), second.more) == (30, False)


def test_cursor_of_purged_project_continues(bench: Bench) -> None:
    items = [bench.item(agent="bob") for _ in range(3)]
    for item in items:
        bench.add_discovery(item, "5-0", item)
    first = bench.queue.views.discoveries(limit=1)
    (gone,) = first.discoveries
    bench.queue.complete_project(gone.project, force=True)
    while bench.queue.purge(gone.project)[0]:
        pass

    rest = bench.queue.views.discoveries(since=first.cursor)

    assert sorted(texts(rest)) == sorted(set(items) - {gone.item})


def test_large_discoveries_make_a_short_page(bench: Bench) -> None:
    item = bench.item(agent="bob")
    for number in range(40):
        bench.add_discovery(item, f"{number + 1}-0", "x" * 60_000)

    first = bench.queue.views.discoveries()
    second = bench.queue.views.discoveries(since=first.cursor)

    assert first.more
    assert len(first.discoveries) < 20
    cursor, _, _ = second.discoveries[0].cursor.partition(":")
    assert cursor == f"{len(first.discoveries) + 1}-0"


@pytest.mark.one_lane
def test_too_many_projects_are_read_from_the_newest(bench: Bench) -> None:
    oldest = bench.item(agent="bob")
    bench.add_discovery(oldest, "1-0", "in the oldest")
    for _ in range(100):
        newest = bench.item(agent="bob")
    bench.add_discovery(newest, "2-0", "in the newest")

    page = bench.queue.views.discoveries()
    project = bench.queue.views.show(oldest).item.project

    assert texts(page) == ["in the newest"]
    assert (page.looked_at, page.project_count) == (100, 101)
    (hint, _) = actions.discoveries(bench.queue).hints
    assert "100 of 101" in hint
    assert texts(bench.queue.views.discoveries(project)) == ["in the oldest"]


# What an agent reads


def test_agent_reads_newest_of_project_of_item(bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project)
    found_by(bench, bench.item(project, agent="bob"), "one", "two", "three")
    found_by(bench, bench.item(agent="bob"), "elsewhere")

    page = bench.agent().discoveries(item, limit=2)

    assert texts(page) == ["two", "three"]
    assert page.more
    assert texts(bench.agent().discoveries(item, since="0-0")) == [
        "one",
        "two",
        "three",
    ]


def test_agent_reads_projects_of_held_and_queued_items(bench: Bench) -> None:
    projects = [bench.project() for _ in range(4)]
    bench.claimed(bench.item(projects[0]))
    bench.item(projects[1])
    bench.bring_to(bench.item(projects[2]), State.COMPLETED)
    for project in projects:
        found_by(bench, bench.item(project, agent="bob"), project)
        bench.wait_for_next_ms()

    page = bench.agent().discoveries()

    assert texts(page) == projects[:2]
    assert page.own_projects == tuple(projects[:2])


def test_agent_without_items_has_no_projects(bench: Bench) -> None:
    found_by(bench, bench.item(agent="bob"), "It leaks.")

    page = bench.agent("cy").discoveries()

    assert (page.discoveries, page.own_projects) == ((), ())


@pytest.mark.parametrize(
    ("read", "refusal"),
    [
        (lambda bench: bench.agent().discoveries("proj_1a2b3c4d"), "NoItem"),
        (lambda bench: bench.agent().new_discoveries("item_1"), "NoItem"),
        (lambda bench: bench.queue.new_discoveries("proj_1"), "NoProject"),
        (lambda bench: bench.queue.views.discoveries("proj_1"), "NoProject"),
        (lambda bench: bench.queue.views.discoveries(since="1"), "Invalid"),
        (lambda bench: bench.agent().discoveries(limit=0), "Invalid"),
    ],
)
def test_unknown_target_or_cursor_is_refused(
    bench: Bench, read: Callable[[Bench], object], refusal: str
) -> None:
    with pytest.raises(getattr(errors, refusal)):
        read(bench)


# New discoveries


def test_new_discoveries_are_read_once(bench: Bench) -> None:
    item = bench.item(agent="bob")
    found_by(bench, item, "one", "two")

    first = bench.queue.new_discoveries()
    second = bench.queue.new_discoveries()
    found_by(bench, item, "three")
    third = bench.queue.new_discoveries()

    assert [texts(page) for page in (first, second, third)] == [
        ["one", "two"],
        [],
        ["three"],
    ]
    assert second.cursor == first.cursor


def test_readers_of_one_name_share_no_cursor(bench: Bench) -> None:
    project = bench.project()
    bench.item(project, agent="planner")
    bench.item(project)
    found_by(bench, bench.item(project, agent="bob"), "It leaks.")

    pages = [
        bench.queue.new_discoveries(project),
        bench.agent("planner").new_discoveries(),
        bench.agent("ada").new_discoveries(),
    ]

    assert [texts(page) for page in pages] == [["It leaks."]] * 3


def test_limit_leaves_rest_of_new_for_next_call(bench: Bench) -> None:
    items = [bench.item(agent="bob") for _ in range(3)]
    for number in range(9):
        bench.add_discovery(items[number % 3], f"{number + 1}-0", str(number))

    pages = [bench.queue.new_discoveries(limit=4) for _ in range(3)]

    assert [texts(page) for page in pages] == [
        ["0", "1", "2", "3"],
        ["4", "5", "6", "7"],
        ["8"],
    ]
    assert [page.more for page in pages] == [True, True, False]


def test_clock_that_went_back_hides_nothing_new(bench: Bench) -> None:
    ahead, behind = bench.item(agent="bob"), bench.item(agent="bob")
    bench.add_discovery(ahead, "2000-0", "by a clock that is ahead")
    bench.queue.new_discoveries()

    bench.add_discovery(behind, "1000-0", "by the clock of another server")

    assert texts(bench.queue.new_discoveries()) == [
        "by the clock of another server"
    ]


def test_new_of_project_are_not_new_among_all(bench: Bench) -> None:
    here, there = bench.item(agent="bob"), bench.item(agent="bob")
    found_by(bench, here, "here")
    found_by(bench, there, "there")

    bench.queue.new_discoveries(bench.queue.views.show(here).item.project)

    assert texts(bench.queue.new_discoveries()) == ["there"]


def test_repeated_request_returns_same_discoveries(bench: Bench) -> None:
    items = [bench.item(agent="bob") for _ in range(2)]
    for number in range(6):
        bench.add_discovery(items[number % 2], f"{number + 1}-0", str(number))
    same = Requests(same="0123456789abcdef")
    bench.queue._scripts._requests = same

    first = bench.queue.new_discoveries(limit=4)
    bench.add_discovery(items[0], "9-0", "newer")
    repeat = bench.queue.new_discoveries(limit=4)

    assert texts(first) == ["0", "1", "2", "3"]
    assert repeat == first


class LosesReplies(ConnectionWrapper):
    """A connection that loses the first reply of a script that acts."""

    has_lost = False

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        reply = super().run_script(script, key, arguments)
        if script.acts and not self.has_lost:
            self.has_lost = True
            raise errors.Unreachable(url="redis://lost", reason="lost")
        return reply


def test_reply_lost_in_outage_loses_no_discovery(bench: Bench) -> None:
    found_by(bench, bench.item(agent="bob"), "one")
    connection = LosesReplies(bench.queue._scripts.connection)
    kept = KeptRequest()

    def read() -> DiscoveryPage:
        queue = Queue(
            connection,
            bench.namespace,
            bench.queue._scripts.caller,
            requests=Requests(store=kept),
        )
        return queue.new_discoveries()

    with pytest.raises(errors.Unreachable):
        read()
    again = read()

    assert texts(again) == ["one"]
    assert texts(read()) == []


def test_kept_reply_of_new_discoveries_has_no_text(bench: Bench) -> None:
    found_by(bench, bench.item(agent="bob"), "SECRET")

    bench.queue.new_discoveries()

    assert bench.kept_replies()
    assert "SECRET" not in repr(bench.kept_replies())


@pytest.mark.parametrize("value", ["", "no cursor", "1-", "9" * 30])
def test_damaged_cursor_of_reader_is_the_start(
    bench: Bench, value: str
) -> None:
    item = bench.item(agent="bob")
    project = bench.queue.views.show(item).item.project
    found_by(bench, item, "It leaks.")
    bench.queue.new_discoveries()
    bench.set_reader(project, "orchestrator:planner", value)

    assert texts(bench.queue.new_discoveries()) == ["It leaks."]
    assert texts(bench.queue.new_discoveries()) == []


@pytest.mark.one_lane  # fakeredis raises the error of a pcall in another form
def test_readers_of_another_type_are_replaced(bench: Bench) -> None:
    item = bench.item(agent="bob")
    project = bench.queue.views.show(item).item.project
    found_by(bench, item, "It leaks.")
    bench.add_entry(f"readers:{project}", "a member of a sorted set")

    assert bench.queue.views.count_new_discoveries().count == 1
    assert texts(bench.queue.new_discoveries()) == ["It leaks."]
    assert texts(bench.queue.new_discoveries()) == []


# How many are new


def test_new_discoveries_are_counted(bench: Bench) -> None:
    items = [bench.item(agent="bob") for _ in range(2)]
    project = bench.queue.views.show(items[0]).item.project
    for item in items:
        found_by(bench, item, "one", "two")

    before = bench.queue.views.count_new_discoveries()
    in_project = bench.queue.views.progress(project).new_discoveries
    bench.queue.new_discoveries(limit=3)
    after = bench.queue.views.count_new_discoveries()

    assert (before.count, before.more) == (4, False)
    assert in_project.count == 2
    assert after.count == 1


def test_many_new_discoveries_are_counted_to_hundred(bench: Bench) -> None:
    item = bench.item(agent="bob")
    for number in range(130):
        bench.add_discovery(item, f"{number + 1}-0")

    new = bench.queue.views.count_new_discoveries()

    assert (new.count, new.more) == (100, True)


def test_counting_changes_nothing(bench: Bench) -> None:
    found_by(bench, bench.item(agent="bob"), "It leaks.")
    before = bench.everything()

    bench.queue.views.count_new_discoveries()
    bench.queue.views.discoveries()
    bench.agent().discoveries()

    assert bench.everything() == before


def test_purge_removes_cursors_of_readers(bench: Bench) -> None:
    item = bench.item(agent="bob")
    project = bench.queue.views.show(item).item.project
    found_by(bench, item, "It leaks.")
    bench.queue.new_discoveries()
    bench.queue.complete_project(project, force=True)

    while bench.queue.purge(project)[0]:
        pass

    assert not [name for name in bench.everything() if project in name]


@pytest.mark.parametrize("extra", [0, 1])
def test_discoveries_of_project_have_32_mib(bench: Bench, extra: int) -> None:
    lease, me = bench.claimed(), bench.agent()
    project = bench.queue.views.show(lease.item).item.project
    for text in ("first", "second"):
        me.discover(lease, text)
    key = f"{keys.tag(bench.namespace)}project:{project}"
    bench.raw.hset(key, "discovered", 32 * 1024 * 1024 - len("third"))

    me.discover(lease, "third" + "x" * extra)

    texts = [
        found.text
        for found in bench.queue.views.discoveries(project).discoveries
    ]
    progress = bench.queue.views.progress(project)
    if extra:
        assert texts == ["second", "thirdx"]
        assert progress.dropped_discoveries == 1
        assert "dropped, the oldest: 1 discovery" in tables.project_progress(
            progress
        )
    else:
        assert texts == ["first", "second", "third"]
        assert progress.dropped_discoveries == 0


def test_large_discoveries_are_dropped_by_their_bytes(bench: Bench) -> None:
    lease, me = bench.claimed(), bench.agent()
    project = bench.queue.views.show(lease.item).item.project
    text = "x" * (limits.TEXT_BYTES - 3)
    for number in range(257):
        me.discover(lease, f"{number:03}{text}", impact=f"{number:03}{text}")

    stream = f"{keys.tag(bench.namespace)}discoveries:{project}"
    entries = cast("Any", bench.raw).xrange(stream)
    assert [int(fields["text"][:3]) for _, fields in entries] == list(
        range(1, 257)
    )


def test_discoveries_of_older_version_are_dropped_first(bench: Bench) -> None:
    lease, me = bench.claimed(), bench.agent()
    project = bench.queue.views.show(lease.item).item.project
    for number in range(3):
        bench.add_discovery(lease.item, f"{number + 1}-0", f"old {number}")
    key = f"{keys.tag(bench.namespace)}project:{project}"
    bench.raw.hset(key, "discovered", 32 * 1024 * 1024)

    for text in ("new", "newer"):
        me.discover(lease, text)

    found = bench.queue.views.discoveries(project).discoveries
    assert [each.text for each in found] == ["new", "newer"]


def test_damaged_number_does_not_stop_discoveries(bench: Bench) -> None:
    lease, me = bench.claimed(), bench.agent()
    project = bench.queue.views.show(lease.item).item.project
    key = f"{keys.tag(bench.namespace)}project:{project}"
    bench.raw.hset(key, "discovered", "many")

    me.discover(lease, "new")

    assert bench.raw.hget(key, "discovered") == "3"
