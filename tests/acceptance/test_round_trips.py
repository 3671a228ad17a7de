"""A command makes one round trip to Redis, besides the greeting of its connection."""

import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

import pytest
import redis

BIN = Path(sys.executable).parent
GREETING = ("HELLO", "CLIENT", "SELECT", "AUTH")
#: Commands by topic; {0} is the id of the first project or item that they create.
WORKFLOWS = {
    "items": """
        orchestrate project Trips
        orchestrate create {0} First
        orchestrate create {0} Second --depends-on {1}
        orchestrate assign {1} ada
        orchestrate assign {2} ada
        worker check
        worker get {1}
        worker progress {1} Half --percent 50
        worker notes {1} Mine
        worker notes {1}
        worker discover {1} Found
        worker blocker {1} Stuck
        orchestrate inbox
        orchestrate wait {1} --until blocked
        orchestrate answer {1} Go
        worker wait {1}
        worker complete {1} Done --next
        worker prime
        worker release {2}
        worker pop --count 3
        worker renew {2}
        worker release {2}
        orchestrate wait {1}
        orchestrate progress {0}
        orchestrate progress {2}
        orchestrate show {2}
        orchestrate discoveries {0}
        orchestrate discoveries
        orchestrate discoveries --new
        worker discoveries {2}
        worker discoveries
        worker discoveries --new
        orchestrate list
        orchestrate projects
        orchestrate agents
        orchestrate create {0} Third --pool backend
        worker check --pool backend
        orchestrate agents
        orchestrate unassigned
        orchestrate stuck
        orchestrate cancel {2}
        orchestrate requeue {2}
        orchestrate reap
        orchestrate budget ada --limit 20 --per day
        orchestrate budget ada
        orchestrate budget
        orchestrate costs
        orchestrate budget ada --per day --remove
        orchestrate cancel {0}
        orchestrate apply plan.yaml --dry-run
        orchestrate apply plan.yaml
    """,
    "reviews": """
        orchestrate project Trips
        orchestrate create {0} First --assign ada --review lead
        orchestrate create {0} Second --assign ada --review lead
        worker complete {1} Done
        orchestrate wait {1} --until review
        orchestrate inbox
        worker --agent-id lead prime
        worker --agent-id lead reviews
        worker --agent-id lead send-back {1} Again
        worker complete {1} Better
        worker --agent-id lead accept {1} Good
        worker ack {2}
        orchestrate send-back {2} Again
        worker ack {2}
        orchestrate accept {2} Good
    """,
    "comments": """
        orchestrate project Trips
        orchestrate create {0} First --assign ada
        orchestrate comment {1} Early
        orchestrate edit {1} --priority 0
        worker pop
        orchestrate comment {1} Late
        worker comment {1} Seen
    """,
    "pools": """
        orchestrate project Trips
        orchestrate create {0} First --pool backend
        orchestrate create {0} Second
        orchestrate assign {2} --pool backend
        worker pop --pool backend
        worker release {1}
        worker pop --pool backend --count 2
        orchestrate list --pool backend
    """,
    "costs": """
        orchestrate project Trips
        orchestrate create {0} First --assign ada
        orchestrate create {0} Second --assign ada
        worker progress {1} Half --cost 0.1 --model large
        worker complete {1} Done --tokens-in 10 --tokens-out 5 --next
        worker fail {2} Broken --cost 0.2
        orchestrate costs
        orchestrate costs {0}
        orchestrate costs ada --by day
        orchestrate budget
    """,
    "schedules": """
        orchestrate project Trips
        orchestrate schedule list
    """,
}


