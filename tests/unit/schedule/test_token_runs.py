"""Runs of schedules that the client of an access token has added: the token limits them."""

from support.builders import PLAN, Bench, new_schedule
from support.gateway_client import client
from taskorch.domain.access_token import AccessTokenEdit
from taskorch.domain.audit_line import AuditFilter
from taskorch.domain.item import Caller
from taskorch.domain.role import Role
from taskorch.domain.schedule import Schedule
from taskorch.queue.queue import Queue
from taskorch_orchestrator.schedule import runs

ALL = AuditFilter(token="", name="", verb="", since_ms=0)
TWO = PLAN + "  - {name: b, title: B, agent: bob}\n"


def ran(bench: Bench, at: int = 1000) -> Schedule:
    """Let the service run the only schedule, and return it."""
    bench.make_due("nightly", at)
    runs.run_due(bench.queue)
    (schedule,) = bench.queue.schedules().list()
    return schedule


def test_schedule_keeps_token_of_its_client(bench: Bench) -> None:
    behind, token = client(bench)

    behind.queue.schedules().create(new_schedule("theirs"))
    bench.queue.schedules().create(new_schedule("ours"))

    listed = bench.queue.schedules().list()
    assert {each.name: each.access_token for each in listed} == {
        "theirs": token,
        "ours": "",
    }


def test_items_of_run_count_for_token(bench: Bench) -> None:
    bench.stay_in_one_day()
    behind, token = client(bench, open_items=2, agents=1)
    behind.queue.schedules().create(new_schedule("nightly"))

    schedule = ran(bench)

    project = bench.queue.views.progress(schedule.last_project)
    assert schedule.last_error == ""
    assert bench.members(f"open_items:{token}") == [project.items[0].id]
    (listed,) = bench.queue.access_tokens().list()
    assert (listed.used.open_items, listed.used.agents) == (1, 1)
    assert listed.used.bytes_a_day > 0


def test_run_over_quota_is_recorded(bench: Bench) -> None:
    behind, token = client(bench, open_items=1)
    behind.queue.schedules().create(new_schedule("nightly", plan=TWO))

    schedule = ran(bench)

    assert schedule.last_error == (
        f"The access token {token} has 0 open items, and may have 1."
    )
    assert (schedule.last_project, schedule.runs) == ("", 1)
    assert bench.queue.views.projects() == ()


def test_run_over_bytes_or_agents_is_recorded(bench: Bench) -> None:
    behind, token = client(bench, agents=1)
    behind.queue.schedules().create(new_schedule("nightly", plan=TWO))

    over_agents = ran(bench)
    edit = AccessTokenEdit(agents=0, bytes_a_day=1)
    bench.queue.access_tokens().edit(token, edit)
    over_bytes = ran(bench, 2000)

    assert "may name 1" in over_agents.last_error
    assert "may write 1 a day" in over_bytes.last_error
    assert bench.queue.views.projects() == ()


def test_run_with_quota_again_goes_on(bench: Bench) -> None:
    behind, token = client(bench, open_items=1)
    behind.queue.schedules().create(new_schedule("nightly"))
    first = ran(bench)
    refused = ran(bench, 2000)

    bench.queue.complete_project(first.last_project, force=True)
    again = ran(bench, 3000)

    assert "1 open items" in refused.last_error
    assert again.last_error == ""
    assert again.last_project != first.last_project
    assert len(bench.members(f"open_items:{token}")) == 1


def test_run_of_revoked_token_is_recorded(bench: Bench) -> None:
    behind, token = client(bench)
    behind.queue.schedules().create(new_schedule("nightly"))
    bench.queue.access_tokens().revoke(token)

    schedule = ran(bench)

    assert f"The access token {token}" in schedule.last_error
    assert "revoked or has expired" in schedule.last_error
    assert (schedule.access_token, schedule.runs) == (token, 1)
    assert schedule.next_at > bench.now_ms()
    assert bench.queue.views.projects() == ()


