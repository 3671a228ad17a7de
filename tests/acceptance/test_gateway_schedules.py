"""Schedules that clients of a gateway add: their tokens limit what the service creates."""

from typing import Any

import pytest
from support import services
from support.builders import PLAN, Bench
from support.commands import Shell, eventually
from support.gateways import Gateway

#: A run beside those that a test makes due would count as well.
RARE = ("--cron", "0 6 29 2 *")
OF_TWO = PLAN + "  - {name: b, title: B, agent: ada}\n"


def token_of(client: Shell) -> str:
    """Return the id of a client's token."""
    return client.variables["TASKORCH_TOKEN"][:12]


def add(client: Shell, name: str, plan: str = PLAN) -> None:
    """Add a schedule."""
    (client.folder / "plan.yaml").write_text(plan, encoding="utf-8")
    added = client.orchestrate("schedule", "add", name, "plan.yaml", *RARE)
    assert added.code == 0, added.stderr


def planner(gateway: Gateway, name: str, *options: str) -> Shell:
    """Return a shell of an orchestrator with a token of its own."""
    token = gateway.token(name, "orchestrator", *options)
    return gateway.client(token, ORCHESTRATOR_ID=name)


def listed(shell: Shell) -> dict[str, dict[str, Any]]:
    """Return the schedules by name."""
    found = shell.orchestrate("--json", "schedule", "list").data()
    return {each["name"]: each for each in found}


def all_ran(bench: Bench) -> bool:
    """Return whether each schedule has run once."""
    return {each.runs for each in bench.queue.schedules().list()} == {1}


@pytest.mark.parametrize("over", ["redis", "gateway"])
def test_service_runs_schedules_under_their_tokens(
    gateway: Gateway, bench: Bench, over: str
) -> None:
    """Given a schedule of each kind, when the service runs them, it obeys the tokens."""
    small = planner(gateway, "small", "--max-open-items", "1")
    gone, renewed = planner(gateway, "gone"), planner(gateway, "renewed")
    add(small, "fits")
    add(small, "too-large", OF_TWO)
    add(gone, "of-revoked")
    add(renewed, "of-rotated")
    own = gateway.shell
    add(own, "of-nobody", OF_TWO)
    own.orchestrate("token", "revoke", token_of(gone))
    own.orchestrate("token", "rotate", token_of(renewed))
    for name in listed(own):
        bench.make_due(name)
    where = own
    if over == "gateway":
        where = gateway.client(gateway.token("keeper", "admin"))

    with services.running(where, "--no-rq") as [service]:
        eventually(lambda: all_ran(bench))
        code = service.stop()

    found = listed(own)
    table = own.orchestrate("schedule", "list").stdout.splitlines()
    errors = {name: each["last_error"] for name, each in found.items()}
    tokens = {name: each["access_token"] for name, each in found.items()}
    assert code == 0
    assert tokens == {
        "fits": token_of(small),
        "too-large": token_of(small),
        "of-revoked": token_of(gone),
        "of-rotated": token_of(renewed),
        "of-nobody": "",
    }
    assert f"{token_of(small)} has " in errors["too-large"]
    assert "may have 1" in errors["too-large"]
    assert "revoked or has expired" in errors["of-revoked"]
    assert (errors["fits"], errors["of-rotated"], errors["of-nobody"]) == (
        *("", "", ""),
    )
    assert table[0].split()[-3:] == ["TOKEN", "LAST", "ERROR"]
    assert token_of(renewed) in "".join(table)
    assert len(bench.members(f"open_items:{token_of(small)}")) == 1
    assert len(bench.members(f"open_items:{token_of(renewed)}")) == 1
    assert len(bench.queue.views.projects()) == 3