class Watcher:
    """The commands that clients send to a server, without those of scripts."""

    def __init__(self, url: str) -> None:
        self._monitor = redis.Redis.from_url(
            url, decode_responses=True
        ).monitor()  # type: ignore[no-untyped-call]
        self._marker = redis.Redis.from_url(url)

    def __enter__(self) -> Self:
        self._monitor.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._monitor.__exit__()

    def seen_until(self, mark: str) -> list[str]:
        """Return the commands since the last call."""
        threading.Thread(target=self._marker.echo, args=[mark]).start()
        seen: list[str] = []
        while True:
            command = self._monitor.next_command()
            words = command["command"].split()
            if words[0] == "ECHO" and words[1] == mark:
                return seen
            if command["client_type"] != "lua" and words[0] not in GREETING:
                seen.append(words[0])


@pytest.fixture
def environment(valkey_url: str) -> dict[str, str]:
    namespace = f"trips-{os.urandom(4).hex()}"
    return {
        **os.environ,
        "TASKORCH_REDIS_URL": valkey_url,
        "TASKORCH_NAMESPACE": namespace,
    }


@pytest.mark.parametrize("topic", WORKFLOWS)
def test_command_makes_one_call_to_redis(
    valkey_url: str, environment: dict[str, str], tmp_path: Path, topic: str
) -> None:
    ids: list[str] = []
    (tmp_path / "plan.yaml").write_text(
        "project: P\nitems: [{name: a, title: A}, {name: b, title: B, depends_on: [a]}]"
    )

    with Watcher(valkey_url) as watcher:
        for number, command in enumerate(
            WORKFLOWS[topic].strip().splitlines()
        ):
            words = shlex.split(command.format(*ids, *["?"] * 3))
            done = subprocess.run(
                [BIN / words[0], *words[1:]],
                cwd=tmp_path,
                env={**environment, "AGENT_ID": "ada"},
                capture_output=True,
                text=True,
                check=True,
            )
            if words[1] in ("project", "create"):
                ids.append(done.stdout.strip())

            # The first call on a server installs the functions, too.
            assert watcher.seen_until(f"mark-{number}") in (
                ["FCALL"],
                ["FCALL", "FUNCTION", "FCALL"],
            ), command


def test_schedule_needs_few_calls(
    valkey_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "plan.yaml").write_text(
        "project: P\nitems: [{name: a, title: A}]"
    )
    commands = {
        "project Trips": 1,
        # The clock of Redis decides when the next run is; then it looks for a service.
        'schedule add nightly plan.yaml --cron "0 6 * * *"': 3,
        # The plan is read, applied, and the run is recorded.
        "schedule run nightly": 3,
        "schedule remove nightly": 1,
    }
    seen = {}

    with Watcher(valkey_url) as watcher:
        for command in commands:
            subprocess.run(
                [BIN / "orchestrate", *shlex.split(command)],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                check=True,
            )
            seen[command] = len(watcher.seen_until(command.split()[-1]))
            if "Trips" in command:  # which installs the functions
                seen[command] = 1

    assert seen == commands


def test_completion_of_project_reads_its_items(
    valkey_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    def run(*words: str) -> str:
        return subprocess.run(
            [BIN / "orchestrate", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    projects = [run("project", "Trips") for _ in range(2)]
    run("complete", projects[0])  # the server has the functions then

    with Watcher(valkey_url) as watcher:
        run("complete", projects[1])
        seen = watcher.seen_until("completed")

    assert seen == ["FCALL", "FCALL"]


def test_first_digits_of_an_id_cost_one_call(
    valkey_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    def run(*words: str) -> str:
        return subprocess.run(
            [BIN / words[0], *words[1:]],
            cwd=tmp_path,
            env={**environment, "AGENT_ID": "ada"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    project = run("orchestrate", "project", "Trips")
    item = run("orchestrate", "create", project, "First", "--assign", "ada")
    run("worker", "progress", item[:10], "Half")
    digits = item.removeprefix("item_")

    with Watcher(valkey_url) as watcher:
        run("worker", "progress", digits[:5], "More")
        short = watcher.seen_until("short")
        run("worker", "progress", digits, "More")
        whole = watcher.seen_until("whole")

    assert (short, whole) == (["FCALL", "FCALL"], ["FCALL"])
