"""`--json`: a command prints one document, and an item is the same object in each."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from support.builders import PLAN, Bench, new_schedule
from support.commands import Shell
from taskorch.domain.item import Lease, State
from taskorch.domain.role import Role
from taskorch_orchestrator.cli import orchestrate
from taskorch_worker.cli import worker

#: Each command once. The placeholders are the keys of `scene`.
LINES = """
worker check
worker pop
worker get {queued}
worker progress {queued} text --percent 5
worker notes {queued} text
worker notes {queued}
worker get-notes {queued}
worker discover {queued} text --impact much
worker blocker {queued} text --needs help
worker wait {queued}
worker complete {queued} text --deliverable a=b
worker ack {queued}
worker fail {held} text --next
worker release {held}
worker renew {held}
worker comment {held} text
worker reviews
worker accept {review} text
worker send-back {review} text
worker whoami
orchestrate project title
orchestrate create {project} title
orchestrate depend {queued} {pending}
orchestrate edit {queued} --label x
orchestrate assign {pending} bob
orchestrate answer {blocked} text
orchestrate comment {queued} text
orchestrate accept {review} text
orchestrate send-back {review} text
orchestrate cancel {queued}
orchestrate requeue {completed} --reason text
orchestrate wait {completed}
orchestrate wait {blocked} --until blocked
orchestrate complete {project} --force
orchestrate reopen {project}
orchestrate cancel {project} --reason text
orchestrate status
orchestrate progress {project}
orchestrate progress {queued}
orchestrate discoveries {project}
orchestrate discoveries --new
worker discoveries {held} --new
orchestrate list
orchestrate show {held}
orchestrate show {held} --handoff
orchestrate unassigned
orchestrate inbox
orchestrate stuck
orchestrate projects
orchestrate agents
orchestrate costs
orchestrate costs {project} --by agent
orchestrate budget namespace
orchestrate budget {project} --limit 20 --per day
orchestrate notify
orchestrate reap
orchestrate purge --dry-run
orchestrate purge --yes
orchestrate docs worker
orchestrate init
orchestrate trust --list
orchestrate token create ada --role worker
orchestrate token list
orchestrate audit
orchestrate token edit {token} --max-agents 5
orchestrate token rotate {token}
orchestrate token revoke {token}
orchestrate acl worker ada
orchestrate schedule add other {plan} --cron "0 6 * * *"
orchestrate schedule list
orchestrate schedule run nightly
orchestrate schedule remove nightly
""".strip().splitlines()

#: Commands that print a line of JSON per event, run until they are stopped, or have
#: tests of their own.
ELSEWHERE = {
    "server",
    "watch",
    "service",
    "run",
    "logs",
    "prime",
    "hook",
    "setup",
    "sync",
    "export",
    "import",
    "apply",
}
ELSEWHERE |= {"board", "mcp", "doctor", "gateway"}

ITEM = [
    "id",
    "project",
    "title",
    "description",
    "requirements",
    "context",
    "resources",
    "deliverables_expected",
    "criteria",
    "priority",
    "state",
    "agent",
    "holder",
    "token",
    "attempts",
    "max_attempts",
    "lease_expires_at",
    "depends_on",
    "percent",
    "summary",
    "deliverables",
    "created_at",
    "assigned_at",
    "started_at",
    "completed_at",
]
HOLDER = ["agent", "host", "pid", "session", "since"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture
def scene(bench: Bench, tmp_path: Path) -> dict[str, str]:
    """A project with items in most states, one for this session, a discovery and a note.

    And an item of bob that waits for ada's review, an access token, a schedule and a plan.
    """
    project = bench.project()
    held, found = bench.item(project), bench.claimed(bench.item(project))
    bench.agent().note(held, "a note")
    states = (State.QUEUED, State.PENDING, State.BLOCKED, State.COMPLETED)
    items = {
        state: bench.item(
            project, agent="" if state is State.PENDING else "ada"
        )
        for state in states
    }
    for state, item in items.items():
        bench.bring_to(item, state)
    bench.agent().discover(found, "It rains", impact="wet")
    review = bench.item(project, agent="bob", reviewer="ada")
    bench.agent("bob").complete(Lease(item=review), "done")
    token = bench.queue.access_tokens().create("ada", Role.WORKER)
    bench.queue.schedules().create(new_schedule("nightly"))
    plan = tmp_path / "one.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    return {
        "project": project,
        "held": held,
        "review": review,
        "plan": str(plan),
        "token": token.id,
        **{str(state): item for state, item in items.items()},
    }


def ran(shell: Shell, line: str, scene: dict[str, str]) -> Any:
    """Return the data of the document that a command line prints."""
    if "{held}" in line:
        assert shell.worker("get", scene["held"]).code == 0
    command, *words = (word.format_map(scene) for word in shlex.split(line))
    return (shell.worker if command == "worker" else shell.orchestrate)(
        *words, "--json"
    ).data()


@pytest.mark.parametrize("line", LINES)
def test_command_prints_one_json_document(
    shell: Shell, scene: dict[str, str], line: str
) -> None:
    data = ran(shell, line, scene)

    assert isinstance(data, dict | list)


def test_command_lines_cover_each_command() -> None:
    tested = {tuple(line.split()[:2]) for line in LINES}
    every = {
        (group.name, name)
        for group in (worker, orchestrate)
        for name in group.commands
    }

    assert {
        command for command in every - tested if command[1] not in ELSEWHERE
    } == set()


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("worker check", ["items", 0]),
        ("worker pop", []),
        ("worker get {completed} --peek", []),
        ("orchestrate show {held}", []),
        ("orchestrate progress {project}", ["items", 0]),
        ("orchestrate list", [0]),
        ("orchestrate inbox", [0]),
        ("orchestrate complete {project} --force", ["items", 0]),
        ("orchestrate wait {completed}", ["item"]),
        ("orchestrate wait {project} --until blocked", ["blocked", 0]),
        ("worker wait {queued}", []),
    ],
)
def test_item_is_same_object_in_every_document(
    shell: Shell, scene: dict[str, str], line: str, path: list[str | int]
) -> None:
    item = ran(shell, line, scene)
    for step in path:
        item = item[step]

    assert [name for name in ITEM if name not in item] == []
    assert item["project"] == scene["project"]
    assert isinstance(item["requirements"], list)
    assert TIME.fullmatch(item["created_at"])
    assert item["lease_expires_at"] is None or TIME.fullmatch(
        item["lease_expires_at"]
    )
    assert (
        item["state"] not in ("in_progress", "blocked")
        or [n for n in HOLDER if n not in item["holder"]] == []
    )


def test_new_id_is_in_the_data(shell: Shell) -> None:
    project = shell.orchestrate("project", "x", "--json").data()["id"]
    item = shell.orchestrate("create", project, "x", "--json").data()["id"]

    assert re.fullmatch("proj_[0-9a-f]{8}", project)
    assert re.fullmatch("item_[0-9a-f]{8}", item)


def test_cursor_of_a_list_is_in_its_meta(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    ids = [bench.item(project) for _ in range(3)]

    first = shell.orchestrate("list", project, "--limit", "2", "--json")
    rest = shell.orchestrate(
        "list", project, "--cursor", first.json()["meta"]["cursor"], "--json"
    )

    assert [item["id"] for item in first.data() + rest.data()] == ids
    assert rest.json()["meta"]["cursor"] == ""
    assert first.stderr == ""


def test_cursor_of_discoveries_leads_to_newer_ones(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    item = bench.item(project)
    shell.worker("discover", item, "first")
    seen = shell.orchestrate("discoveries", project, "--json").json()["meta"][
        "cursor"
    ]
    shell.worker("discover", item, "second")

    newer = shell.orchestrate(
        "discoveries", project, "--since", seen, "--json"
    ).data()

    assert [found["text"] for found in newer] == ["second"]


@pytest.mark.parametrize(
    "words",
    [
        ["--json", "projects"],
        ["projects", "--json"],
        ["--json", "projects", "--json"],
        ["--json", "server", "status"],
        ["server", "--json", "status"],
        ["server", "status", "--json"],
    ],
)
def test_json_flag_works_before_and_after_the_command(
    shell: Shell, words: list[str]
) -> None:
    assert shell.orchestrate(*words).data() is not None


def test_environment_variable_turns_json_on(shell: Shell) -> None:
    asking = shell.having(TASKORCH_JSON="1")

    good, bad = (
        asking.orchestrate("projects"),
        asking.orchestrate("frobnicate"),
    )
    off = shell.having(TASKORCH_JSON="0").orchestrate("projects")

    assert good.data() == []
    assert bad.error()["code"] == "USAGE"
    assert (off.stdout, off.stderr) == ("", "No projects.\n")


def test_text_after_two_dashes_is_no_json_flag(shell: Shell) -> None:
    refused = shell.worker("progress", "item_00000000", "--", "--json")

    assert refused.code == 3
    assert refused.stdout == ""
