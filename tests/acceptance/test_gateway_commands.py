"""Hooks, MCP, the service, doctor and completion over a gateway, as real processes."""

import json
import signal
from pathlib import Path

import pytest
from support import services, tool_client
from support.builders import PLAN, Bench, new_schedule
from support.commands import BIN, CommandResult, Shell, eventually
from support.gateways import Gateway
from support.tool_client import run_async

UNKNOWN = f"tok_00000000_{'0' * 64}"
HOOKS = [
    ("worker", "prime", "--hook-json"),
    ("worker", "hook", "stop"),
    ("orchestrate", "prime", "--hook-json"),
]


def hooked(shell: Shell, *words: str) -> CommandResult:
    """Call a hook as an agent program does."""
    payload = json.dumps({"turn_id": "t1"}).encode()
    return shell.run(BIN / words[0], *words[1:], stdin=payload)


@pytest.fixture
def admin(gateway: Gateway) -> Shell:
    """Return a shell that knows the gateway alone, with the token of an administrator."""
    return gateway.client(gateway.token("planner", "admin"))


def test_worker_mcp_delivers_an_item(gateway: Gateway, bench: Bench) -> None:
    item, ada = bench.item(), gateway.worker("ada")

    async def deliver() -> None:
        async with tool_client.worker(ada) as client:
            popped = await client.data("pop")
            assert json.dumps(popped).count(item) > 0
            await client.data(
                "report", item=item, kind="progress", text="Half"
            )
            await client.data("complete", item=item, summary="By tools")

    run_async(deliver)

    assert bench.state(item) == "completed"


def test_orchestrator_mcp_plans_over_the_gateway(
    gateway: Gateway, bench: Bench
) -> None:
    planner = gateway.orchestrator()

    async def plan() -> None:
        async with tool_client.orchestrate(planner) as client:
            await client.data(
                "plan",
                project="By tools",
                items=[{"name": "a", "title": "A", "agent": "ada"}],
            )

    run_async(plan)

    (item,) = bench.queue.views.list().items
    assert (item.title, item.agent) == ("A", "ada")


def test_start_hook_briefs_the_agent(gateway: Gateway, bench: Bench) -> None:
    item, ada = bench.item(title="Design it"), gateway.worker("ada")

    started = hooked(ada, "worker", "prime", "--hook-json")

    output = json.loads(started.stdout)["hookSpecificOutput"]
    assert item in output["additionalContext"]
    assert "Design it" in output["additionalContext"]


def test_start_hook_briefs_the_orchestrator(
    gateway: Gateway, bench: Bench
) -> None:
    project, planner = bench.project(), gateway.orchestrator()

    started = hooked(planner, "orchestrate", "prime", "--hook-json")

    output = json.loads(started.stdout)["hookSpecificOutput"]
    assert project in output["additionalContext"]


def test_stop_hook_reminds_of_an_item(gateway: Gateway, bench: Bench) -> None:
    item, ada = bench.item(), gateway.worker("ada")
    ada.worker("get", item)

    stopped, again = (hooked(ada, "worker", "hook", "stop") for _ in range(2))

    assert json.loads(stopped.stdout)["decision"] == "block"
    assert item in json.loads(stopped.stdout)["reason"]
    assert (again.code, again.stdout) == (0, "")


@pytest.mark.parametrize("words", HOOKS, ids=" ".join)
@pytest.mark.parametrize("failure", ["token", "gateway"])
def test_hooks_are_silent_when_refused_or_unanswered(
    gateway: Gateway, words: tuple[str, ...], failure: str
) -> None:
    ada = gateway.worker("ada").having(ORCHESTRATOR_ID="ada")
    if failure == "token":
        ada = ada.having(TASKORCH_TOKEN=UNKNOWN)
    else:
        gateway.kill()

    ran = hooked(ada, *words)

    assert (ran.code, ran.stdout, ran.stderr) == (0, "", "")


def test_service_of_an_administrator_syncs_and_reaps(
    admin: Shell, bench: Bench
) -> None:
    item, held = bench.item(), bench.claimed().item
    bench.expire_lease(held)

    with services.running(admin) as [service]:
        eventually(lambda: item in services.handoff_items(admin.folder))
        eventually(lambda: bench.state(held) != "in_progress")
        code, log = service.stop(), service.log()

    assert code == 0
    assert "refused" not in log


