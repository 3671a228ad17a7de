"""A command makes one round trip to Redis, besides the greeting of its connection."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

import pytest
import redis

BIN = Path(sys.executable).parent
GREETING = ("HELLO", "CLIENT", "SELECT", "AUTH")


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


def test_command_makes_one_call_to_redis(
    valkey_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    ids: list[str] = []
    workflow = """
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
        orchestrate unassigned
        orchestrate stuck
        orchestrate cancel {2}
        orchestrate requeue {2}
        orchestrate reap
        orchestrate cancel {0}
        orchestrate apply plan.yaml --dry-run
        orchestrate apply plan.yaml
    """
    (tmp_path / "plan.yaml").write_text(
        "project: P\nitems: [{name: a, title: A}, {name: b, title: B, depends_on: [a]}]"
    )

    with Watcher(valkey_url) as watcher:
        for number, command in enumerate(workflow.split("\n")[1:-1]):
            words = command.format(*ids, *["?"] * 3).split()
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
