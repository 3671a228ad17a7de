"""The audit log as administrators read it, and as gateways add to it."""

from itertools import islice

import pytest
from support.builders import Bench
from support.gateway_client import client
from taskorch.domain import errors
from taskorch.domain.audit_line import AuditFilter, Refusal
from taskorch.domain.frozen import replace
from taskorch.queue.audit_log import AuditLines

ALL = AuditFilter(token="", name="", verb="", since_ms=0)
REFUSAL = Refusal(
    token="",
    name="",
    role="",
    verb="claim",
    outcome="TOKEN_REFUSED",
    address="192.0.2.7",
)


@pytest.fixture
def log(bench: Bench) -> AuditLines:
    return bench.queue.audit_log()


def wanted(**fields: str | int) -> AuditFilter:
    return replace(ALL, **fields)


def test_refusals_are_lines_with_a_number(log: AuditLines) -> None:
    log.note({REFUSAL: 3})

    (line,) = log.newest(ALL, 10)
    assert (line.outcome, line.count, line.address) == (
        *("TOKEN_REFUSED", 3, "192.0.2.7"),
    )
    assert (line.token, line.verb, line.ids) == ("", "claim", ())


def test_newest_lines_come_first_on_all_pages(
    bench: Bench, log: AuditLines
) -> None:
    behind, _ = client(bench)
    projects = [behind.queue.project("x") for _ in range(450)]

    found = log.newest(ALL, 1000)

    assert [line.ids[0] for line in found] == projects[::-1]
    assert [line.ids[0] for line in log.newest(ALL, 3)] == projects[:-4:-1]


def test_page_before_a_cursor_goes_on(bench: Bench, log: AuditLines) -> None:
    behind, _ = client(bench)
    projects = [behind.queue.project("x") for _ in range(5)]

    first = log.before("", ALL, limit=3)
    rest = log.before(first.cursor, ALL, limit=3)

    assert [line.ids[0] for line in first.lines] == projects[:1:-1]
    assert [line.ids[0] for line in rest.lines] == projects[1::-1]
    assert (first.has_more, rest.has_more) == (True, False)


def test_search_of_lines_ends_after_its_calls(
    bench: Bench, log: AuditLines
) -> None:
    behind, _ = client(bench)
    oldest = behind.queue.project("x")
    behind.queue.complete_project(oldest)
    for _ in range(150):
        behind.queue.project("x")

    first = log.before("", wanted(verb="close_project"), limit=3, most_calls=1)
    rest = log.before(first.cursor, wanted(verb="close_project"), limit=3)

    assert (first.lines, first.has_more) == ((), True)
    assert [line.ids[0] for line in rest.lines] == [oldest]


def test_filters_leave_other_lines_out(bench: Bench, log: AuditLines) -> None:
    one, token = client(bench)
    other, _ = client(bench)
    project = one.queue.project("x")
    one.queue.complete_project(project)
    other.queue.project("x")
    log.note({REFUSAL: 1})

    of_token = log.newest(wanted(token=token), 10)
    of_verb = log.newest(wanted(verb="project"), 10)
    of_name = log.newest(wanted(name="planner"), 10)
    of_hour = log.newest(wanted(since_ms=3_600_000), 10)

    assert [line.verb for line in of_token] == ["close_project", "project"]
    assert len(of_verb) == 2
    assert len(of_name) == 3
    assert len(of_hour) == 4


def test_old_lines_are_outside_of_the_time(
    bench: Bench, log: AuditLines
) -> None:
    log.note({REFUSAL: 1})
    bench.wait_for_next_ms()
    bench.wait_for_next_ms()

    assert log.newest(wanted(since_ms=1), 10) == ()


def test_followed_lines_come_in_their_order(
    bench: Bench, log: AuditLines
) -> None:
    behind, _ = client(bench)
    projects = [behind.queue.project("x") for _ in range(3)]

    followed = islice(log.follow(ALL, lambda read: read()), 3)

    assert [line.ids[0] for line in followed] == projects


def test_line_that_is_damaged_is_left_out(
    bench: Bench, log: AuditLines
) -> None:
    log.note({REFUSAL: 1})
    key = f"taskorch:{{{bench.namespace}}}:audit_log"
    bench.raw.xadd(key, {"token": "\x1b[31m"})

    assert len(log.newest(ALL, 10)) == 1
    assert bench.queue.damage


@pytest.mark.parametrize(
    "fields", [{"token": "tok_1"}, {"name": "a b"}, {"since_ms": -1}]
)
def test_filter_that_cannot_fit_is_refused(
    log: AuditLines, fields: dict[str, str | int]
) -> None:
    with pytest.raises((errors.Invalid, errors.NoAccessToken)):
        log.newest(wanted(**fields), 10)