def test_run_of_expired_token_is_recorded(bench: Bench) -> None:
    behind, token = client(bench)
    behind.queue.schedules().create(new_schedule("nightly"))
    bench.expire_access_token(token)

    schedule = ran(bench)

    assert "revoked or has expired" in schedule.last_error
    assert bench.queue.views.projects() == ()


def test_run_of_rotated_token_goes_on(bench: Bench) -> None:
    behind, token = client(bench)
    behind.queue.schedules().create(new_schedule("nightly"))
    bench.queue.access_tokens().rotate(token)

    schedule = ran(bench)

    assert (schedule.last_error, schedule.access_token) == ("", token)
    assert len(bench.members(f"open_items:{token}")) == 1


def test_run_of_token_without_the_role_is_recorded(bench: Bench) -> None:
    behind, token = client(bench)
    behind.queue.schedules().create(new_schedule("nightly"))
    edit = AccessTokenEdit(role=Role.VIEWER)
    bench.queue.access_tokens().edit(token, edit)

    schedule = ran(bench)

    assert "its role is viewer, which may not run create" in (
        schedule.last_error
    )
    assert bench.queue.views.projects() == ()


def test_run_without_token_has_no_quota(bench: Bench) -> None:
    behind, token = client(bench, open_items=1)
    bench.queue.schedules().create(new_schedule("nightly", plan=TWO))

    schedule = ran(bench)

    assert schedule.last_error == ""
    assert bench.members(f"open_items:{token}") == []
    assert list(bench.queue.audit_log().newest(ALL, 10)) == []
    assert behind.queue.views.projects()


def test_schedule_of_earlier_version_runs_without_token(bench: Bench) -> None:
    bench.queue.schedules().create(new_schedule("nightly"))
    key = f"taskorch:{{{bench.namespace}}}:schedule:nightly"

    stored = bench.raw.hkeys(key)
    schedule = ran(bench)

    assert "access_token" not in str(stored)
    assert (schedule.access_token, schedule.last_error) == ("", "")
    assert len(bench.queue.views.projects()) == 1


def test_run_leaves_a_line_that_names_the_service(bench: Bench) -> None:
    behind, token = client(bench)
    behind.queue.schedules().create(new_schedule("nightly"))
    service = Queue(
        bench.queue.connection, bench.namespace, Caller(agent="service")
    )

    runs.run_due(service)

    line = bench.queue.audit_log().newest(ALL, 1)[0]
    assert (line.token, line.name, line.caller, line.verb) == (
        *(token, "planner", "service", "create"),
    )


def test_run_by_hand_counts_for_who_asks(bench: Bench) -> None:
    behind, token = client(bench)
    other, own = client(bench, open_items=1)
    behind.queue.schedules().create(new_schedule("nightly"))
    bench.queue.access_tokens().revoke(token)

    runs.run_now(other.queue, "nightly", other.queue.apply)
    runs.run_now(bench.queue, "nightly", bench.queue.apply)

    assert len(bench.members(f"open_items:{own}")) == 1
    assert len(bench.queue.views.projects()) == 2


def test_repeat_of_run_counts_its_items_once(bench: Bench) -> None:
    behind, token = client(bench, open_items=1)
    behind.queue.schedules().create(new_schedule("nightly"))
    ran(bench)
    # the service ended after it had created the project, before it recorded that
    bench.set_schedule("nightly", running="1000")
    bench.add_entry("schedules", "nightly", 2000)

    runs.run_due(bench.queue)

    (schedule,) = bench.queue.schedules().list()
    assert (schedule.last_error, schedule.runs) == ("", 2)
    assert len(bench.members(f"open_items:{token}")) == 1


def test_damaged_token_is_reported(bench: Bench) -> None:
    bench.queue.schedules().create(new_schedule("nightly"))
    bench.set_schedule("nightly", access_token="tok_x@proj_1")

    assert bench.queue.schedules().list() == ()
    runs.run_due(bench.queue)

    assert bench.queue.damage == {
        ("schedule", "nightly"): "its access_token cannot be right"
    }
    assert bench.queue.views.projects() == ()