def test_schedule_works_over_the_gateway(
    gateway: Gateway, bench: Bench
) -> None:
    planner = gateway.orchestrator()
    (planner.folder / "plan.yaml").write_text(PLAN, encoding="utf-8")
    words = ("nightly", "plan.yaml", "--cron", "0 6 * * 1-5")

    added = planner.orchestrate("schedule", "add", *words)
    listed = planner.orchestrate("--json", "schedule", "list").data()
    ran = planner.orchestrate("schedule", "run", "nightly")
    (schedule,) = bench.queue.schedules().list()
    removed = planner.orchestrate("schedule", "remove", "nightly")

    (project,) = bench.queue.views.projects()
    assert added.stdout.startswith("nightly runs for the first time at 20")
    assert [each["name"] for each in listed] == ["nightly"]
    assert (ran.code, ran.stdout) == (0, f"{project.id}\n")
    assert (schedule.runs, schedule.created_by) == (1, "planner")
    assert removed.stdout == "Removed nightly.\n"
    assert bench.queue.schedules().list() == ()


def test_viewer_lists_schedules_and_changes_none(
    gateway: Gateway, bench: Bench
) -> None:
    bench.queue.schedules().create(new_schedule("nightly"))
    token = gateway.token("eve", "viewer")
    viewer = gateway.client(token, ORCHESTRATOR_ID="eve")
    (viewer.folder / "plan.yaml").write_text(PLAN, encoding="utf-8")

    listed = viewer.orchestrate("--json", "schedule", "list").data()
    refused = [
        viewer.orchestrate("--json", "schedule", *words)
        for words in (
            ("add", "other", "plan.yaml", "--cron", "0 6 * * *"),
            ("run", "nightly"),
            ("remove", "nightly"),
        )
    ]

    assert [each["name"] for each in listed] == ["nightly"]
    assert [each.error()["code"] for each in refused] == ["NOT_ALLOWED"] * 3
    assert bench.queue.views.projects() == ()
    (schedule,) = bench.queue.schedules().list()
    assert schedule.runs == 0


def test_service_of_a_worker_says_what_it_lacks(gateway: Gateway) -> None:
    ada = gateway.worker("ada").having(ORCHESTRATOR_ID="ada")

    with services.running(ada) as [service]:
        eventually(lambda: service.has_logged("does not allow this"))
        code = service.stop()

    assert code == 0


def test_doctor_checks_all_but_the_server_itself(admin: Shell) -> None:
    checked = admin.orchestrate("--json", "doctor")

    checks = checked.json()["data"]["checks"]
    found = {each["name"]: each for each in checks}
    assert checked.code in (0, 5)
    assert found["indexes"]["status"] == "ok"
    assert found["address"]["status"] == "ok"
    for name in ("functions", "users"):
        assert found[name]["status"] == "note"
        assert (
            "a gateway passes on calls of scripts only" in found[name]["found"]
        )


def test_doctor_of_an_orchestrator_is_not_allowed(gateway: Gateway) -> None:
    checked = gateway.orchestrator().orchestrate("--json", "doctor")

    assert checked.code == 7
    assert checked.error()["code"] == "NOT_ALLOWED"


def test_redis_users_are_not_set_over_gateway(admin: Shell) -> None:
    refused = admin.orchestrate("--json", "acl", "worker", "ada", "--apply")

    assert refused.code == 4
    assert "where Redis itself can be reached" in refused.error()["hint"]


def test_discoveries_are_followed(gateway: Gateway, bench: Bench) -> None:
    planner, ada = gateway.orchestrator(), gateway.worker("ada")
    item = bench.item()
    project = bench.queue.views.show(item).item.project
    following = planner.start(
        *(BIN / "orchestrate", "discoveries", project, "--follow", "--json")
    )

    ada.worker("discover", item, "It rains")
    assert following.stdout
    found = json.loads(following.stdout.readline())
    following.send_signal(signal.SIGINT)
    following.communicate(timeout=60)

    assert found["text"] == "It rains"


def test_shell_completes_ids_over_the_gateway(
    gateway: Gateway, bench: Bench
) -> None:
    item, ada = bench.item(), gateway.worker("ada")
    tab = ada.having(
        _WORKER_COMPLETE="bash_complete",
        COMP_WORDS="worker get ",
        COMP_CWORD="2",
    )

    eventually(lambda: item in tab.run(BIN / "worker").stdout)


def test_whoami_shows_the_gateway_and_no_token(gateway: Gateway) -> None:
    ada = gateway.worker("ada")

    shown = ada.worker("whoami")

    assert shown.code == 0
    assert gateway.url in shown.stdout
    assert ada.variables["TASKORCH_TOKEN"][13:] not in shown.stdout


def test_prepared_root_uses_the_gateway(
    gateway: Gateway, bench: Bench, tmp_path: Path
) -> None:
    item, ada = bench.item(), gateway.worker("ada")
    folder = tmp_path / "checkout"
    folder.mkdir()
    bare = Shell(
        folder,
        {
            name: ada.variables[name]
            for name in ("TASKORCH_TOKEN", "TASKORCH_NAMESPACE", "AGENT_ID")
        },
    )

    prepared = bare.orchestrate("init", "--url", gateway.url)
    checked = bare.worker("check")

    assert prepared.code == 0, prepared.stderr
    assert item in checked.stdout
