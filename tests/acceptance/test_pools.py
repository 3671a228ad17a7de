"""Pools with real commands: they are assigned, claimed, shown, backed up and mirrored."""

import json

from support.builders import Bench
from support.commands import Shell

POOLS = {"AGENT_POOLS": "backend,python"}


def test_pool_item_goes_from_command_to_command(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    item = bench.item(project, agent="")
    ada = shell.having(AGENT_ID="ada", **POOLS)

    assigned = shell.orchestrate("assign", item, "--pool", "backend")
    checked = ada.worker("check")
    popped = ada.worker("pop")
    moved = shell.orchestrate("assign", item, "--pool", "python")

    assert assigned.code == 0, assigned.stderr
    assert f"Assigned {item} to the pool backend." in assigned.stdout
    assert "No agent takes items from the pool backend yet" in assigned.stderr
    assert "Ready in your pools: backend 1, python 0." in checked.stdout
    assert item in popped.stdout
    assert moved.code == 6
    released = ada.worker("release", item)
    assert released.code == 0, released.stderr
    assert (
        shell.orchestrate("show", item).stdout.count("from the pool backend")
        == 1
    )


def test_option_names_the_pools_of_a_claim(shell: Shell, bench: Bench) -> None:
    created = shell.orchestrate(
        "create", bench.project(), "An item", "--pool", "python"
    )
    bob = shell.having(AGENT_ID="bob")

    nothing = bob.worker("pop")
    claimed = bob.worker(
        "--json", "pop", "--pool", "backend", "--pool", "python"
    )

    assert nothing.code == 8
    item = claimed.data()
    assert (item["id"], item["agent"], item["pool"]) == (
        created.stdout.strip(),
        "bob",
        "python",
    )


def test_run_names_the_setting_for_a_pool(shell: Shell) -> None:
    refused = shell.worker("run", "--pool", "backend", "--", "true")

    assert refused.code == 2
    assert "AGENT_POOLS=backend" in refused.stderr


def test_several_short_ids_are_assigned_to_a_pool(
    shell: Shell, bench: Bench
) -> None:
    items = [bench.item(agent="") for _ in range(2)]

    ran = shell.orchestrate(
        "--json", "assign", *(item[5:] for item in items), "--pool", "backend"
    )
    neither = shell.orchestrate("assign", items[0])
    none = shell.orchestrate("assign", "--pool", "backend")

    assert [each["id"] for each in ran.data()] == items
    assert {each["pool"] for each in ran.data()} == {"backend"}
    assert (neither.code, none.code) == (2, 2)


def test_lists_show_pools_and_what_is_stuck(
    shell: Shell, bench: Bench
) -> None:
    item = bench.pool_item()

    stuck = shell.orchestrate("stuck")
    shell.having(AGENT_ID="ada", **POOLS).worker("check")
    agents = shell.orchestrate("agents")
    status = shell.orchestrate("status")
    listed = shell.orchestrate("list", "--pool", "backend")
    document = json.loads(shell.orchestrate("--json", "agents").stdout)

    assert "pool_without_agents" in stuck.stdout
    for shown in (agents.stdout, status.stdout):
        assert "POOL" in shown
        assert "backend" in shown
    assert item in listed.stdout
    assert document["data"][0]["pools"] == ["backend", "python"]
    (backend, _) = document["meta"]["pools"]
    assert (backend["name"], backend["queued"]) == ("backend", 1)


def test_empty_setting_leaves_all_pools(shell: Shell, bench: Bench) -> None:
    item = bench.pool_item()
    ada = shell.having(AGENT_ID="ada")
    ada.having(**POOLS).worker("check")

    ada.worker("check")
    without_setting = shell.orchestrate("--json", "stuck").data()
    ada.having(AGENT_POOLS="").worker("check")
    left = shell.orchestrate("--json", "stuck").data()

    assert without_setting == []
    assert [(each["id"], each["why"]) for each in left] == [
        (item, "pool_without_agents")
    ]


def test_bad_pools_are_usage_errors(shell: Shell) -> None:
    for pools in (
        "a:b",
        "backend,backend",
        ",".join(f"p{n}" for n in range(17)),
    ):
        ran = shell.having(AGENT_ID="ada", AGENT_POOLS=pools).worker("check")

        assert ran.code == 2, ran.stdout
        assert "pools (AGENT_POOLS)" in ran.stderr


def test_export_keeps_pools_and_their_agents(
    shell: Shell, bench: Bench
) -> None:
    waiting, held = bench.pool_item(), bench.pool_item(priority=0)
    ada = shell.having(AGENT_ID="ada", **POOLS)
    ada.worker("pop")
    file = shell.folder / "all.jsonl"
    shell.orchestrate("export", str(file))
    copy = shell.having(TASKORCH_NAMESPACE=f"{bench.namespace}-copy")

    imported = copy.orchestrate("import", str(file))
    agents = json.loads(copy.orchestrate("--json", "agents").stdout)
    doctor = copy.orchestrate("doctor")
    popped = copy.having(AGENT_ID="eve", **POOLS).worker("--json", "pop")

    assert imported.code == 0, imported.stderr
    assert agents["meta"]["pools"][0]["member_count"] == 1
    assert agents["meta"]["pools"][0]["queued"] == 1
    assert "the item counts of projects and agents are right" in doctor.stdout
    assert popped.data()["id"] == waiting
    assert copy.orchestrate("--json", "show", held).data()["agent"] == "ada"
