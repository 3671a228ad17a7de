"""Calls of a gateway's clients: their lines in the audit log, and their quotas."""

import pytest
from support.builders import Bench
from support.gateway_client import client
from taskorch.domain import errors
from taskorch.domain.access_token import AccessTokenEdit
from taskorch.domain.audit_line import AuditFilter, AuditLine
from taskorch.domain.item import NewItem, State
from taskorch.domain.role import Role
from taskorch.queue.queue import Queue
from taskorch.queue.requests import Requests

ALL = AuditFilter(token="", name="", verb="", since_ms=0)
DAY_MS = 24 * 3_600_000


def lines(bench: Bench) -> list[AuditLine]:
    """Return the lines of the audit log, the oldest first."""
    return list(bench.queue.audit_log().newest(ALL, 1000))[::-1]


def test_step_leaves_a_line_with_its_ids(bench: Bench) -> None:
    behind, token = client(bench)

    project = behind.queue.project("Secret title")
    item = behind.queue.create(project, NewItem(title="Secret", agent="ada"))

    first, second = lines(bench)
    assert (first.token, first.name, first.role, first.caller) == (
        *(token, "planner", "orchestrator", "planner"),
    )
    assert (first.verb, first.ids, first.outcome) == (
        *("project", (project,), "done"),
    )
    assert (second.verb, second.ids) == ("create", (project, item))
    assert second.at > 0
    assert "ecret" not in str(bench.everything()["audit_log"])


def test_claim_leaves_a_line_with_the_item(bench: Bench) -> None:
    item = bench.item(agent="planner")
    behind, _ = client(bench, Role.WORKER)

    behind.agent("planner").claim()

    (line,) = lines(bench)
    assert (line.verb, line.ids) == ("claim", (item,))


def test_administrator_leaves_the_name_that_it_acted_under(
    bench: Bench,
) -> None:
    item = bench.item()
    behind, _ = client(bench, Role.ADMIN)

    behind.agent("ada").note(item, "memo")

    assert [(line.name, line.caller) for line in lines(bench)] == [
        ("planner", "ada")
    ]


def test_call_without_effect_leaves_no_line(bench: Bench) -> None:
    item = bench.item()
    behind, _ = client(bench, Role.ADMIN)

    behind.queue.views.show(item)
    behind.queue.views.projects()
    assert behind.agent("planner").claim() is None
    assert behind.agent("planner").check().count == 0

    assert lines(bench) == []


def test_refused_step_leaves_the_word_of_its_error(bench: Bench) -> None:
    item = bench.completed_item()
    behind, _ = client(bench)

    with pytest.raises(errors.WrongState):
        behind.queue.comment(item, "late")
    with pytest.raises(errors.NoItem):
        behind.queue.cancel("item_00000000")

    assert [(line.verb, line.outcome) for line in lines(bench)] == [
        ("comment", "WRONG_STATE"),
        ("cancel", "NO_ITEM"),
    ]


def test_repeat_of_a_step_leaves_no_second_line(bench: Bench) -> None:
    behind, _ = client(bench)
    queue = behind.queue
    again = Queue(
        queue.connection,
        queue.namespace,
        queue.caller,
        requests=Requests(same="0123456789abcdef"),
    )

    assert len({again.project("Once") for _ in range(3)}) == 1

    assert len(lines(bench)) == 1


def test_call_of_redis_leaves_no_line(bench: Bench) -> None:
    bench.completed_item()

    assert lines(bench) == []


def test_line_replaces_a_key_of_another_type(bench: Bench) -> None:
    behind, _ = client(bench)
    bench.raw.set(f"taskorch:{{{bench.namespace}}}:audit_log", "x")

    behind.queue.project("One")

    assert [line.verb for line in lines(bench)] == ["project"]


def test_revoked_token_is_refused_by_scripts(bench: Bench) -> None:
    behind, token = client(bench)
    bench.queue.access_tokens().revoke(token)
    before = bench.everything()

    with pytest.raises(errors.TokenRefused):
        behind.queue.project("One")
    with pytest.raises(errors.TokenRefused):
        behind.queue.views.projects()

    assert bench.everything() == before


def test_expired_token_is_refused_by_scripts(bench: Bench) -> None:
    behind, token = client(bench)
    bench.expire_access_token(token)

    with pytest.raises(errors.TokenRefused):
        behind.queue.project("One")


def test_token_of_another_role_is_refused_by_scripts(bench: Bench) -> None:
    behind, token = client(bench)
    edit = AccessTokenEdit(role=Role.VIEWER)
    bench.queue.access_tokens().edit(token, edit)

    with pytest.raises(errors.NotAllowed, match="may not run project"):
        behind.queue.project("One")

    assert behind.queue.views.projects() == ()
    assert [line.outcome for line in lines(bench)] == ["NOT_ALLOWED"]


def test_open_items_over_the_quota_are_refused(bench: Bench) -> None:
    behind, token = client(bench, open_items=2)
    project = behind.queue.project("One")
    for _ in range(2):
        behind.queue.create(project, NewItem(title="An item"))

    with pytest.raises(errors.QuotaReached) as refused:
        behind.queue.create(project, NewItem(title="Too many"))

    assert refused.value.details == {
        "access_token": token,
        "what": "open_items",
        "used": 2,
        "most": 2,
        "free_at": "",
    }
    assert "2 open items" in str(refused.value)
    assert len(bench.queue.views.list(project=project).items) == 2
    assert lines(bench)[-1].outcome == "QUOTA"


