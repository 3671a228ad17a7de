"""The demo: an orchestrator and three specialists that work at the same time."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from support.board_commands import Person
from support.commands import BIN, Shell, alive, eventually

REPOSITORY = Path(__file__).parents[2]
#: Variables that a user may have set for their own queue.
EXPORTED = {
    "TASKORCH_REDIS_URL": "redis://127.0.0.1:1",
    "TASKORCH_NAMESPACE": "no name",
    "TASKORCH_JSON": "1",
    "AGENT_SESSION": "mine",
    "TM_AGENT_ID": "mine",
    "ORCHESTRATOR_ID": "mine",
}
AGENTS = ("database_expert", "security_specialist", "backend_developer")


def test_demo_completes_project_and_leaves_nothing_running() -> None:
    environment = {
        **os.environ,
        **EXPORTED,
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }

    ran = subprocess.run(
        [REPOSITORY / "demo" / "run"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    server = re.search(
        r"running, pid (\d+), unix://(\S+)/\.task-orchestrator", ran.stdout
    )
    assert server is not None
    pid = int(server[1])
    result = ran.stdout.partition("Project completed: User Management API")[2]
    delivered = [
        "5 tables designed with constraints",
        "Secure auth with refresh tokens implemented",
        "6 endpoints",
    ]
    assert all(summary in result for summary in delivered)
    assert "[database_expert]" in ran.stdout
    assert "[security_specialist]" in ran.stdout
    assert (
        "answer to question 1 by orchestrator: At least 12 characters"
        in ran.stdout
    )
    assert re.search(
        r"The board, .*: http://127\.0\.0\.1:\d+/sign-in", ran.stdout
    )
    assert not Path(server[2]).exists()
    eventually(lambda: not alive(pid))


def errors_of_commands(shown: str) -> list[str]:
    """Return the lines with which our commands report errors.

    Not that an item was cancelled: the orchestrator does that at its end. Python may
    show where it was interrupted while it imports, in lines of any kind.
    """
    lines = re.findall(r"^(?:\S+ +\| )?(Error.*)", shown, re.MULTILINE)
    return [line for line in lines if " was cancelled: " not in line]


def test_ctrl_c_ends_demo_without_errors(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [REPOSITORY / "demo" / "run"],
        env=os.environ
        | {"PATH": f"{BIN}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout is not None
    shown = ""
    while "worker pop" not in shown:
        shown += demo.stdout.readline()

    os.killpg(demo.pid, signal.SIGINT)
    left, _ = demo.communicate(timeout=60)

    server = re.search(r"running, pid (\d+)", shown)
    assert server is not None
    pid = int(server[1])
    assert demo.returncode == 130
    assert errors_of_commands(left) == []
    assert "unreachable" not in left
    eventually(lambda: not alive(pid))
    assert not list(tmp_path.iterdir())


def test_demo_board_shows_a_team_at_work(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [
            *(sys.executable, "-m", "demo.team", "--no-open"),
            *("--pace", "0.1"),
        ],
        cwd=REPOSITORY,
        env=os.environ | EXPORTED | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout is not None
    link = demo.stdout.readline().strip()
    url, person = link.partition("/sign-in")[0], Person()

    person.get(link)
    eventually(lambda: "database_expert" in person.get(url).text)
    eventually(lambda: "of 4" in person.get(url).text)
    os.killpg(demo.pid, signal.SIGINT)
    _, errors = demo.communicate(timeout=60)

    assert "A team of 7 agents works until Ctrl-C" in errors
    assert "Error" not in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())


def test_interrupted_demo_does_not_break_the_next_one(shell: Shell) -> None:
    demo_shell = shell.having(
        TASKORCH_NAMESPACE="demo", PATH=f"{BIN}:{os.environ['PATH']}"
    ).lacking("AGENT_ID")
    demo = REPOSITORY / "demo"
    specialists = [
        demo_shell.start(demo / "specialist", agent) for agent in AGENTS
    ]
    interrupted = demo_shell.start(demo / "orchestrator")
    eventually(
        lambda: demo_shell.orchestrate("inbox", "--json").data(), within_s=60
    )
    interrupted.kill()
    interrupted.communicate()

    # One specialist has finished and is restarted, one still asks about the old item,
    # and one has not had an item.
    specialists.append(
        demo_shell.start(demo / "specialist", "database_expert")
    )
    ran = demo_shell.start(demo / "orchestrator")
    stdout, stderr = ran.communicate(timeout=120)
    for specialist in specialists:
        specialist.communicate(timeout=60)

    assert ran.returncode == 0, stderr
    assert "Project completed: User Management API" in stdout
    assert [specialist.returncode for specialist in specialists] == [0] * len(
        specialists
    )
    assert demo_shell.orchestrate("projects", "--json").data() == []


def test_cleared_item_goes_to_no_specialist(shell: Shell) -> None:
    demo_shell = shell.having(
        TASKORCH_NAMESPACE="demo", PATH=f"{BIN}:{os.environ['PATH']}"
    ).lacking("AGENT_ID")
    project = demo_shell.orchestrate("project", "Old").stdout.strip()
    demo_shell.orchestrate("create", project, "It", "--assign", AGENTS[0])

    cleared = demo_shell.start(REPOSITORY / "demo" / "clear")
    cleared.communicate(timeout=60)

    assert cleared.returncode == 0
    assert demo_shell.orchestrate("list", "--json").data() == []


def test_clearing_spares_namespaces_of_others(shell: Shell) -> None:
    there = shell.having(PATH=f"{BIN}:{os.environ['PATH']}")
    project = there.orchestrate("project", "Mine").stdout.strip()

    cleared = there.start(REPOSITORY / "demo" / "clear")
    cleared.communicate(timeout=60)

    assert cleared.returncode == 0
    assert project in there.orchestrate("projects").stdout
