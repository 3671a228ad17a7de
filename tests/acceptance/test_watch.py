"""`orchestrate watch` on a terminal and in a pipe, and `discoveries --follow`."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from support.builders import Bench, stream_readers
from support.commands import BIN, SOON_S, Shell, eventually, result_of
from support.screens import CTRL_C, Screen
from support.topologies import Node
from taskorch.cli.quoting import NOTICE
from taskorch.domain.item import State
from taskorch.queue import keys

ORCHESTRATE = BIN / "orchestrate"
EVENT = ["cursor", "at", "verb", "item", "project", "agent", "state", "pool"]


def watching(
    shell: Shell, *words: str, columns: int = 80, rows: int = 24
) -> Screen:
    return Screen(
        shell, ORCHESTRATE, "watch", *words, columns=columns, rows=rows
    )


def objects(text: str) -> list[dict[str, Any]]:
    """Return the JSON object of each line."""
    return [json.loads(line) for line in text.splitlines()]


@contextmanager
def in_a_pipe(shell: Shell, *words: str) -> Iterator["subprocess.Popen[str]"]:
    process = shell.start(ORCHESTRATE, *words)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def streaming_into(
    file: Path, shell: Shell, *words: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command with its stdout in a file."""
    with file.open("wb") as stdout:
        process = subprocess.Popen(
            [ORCHESTRATE, *words],
            cwd=shell.folder,
            env=shell.environment(),
            stdout=stdout,
            stderr=subprocess.DEVNULL,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def line_of(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    return dict(json.loads(process.stdout.readline()))


# On a terminal
# -----------------------------------------------------------------------------------------------------


def test_screen_shows_project_items_agents_and_events(
    shell: Shell, bench: Bench
) -> None:
    project = bench.queue.project("Build authentication")
    lease = bench.claimed(bench.item(project, title="Design the schema"))
    waiting = bench.item(
        project, agent="bob", title="Write the API", depends_on=(lease.item,)
    )

    with watching(shell, project) as screen:
        eventually(lambda: screen.shows("Write the API"))
        bench.agent().progress(lease, "Half", percent=50)
        # the end of the last row, because a screen may arrive in pieces
        eventually(lambda: screen.lines()[-1].endswith(" ada"))
        lines = screen.lines()

    assert lines[0].startswith(f"{project} Build authentication ")
    assert lines[0].endswith("active, 0 of 2 items completed")
    assert lines[2].split() == [
        "ITEM",
        "STATE",
        "DONE",
        "FOR",
        "AGENT",
        "TITLE",
    ]
    assert lines[3].split()[:3] == [lease.item, "in_progress", "50%"]
    assert lines[3].endswith("ada    Design the schema")
    assert lines[4].split() == [
        waiting,
        "waiting",
        "0%",
        "bob",
        "Write",
        "the",
        "API",
    ]
    assert lines[6].split() == ["AGENT", "SEEN", "QUEUED", "HOST", "HOLDS"]
    assert lines[7].split()[0] == "ada"
    assert lines[7].split()[-1] == lease.item
    assert lines[10].split() == ["AT", "EVENT", "ITEM", "STATE", "AGENT"]
    assert re.match(r"\d\d:\d\d:\d\d$", lines[11].split()[0])
    assert lines[11].split()[1:] == [
        "progress",
        lease.item,
        "in_progress",
        "ada",
    ]


def test_screen_shows_all_projects_by_default(
    shell: Shell, bench: Bench
) -> None:
    first, second = bench.queue.project("First"), bench.queue.project("Second")

    with watching(shell) as screen:
        eventually(lambda: screen.shows(first) and screen.shows(second))
        bench.queue.complete_project(second)
        eventually(lambda: screen.shows("complete_project"))
        eventually(lambda: screen.shows("1 of 2 projects active"))


def test_headline_counts_the_newest_projects(
    shell: Shell, bench: Bench
) -> None:
    for _ in range(101):
        newest = bench.project()
    bench.queue.complete_project(newest)

    with watching(shell) as screen:
        eventually(
            lambda: screen.shows("99 of the newest 100 projects active")
        )
        eventually(lambda: screen.shows("… at least 80 more"))


def test_screen_counts_rows_that_do_not_fit(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    for n in range(9):
        bench.item(project, agent=f"agent_{n}")

    with watching(shell, project, rows=20) as screen:
        eventually(lambda: screen.shows("… 4 more"))
        lines = screen.lines()

    assert all(
        any(line.startswith(f"agent_{n} ") for line in lines)
        for n in range(4, 9)
    )
    assert lines[-1] == "… 4 more"


def test_screen_follows_a_budget(shell: Shell, bench: Bench) -> None:
    project, other = bench.project(), bench.project()
    limit = ("--limit", "0", "--per", "total")
    with watching(shell, project) as screen:
        eventually(lambda: screen.shows(project))
        shell.orchestrate("budget", other, *limit)
        shell.orchestrate("budget", project, *limit)
        eventually(lambda: screen.shows(f"over budget: project {project}"))
        lines = screen.lines()
        shell.orchestrate("budget", project, "--remove")
        eventually(lambda: not screen.shows("over budget"))

    assert other not in "\n".join(lines)


def test_screen_counts_reviews(shell: Shell, bench: Bench) -> None:
    with watching(shell) as screen:
        item = bench.item(reviewer="lead")
        bench.agent().complete(bench.claimed(item), "Done")
        eventually(
            lambda: screen.shows("1 item waits for review: orchestrate inbox")
        )
        shell.orchestrate("accept", item)
        eventually(lambda: not screen.shows("for review"))


def test_ages_use_the_clock_of_redis(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    bench.claimed(bench.item(project))
    three_days_ahead = (
        "import time; now = time.time; time.time = lambda: now() + 3 * 86400; "
    )
    main = f"import sys; sys.argv[1:] = ['watch', '{project}']; from taskorch_orchestrator.cli import main; main()"

    with Screen(
        shell, sys.executable, "-c", three_days_ahead + main
    ) as screen:
        eventually(lambda: screen.shows("in_progress"))
        bench.item(project)
        eventually(lambda: screen.shows("create"))
        lines = screen.lines()

    assert re.fullmatch(r"\d+s", lines[3].split()[3])
    assert re.fullmatch(r"\d\d:\d\d:\d\d", lines[-1].split()[0])


def test_unexpected_error_ends_the_screen(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    broken = "from taskorch.queue.scripts import Scripts; Scripts.wait_for_entry = lambda *_: open('/nowhere'); "
    main = f"import sys; sys.argv[1:] = ['watch', '{project}']; from taskorch_orchestrator.cli import main; main()"

    with Screen(shell, sys.executable, "-c", broken + main) as screen:
        eventually(lambda: screen.shows("FileNotFoundError"))
        assert screen.exit_code() == 1
    assert b"\x1b[?1049l" in screen.output


def test_screen_follows_terminal_size(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    items = [
        bench.item(
            project,
            title=f"{n}: a title that is longer than the narrow one has room for",
        )
        for n in range(9)
    ]
    blocked = bench.bring_to(items[8], State.BLOCKED).item

    with watching(shell, project) as screen:
        eventually(lambda: all(screen.shows(item) for item in items))
        screen.resize(40, 12)
        eventually(lambda: screen.shows("… 4 more"))
        small = screen.lines()
        screen.resize(130, 40)
        eventually(lambda: screen.shows("LAST REPORT"))
        eventually(lambda: all(screen.shows(item) for item in items))

    assert small[3].startswith(blocked)
    assert len(small) <= 12
    assert any("… 4 more" in line for line in small)


def test_title_has_room_before_progress_bar(
    shell: Shell, bench: Bench
) -> None:
    project = bench.queue.project("Booking service")
    bench.agent().complete(bench.claimed(bench.item(project)), "Done")
    bench.bring_to(bench.item(project), State.BLOCKED)

    with watching(shell, project) as screen:
        eventually(lambda: screen.shows("item asks"))
        narrow = screen.lines()[0]
        screen.resize(100, 24)
        eventually(lambda: screen.shows("━"))
        wide = screen.lines()[0]

    status = "active, 1 of 2 items completed, 1 item asks"
    assert narrow.startswith(f"{project} Booking service ")
    assert narrow.endswith(status)
    assert wide.startswith(f"{project} Booking service ")
    assert f"{status} ━" in wide


@pytest.mark.parametrize(
    ("columns", "rows"), [(80, 24), (40, 10), (20, 5), (10, 2), (200, 60)]
)
def test_screen_fits_terminal_of_any_size(
    shell: Shell, bench: Bench, columns: int, rows: int
) -> None:
    project = bench.queue.project("A title 🙂 " * 20)
    for n in range(30):
        bench.item(project, title=f"{n} 漢字 " * 10)

    with watching(shell, project, columns=columns, rows=rows) as screen:
        eventually(lambda: screen.shows("proj_"))
        lines = screen.lines()

    assert lines[0].startswith("proj_")
    assert len(lines) <= rows


def test_control_characters_cannot_change_the_screen(
    shell: Shell, bench: Bench
) -> None:
    project = bench.queue.project("[red]x\x1b[2J\ny")
    bench.item(project, title="\x1b]0;owned\x07 [bold]z\u202e")

    with watching(shell, project) as screen:
        eventually(lambda: screen.shows(r"[bold]z\u202e"))
        lines = screen.lines()

    assert lines[0].startswith(project + r" [red]x\x1b[2J\ny")
    assert r"\x1b]0;owned\x07 [bold]z\u202e" in lines[3]
    assert b"owned\x07" not in screen.output


def test_no_color_screen_has_no_colours(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    bench.claimed(bench.item(project))

    with (
        watching(shell, project) as screen,
        watching(shell.having(NO_COLOR="1"), project) as plain,
    ):
        eventually(lambda: screen.shows("in_progress"))
        eventually(lambda: plain.shows("in_progress"))

        assert "cyan" in screen.colours()
        assert plain.colours() == {"default"}


def test_screen_ends_with_project_and_prints_summary(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    lease = bench.claimed(bench.item(project))

    with watching(shell, project) as screen:
        eventually(lambda: screen.shows("in_progress"))
        bench.agent().complete(lease, "All is well")
        bench.queue.complete_project(project)

        assert screen.exit_code() == 0
        assert screen.shows("completed, 1 of 1 item completed")
        assert screen.shows("All is well")
    assert screen.output.count(b"\x1b[?1049l") == 1


def test_ctrl_c_restores_the_terminal(shell: Shell, bench: Bench) -> None:
    with watching(shell, bench.project()) as screen:
        eventually(lambda: screen.shows("A project"))
        screen.type(CTRL_C)

        assert screen.exit_code() == 130
    assert b"\x1b[?1049l" in screen.output
    assert b"\x1b[?25h" in screen.output
    assert b"Traceback" not in screen.output


def test_dumb_terminal_gets_lines(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    bench.queue.complete_project(project)
    dumb = ("env", "TERM=dumb", ORCHESTRATE, "watch", project)

    _, screen = shell.on_terminal(*dumb)

    assert objects(screen)[0]["verb"] == "begin"


def test_screen_survives_restart_of_redis(shell: Shell, node: Node) -> None:
    there = shell.having(TASKORCH_REDIS_URL=f"redis://{node.address}")
    project = there.orchestrate("project", "A project").stdout.strip()
    with watching(there, project) as screen:
        eventually(lambda: screen.shows("A project"))
        node.kill()
        eventually(lambda: screen.shows("Redis is unreachable"))
        node.start()
        item = there.orchestrate(
            "create", project, "Made later", "--assign", "ada"
        ).stdout.strip()

        eventually(
            lambda: (
                screen.shows("Made later")
                and screen.shows("create")
                and not screen.shows("Redis is unreachable")
            )
        )
        assert screen.shows(item)


def test_restarted_bundled_server_does_not_tear_screen(
    local: Shell,
) -> None:
    project = local.orchestrate("project", "A project").stdout.strip()
    with watching(local, project) as screen:
        eventually(lambda: screen.shows("A project"))
        os.kill(
            local.orchestrate("server", "status", "--json").data()["pid"],
            signal.SIGKILL,
        )
        eventually(
            lambda: local.orchestrate("server", "status", "--json").data()[
                "running"
            ]
        )
        local.orchestrate("create", project, "Made later", "--assign", "ada")

        eventually(lambda: screen.shows("Made later"))
        assert screen.lines()[0].startswith(project)
    assert b"Started the bundled server" not in screen.output


# In a pipe
# ---------------------------------------------------------------------------------------------------------


def test_piped_event_is_a_json_line(shell: Shell, bench: Bench) -> None:
    project, other = bench.project(), bench.project()
    with in_a_pipe(shell, "watch", project) as process:
        begin = line_of(process)
        item = bench.item(project)
        bench.item(other)
        bench.claimed(item)

        lines = [line_of(process), line_of(process)]
        bench.queue.complete_project(project, force=True)
        ran = result_of(process)

    rest = objects(ran.stdout)
    assert (begin["verb"], begin["project"], begin["state"]) == (
        "begin",
        project,
        "active",
    )
    assert [(each["verb"], each["item"], each["state"]) for each in lines] == [
        ("create", item, "queued"),
        ("claim", item, "in_progress"),
    ]
    assert [each["verb"] for each in rest] == ["cancel", "complete_project"]
    assert all(list(each) == EVENT for each in (begin, *lines, *rest))
    assert (ran.code, ran.stderr) == (0, "")


def test_piped_events_tell_of_reviews(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project, reviewer="lead")
    with in_a_pipe(shell, "watch", project) as process:
        line_of(process)
        shell.worker("complete", item, "Done")
        shell.orchestrate("send-back", item, "Again")
        shell.worker("complete", item, "Better")
        shell.having(AGENT_ID="lead").worker("accept", item)
        shell.orchestrate("complete", project)
        ran = result_of(process)

    steps = [
        (each["verb"], each["agent"], each["state"])
        for each in objects(ran.stdout)
        if each["verb"] != "claim"
    ]
    assert steps == [
        ("review", "ada", "review"),
        ("send_back", "ada", "queued"),
        ("review", "ada", "review"),
        ("complete", "ada", "completed"),
        ("complete_project", "", "completed"),
    ]
    assert ran.code == 0


def test_watch_continues_after_a_cursor(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    with in_a_pipe(shell, "watch", project) as process:
        line_of(process)
        lease = bench.claimed(bench.item(project))
        seen = line_of(process)["cursor"]
    bench.agent().complete(lease)
    bench.queue.complete_project(project)

    ran = shell.orchestrate("watch", project, "--since", seen)

    assert [each["verb"] for each in objects(ran.stdout)] == [
        "claim",
        "complete",
        "complete_project",
    ]


def test_watch_of_closed_project_exits_immediately(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    bench.queue.complete_project(project)
    begin = objects(shell.orchestrate("watch", project).stdout)

    again = shell.orchestrate("watch", project, "--since", begin[0]["cursor"])

    assert [(each["verb"], each["state"]) for each in begin] == [
        ("begin", "completed")
    ]
    assert (again.code, again.stdout) == (0, "")


def test_cursor_of_trimmed_events_is_a_gap(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    begin = bench.queue.waits().newest_cursor()
    bench.item(project)
    bench.queue.complete_project(project, force=True)
    cast("Any", bench.raw).xtrim(
        keys.events(bench.namespace), maxlen=1, approximate=False
    )

    ran = shell.orchestrate("watch", project, "--since", begin)

    assert [each["verb"] for each in objects(ran.stdout)] == [
        "gap",
        "complete_project",
    ]


def test_watch_prints_all_projects_by_default(
    shell: Shell, bench: Bench
) -> None:
    with in_a_pipe(shell, "watch") as process:
        assert line_of(process)["verb"] == "begin"
        first, second = bench.project(), bench.project()
        bench.queue.complete_project(first)

        assert [line_of(process)["project"] for _ in range(3)] == [
            first,
            second,
            first,
        ]


def test_watch_survives_restart_and_reports_it_once(
    shell: Shell, node: Node
) -> None:
    there = shell.having(TASKORCH_REDIS_URL=f"redis://{node.address}")
    project = there.orchestrate("project", "A project").stdout.strip()
    with in_a_pipe(there, "watch", project) as process:
        line_of(process)
        node.kill()
        assert process.stderr is not None
        assert "Retrying." in process.stderr.readline()
        node.start()
        there.orchestrate("create", project, "Made later")

        assert line_of(process)["verb"] == "create"
        assert process.stderr.readline() == "Redis answers again.\n"


def test_restarts_lose_and_repeat_no_event(shell: Shell, node: Node) -> None:
    there = shell.having(TASKORCH_REDIS_URL=f"redis://{node.address}")
    project = there.orchestrate("project", "A project").stdout.strip()
    entries, since = [], "0-0"
    for number in range(3):
        with in_a_pipe(there, "watch", project, "--since", since) as process:
            there.orchestrate("create", project, f"While it watches, {number}")
            entries += [line_of(process)]
            node.kill()
            assert process.stderr is not None
            assert "Retrying." in process.stderr.readline()
            node.start()
            there.orchestrate(
                "create", project, f"After the restart, {number}"
            )
            entries += (
                [line_of(process), line_of(process)]
                if number == 0
                else [line_of(process)]
            )
            since = entries[-1]["cursor"]
        there.orchestrate("create", project, f"While nobody watches, {number}")
    there.orchestrate("complete", project, "--force")
    entries += objects(
        there.orchestrate("watch", project, "--since", since).stdout
    )

    (events,) = cast("Any", node.raw).xread(
        {keys.events(there.variables["TASKORCH_NAMESPACE"]): "0-0"}, count=1000
    )
    assert [each["cursor"] for each in entries] == [
        cursor for cursor, _ in events[1]
    ]


def test_closed_pipe_ends_the_watch(shell: Shell, bench: Bench) -> None:
    for _ in range(2000):
        bench.project()

    ran = shell.run(
        "bash",
        "-c",
        f"{ORCHESTRATE} watch --since 0-0 | head -n 1; echo ${{PIPESTATUS[0]}}",
    )

    assert ran.stdout.splitlines()[1:] == ["0"]
    assert ran.stderr == ""


@pytest.mark.parametrize(
    "line", ["watch {project} --since 0-0", "discoveries {project} --follow"]
)
def test_broken_pipe_prints_no_traceback(
    shell: Shell, bench: Bench, line: str
) -> None:
    project = bench.project()
    bench.agent().discover(bench.claimed(bench.item(project)), "It rains")
    words = line.format(project=project)

    runs = [
        shell.run(
            "bash",
            "-c",
            f"{ORCHESTRATE} {words} | head -n 1; echo ${{PIPESTATUS[0]}}",
        )
        for _ in range(5)
    ]

    assert [ran.stdout.splitlines()[1:] for ran in runs] == [["0"]] * 5
    hints = {
        row.partition(" --since")[0]
        for ran in runs
        for row in ran.stderr.splitlines()
    }
    assert hints <= {"Continue with", NOTICE}


@pytest.mark.parametrize(
    "line", ["watch", "watch {project}", "discoveries {project} --follow"]
)
def test_closed_pipe_ends_idle_watch(
    shell: Shell, bench: Bench, line: str
) -> None:
    project = bench.project()
    bench.agent().discover(bench.claimed(bench.item(project)), "It rains")
    words = line.format(project=project)

    ran = shell.run(
        "bash",
        "-c",
        f"{ORCHESTRATE} {words} | head -n 1; echo ${{PIPESTATUS[0]}}",
    )

    assert ran.stdout.splitlines()[1:] == ["0"]


@pytest.mark.parametrize(
    "line", ["watch {project}", "discoveries {project} --follow --json"]
)
def test_stream_survives_kill_of_bundled_server(
    local: Shell, tmp_path: Path, line: str
) -> None:
    project = local.orchestrate("project", "A project").stdout.strip()
    item = local.orchestrate(
        "create", project, "An item", "--assign", "ada"
    ).stdout.strip()
    local.worker("discover", item, "Before the kill")
    file, words = tmp_path / "stream", line.format(project=project).split()

    def discoveries() -> int:
        return sum(
            each.get("verb", "discover") == "discover"
            for each in objects(file.read_text(encoding="utf-8"))
        )

    with streaming_into(file, local, *words, "--since", "0-0") as process:
        eventually(lambda: discoveries() == 1, within_s=SOON_S)
        status = local.orchestrate("server", "status", "--json").data()
        with redis.Redis.from_url(status["url"], decode_responses=True) as raw:
            eventually(lambda: stream_readers(raw), within_s=SOON_S)
        os.kill(status["pid"], signal.SIGKILL)
        local.worker("discover", item, "After the kill")
        eventually(lambda: discoveries() == 2, within_s=SOON_S)
        local.orchestrate("complete", project, "--force")

        assert process.wait(SOON_S) == 0


# Discoveries
# -------------------------------------------------------------------------------------------------------


def test_follow_prints_discoveries_until_project_closes(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    lease = bench.claimed(bench.item(project))
    first = bench.agent().discover(lease, "It rains", impact="wet").entry
    with in_a_pipe(
        shell, "discoveries", project, "--follow", "--json"
    ) as process:
        there = line_of(process)
        eventually(lambda: stream_readers(bench.raw))
        bench.agent().progress(lease, "Half")
        second = bench.agent().discover(lease, "It snows").entry
        later = line_of(process)
        bench.queue.complete_project(project, force=True)
        ran = result_of(process)

    assert [(each["cursor"], each["text"]) for each in (there, later)] == [
        (first, "It rains"),
        (second, "It snows"),
    ]
    assert (ran.code, ran.stdout, ran.stderr) == (0, "", "")


def test_follow_goes_on_while_item_is_in_review(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    item = bench.item(project, reviewer="lead")
    with in_a_pipe(
        shell, "discoveries", project, "--follow", "--json"
    ) as process:
        eventually(lambda: stream_readers(bench.raw))
        bench.agent().complete(bench.claimed(item), "Done")
        refused = shell.orchestrate("complete", project)
        shell.orchestrate("send-back", item, "Again")
        lease = bench.claimed(item)
        bench.agent().discover(lease, "It snows")
        found = line_of(process)
        bench.agent().complete(lease, "Better")
        shell.orchestrate("accept", item)
        going_on = process.poll() is None
        shell.orchestrate("complete", project)
        ran = result_of(process)

    assert (refused.code, going_on, ran.code) == (5, True, 0)
    assert found["text"] == "It snows"


def test_follow_stops_at_its_limit(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    lease = bench.claimed(bench.item(project))
    bench.agent().discover(lease, "It rains")
    with in_a_pipe(
        shell, "discoveries", project, "--follow", "--limit", "2"
    ) as process:
        eventually(lambda: stream_readers(bench.raw))
        second = bench.agent().discover(lease, "It snows").entry
        ran = result_of(process)

    assert (ran.code, ran.stdout.count("\n")) == (0, 2)
    assert ran.stderr == f"{NOTICE}\nContinue with --since {second}\n"


def test_follow_starts_after_a_cursor(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    lease = bench.claimed(bench.item(project))
    seen = bench.agent().discover(lease, "It rains").entry
    last = bench.agent().discover(lease, "It snows\x1b[2J").entry
    bench.queue.complete_project(project, force=True)

    ran = shell.orchestrate(
        "discoveries", project, "--follow", "--since", seen
    )

    assert ran.stdout == f"[ada] {lease.item}: It snows\\x1b[2J\n"
    assert ran.stderr == f"{NOTICE}\nContinue with --since {last}\n"