def test_plan_over_the_quota_creates_nothing(bench: Bench) -> None:
    behind, _ = client(bench, open_items=2)
    project = behind.queue.project("One")

    with pytest.raises(errors.QuotaReached):
        behind.queue.create_many(project, [NewItem(title="An item")] * 3)

    assert bench.queue.views.list(project=project).items == ()


@pytest.mark.parametrize("state", [State.COMPLETED, State.CANCELLED])
def test_ended_item_frees_its_place(bench: Bench, state: State) -> None:
    behind, _ = client(bench, open_items=1)
    project = behind.queue.project("One")
    item = behind.queue.create(project, NewItem(title="First", agent="ada"))

    bench.bring_to(item, state)

    assert behind.queue.create(project, NewItem(title="Second"))


def test_failed_item_keeps_its_place(bench: Bench) -> None:
    behind, _ = client(bench, open_items=1)
    project = behind.queue.project("One")
    item = behind.queue.create(project, NewItem(title="First", agent="ada"))

    bench.bring_to(item, State.FAILED)

    with pytest.raises(errors.QuotaReached):
        behind.queue.create(project, NewItem(title="Second"))


def test_requeued_item_takes_its_place_again(bench: Bench) -> None:
    behind, token = client(bench, open_items=1)
    project = behind.queue.project("One")
    item = behind.queue.create(project, NewItem(title="First", agent="ada"))
    bench.bring_to(item, State.COMPLETED)

    bench.queue.requeue(item)

    assert bench.members(f"open_items:{token}") == [item]


def test_quarantined_item_frees_its_place(bench: Bench) -> None:
    behind, token = client(bench)
    project = behind.queue.project("One")
    item = behind.queue.create(project, NewItem(title="First"))

    bench.queue.quarantine("item", item, "test")

    assert bench.members(f"open_items:{token}") == []


def test_force_closed_project_frees_all_places(bench: Bench) -> None:
    behind, token = client(bench)
    project = behind.queue.project("One")
    behind.queue.create_many(project, [NewItem(title="An item")] * 40)

    bench.queue.complete_project(project, force=True)

    assert bench.members(f"open_items:{token}") == []


def test_bytes_over_the_quota_are_refused_until_midnight(
    bench: Bench,
) -> None:
    bench.stay_in_one_day()
    behind, token = client(bench, bytes_a_day=2000)
    project = behind.queue.project("One")

    with pytest.raises(errors.QuotaReached) as refused:
        behind.queue.create(
            project, NewItem(title="x", description="y" * 2000)
        )

    details = refused.value.details
    free_at = int(str(details["free_at"]))
    assert (details["what"], details["most"]) == ("bytes", 2000)
    assert free_at % DAY_MS == 0
    assert 0 < free_at - bench.now_ms() <= DAY_MS
    assert "again from" in refused.value.hint()
    assert behind.queue.create(project, NewItem(title="Small"))
    assert token


def test_bytes_of_yesterday_do_not_count(bench: Bench) -> None:
    bench.stay_in_one_day()
    behind, token = client(bench, bytes_a_day=200)
    behind.queue.project("x" * 150)
    key = f"taskorch:{{{bench.namespace}}}:access_token:{token}"
    today = int(str(bench.raw.hget(key, "day")))

    bench.raw.hset(key, "day", today - 1)

    assert behind.queue.project("y" * 150)
    with pytest.raises(errors.QuotaReached):
        behind.queue.project("z" * 150)


def test_agents_over_the_quota_are_refused(bench: Bench) -> None:
    behind, token = client(bench, agents=2)
    project = behind.queue.project("One")
    item = behind.queue.create(project, NewItem(title="x", agent="ada"))
    behind.queue.assign(item, "bob")

    with pytest.raises(errors.QuotaReached) as refused:
        behind.queue.assign(item, "eve")
    with pytest.raises(errors.QuotaReached):
        behind.queue.create(project, NewItem(title="x", agent="eve"))

    assert refused.value.details["what"] == "agents"
    behind.queue.assign(item, "ada")
    assert sorted(bench.members(f"access_token:{token}:agents")) == [
        "ada",
        "bob",
    ]
    assert bench.queue.views.show(item).item.agent == "ada"


def test_list_shows_quotas_and_their_use(bench: Bench) -> None:
    bench.stay_in_one_day()
    behind, token = client(bench, open_items=5, bytes_a_day=1000, agents=3)
    project = behind.queue.project("One")
    behind.queue.create(project, NewItem(title="x", agent="ada"))

    (listed,) = bench.queue.access_tokens().list()

    assert listed.id == token
    assert listed.quotas.open_items == 5
    assert (listed.used.open_items, listed.used.agents) == (1, 1)
    assert 0 < listed.used.bytes_a_day < 1000


def test_revoked_token_leaves_no_keys(bench: Bench) -> None:
    behind, token = client(bench)
    project = behind.queue.project("One")
    behind.queue.create(project, NewItem(title="x", agent="ada"))

    bench.queue.access_tokens().revoke(token)

    assert not [name for name in bench.everything() if token in name]


def test_export_leaves_the_token_of_an_item_out(bench: Bench) -> None:
    behind, token = client(bench)
    project = behind.queue.project("One")
    behind.queue.create(project, NewItem(title="x"))

    assert token not in str(list(bench.queue.backup.lines()))


@pytest.mark.parametrize("most", [-1, 10**13 + 1])
def test_quota_out_of_range_is_refused(bench: Bench, most: int) -> None:
    with pytest.raises(errors.Invalid):
        client(bench, open_items=most)
