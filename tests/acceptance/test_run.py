"""`worker run`: any command becomes a worker, and its exit code says what becomes of the item."""

import json
import shlex
import stat
from pathlib import Path
from typing import Any, cast

import pytest
from builders import Bench
from commands import BIN, Shell, eventually
from runs import running
from taskorch.item import State

ONCE = ("run", "--once", "--json")


def sh(script: str) -> tuple[str, str, str, str]:
    """Return the words of a command that a shell runs."""
    return ("--", "sh", "-c", script)


@pytest.mark.parametrize(
    "case",
    [
        ("echo first; echo 4 tables; echo", 0, "completed", State.COMPLETED, "4 tables"),
        ("exit 0", 0, "completed", State.COMPLETED, ""),
        ("echo later >&2; exit 75", 8, "released", State.QUEUED, "later"),
        ("echo why >&2; exit 3", 5, "failed", State.DELAYED, "exit status 3\nwhy"),
        ("echo only on stdout; exit 1", 5, "failed", State.DELAYED, "exit status 1\nonly on stdout"),
        ("kill -9 $$", 5, "failed", State.DELAYED, "killed by signal 9 (Killed)"),
        ("no-such-command 2> /dev/null", 5, "failed", State.DELAYED, "exit status 127"),
    ],
)
def test_the_exit_status_says_what_becomes_of_the_item(
    shell: Shell, bench: Bench, case: tuple[str, int, str, State, str]
) -> None:
    script, code, event, state, text = case
    item = bench.item()

    ran = shell.worker(*ONCE, *sh(script))

    claimed, ended = (json.loads(line) for line in ran.stdout.splitlines())
    view = bench.queue.views.show(item)
    assert (ran.code, ended["event"], ended["item"], ended["text"]) == (code, event, item, text)
    assert (claimed["event"], claimed["item"], claimed["title"], claimed["attempt"]) == ("claimed", item, "An item", 1)
    assert (view.item.state, ended["state"]) == (state, state)
    assert view.item.summary == (text if event == "completed" else "")
    assert view.item.attempts == (0 if event == "released" else 1)
    assert event == "completed" or [report.text for report in view.history][-1] == text
    assert list(shell.folder.rglob("*.lease")) == []


def test_people_get_a_line_for_each_step(shell: Shell, bench: Bench) -> None:
    item = bench.item(title="Draw\x1b[2J it")

    ran = shell.worker("run", "--once", *sh("echo 4 tables"))

    claimed, completed = ran.stdout.splitlines()
    assert claimed.endswith(rf"{item}  claimed    Draw\x1b[2J it (attempt 1 of 3)")
    assert f"{item}  completed  after " in completed
    assert completed.endswith(": 4 tables")
    assert ran.stderr == ""


def test_the_command_finds_its_item_and_who_it_is(shell: Shell, bench: Bench) -> None:
    item = bench.item(title="Zeichne es: 設計", requirements=("in ink",))
    script = f"{BIN / 'python'} -c " + shlex.quote(
        "import json, os, sys; file = os.environ['TASKORCH_ITEM_FILE']; "
        "print(json.dumps([sys.stdin.read(), open(file).read(), os.stat(file).st_mode, "
        "os.stat(os.path.dirname(file)).st_mode, os.getpgid(0) == os.getpid(), dict(os.environ)]))"
    )

    done = shell.having(AGENT_SESSION="one").worker("run", "--once", *sh(f"exec {script}"))

    read, filed, mode, folder_mode, leads, variables = json.loads(bench.queue.views.show(item).item.summary)
    given = json.loads(read)
    assert done.code == 0, done.stderr
    assert read == filed == variables["TASKORCH_ITEM"] + "\n"
    assert (given["id"], given["title"], given["requirements"]) == (item, "Zeichne es: 設計", ["in ink"])
    assert (given["state"], given["token"], given["lease"]["token"]) == ("in_progress", 1, 1)
    assert (stat.S_IMODE(mode), stat.S_IMODE(folder_mode), leads) == (0o600, 0o700, True)
    assert variables["TASKORCH_PROMPT"].startswith(f"=== Work Item: {item} ===\nTitle: Zeichne es: 設計\n")
    assert variables["TASKORCH_TOKEN"] == f"1:{given['lease']['claim']}"
    assert (variables["AGENT_ID"], variables["AGENT_SESSION"]) == ("ada", "one")
    assert variables["TASKORCH_ROOT"] == str(shell.folder)
    assert not Path(variables["TASKORCH_ITEM_FILE"]).exists()


def test_what_is_too_long_for_a_variable_is_left_away_and_the_file_has_it(shell: Shell, bench: Bench) -> None:
    bench.item(description="x" * 60_000, requirements=("y" * 60_000, "z" * 60_000))

    ran = shell.having(TASKORCH_PROMPT="old").worker(
        *ONCE, *sh('test -z "$TASKORCH_ITEM$TASKORCH_PROMPT" && wc -c < $TASKORCH_ITEM_FILE')
    )

    assert ran.code == 0, ran.stdout
    assert int(json.loads(ran.stdout.splitlines()[-1])["text"]) > 180_000
    assert "TASKORCH_ITEM is left away" in ran.stderr
    assert "TASKORCH_PROMPT is left away" in ran.stderr


@pytest.mark.parametrize(
    "case",
    [
        ('{"summary": "all", "deliverables": {"file": "db.sql", "n": 4}}', "all", {"file": "db.sql", "n": "4"}, ""),
        ('{"deliverables": {"a": "b"}}', "the last line", {"a": "b"}, ""),
        ("", "the last line", {}, ""),
        ("4 tables\nand a view", "4 tables\nand a view", {}, "kept as text: Invalid JSON"),
        ('["4 tables"]', '["4 tables"]', {}, "kept as text: Input should be an object"),
        ('{"sumary": "all"}', '{"sumary": "all"}', {}, "kept as text: Extra inputs are not permitted"),
        ('{"deliverables": {"": "x"}}', '{"deliverables": {"": "x"}}', {}, "kept as text: The deliverables is empty"),
    ],
)
def test_a_result_file_has_the_summary_and_the_deliverables(
    shell: Shell, bench: Bench, case: tuple[str, str, dict[str, str], str]
) -> None:
    written, summary, deliverables, remark = case
    item = bench.item()
    script = f"printf %s {shlex.quote(written)} > $TASKORCH_RESULT_FILE; echo the last line"

    ran = shell.worker(*ONCE, *sh(script))

    view = bench.queue.views.show(item).item
    assert ran.code == 0, ran.stderr
    assert (view.summary, view.deliverables) == (summary, deliverables)
    assert remark in ran.stderr
    assert bool(remark) == bool(ran.stderr)


@pytest.mark.parametrize("made", ["mkdir", "mkfifo"])
def test_a_result_that_is_no_file_is_none(shell: Shell, bench: Bench, made: str) -> None:
    item = bench.item()

    ran = shell.worker(*ONCE, *sh(f"{made} $TASKORCH_RESULT_FILE; echo done"))

    assert (ran.code, bench.queue.views.show(item).item.summary) == (0, "done")


def test_a_result_beyond_all_bounds_is_kept_as_far_as_it_fits(shell: Shell, bench: Bench) -> None:
    item = bench.item()

    ran = shell.worker(*ONCE, *sh("head -c 2000000 /dev/zero | tr '\\0' y > $TASKORCH_RESULT_FILE"))

    assert ran.code == 0, ran.stderr
    assert bench.queue.views.show(item).item.summary == "y" * 65536


@pytest.mark.parametrize(
    "case",
    [
        ("worker progress $ITEM half >&2; echo said", "completed", State.COMPLETED, ["half", "said"]),
        ("worker complete $ITEM mine", "completed", State.COMPLETED, ["mine"]),
        ("worker complete $ITEM mine; exit 3", "completed", State.COMPLETED, ["mine"]),
        ("worker fail $ITEM mine", "failed", State.DELAYED, ["mine"]),
        ("worker fail $ITEM mine --no-retry; exit 1", "failed", State.FAILED, ["mine"]),
        ("worker release $ITEM --reason mine", "released", State.QUEUED, ["mine"]),
        ("worker blocker $ITEM 'Which one?'", "blocked", State.BLOCKED, ["Which one?"]),
    ],
)
def test_the_command_is_the_same_holder_and_what_it_ended_itself_is_left_alone(
    shell: Shell, bench: Bench, case: tuple[str, str, State, list[str]]
) -> None:
    script, event, state, reports = case
    item = bench.item()
    (shell.folder / "elsewhere" / ".git").mkdir(parents=True)

    ran = shell.worker(*ONCE, *sh(f"export PATH={BIN}:$PATH ITEM={item}; cd elsewhere; {script}"))

    view = bench.queue.views.show(item)
    assert json.loads(ran.stdout.splitlines()[-1])["event"] == event, ran
    assert (view.item.state, view.item.token) == (state, 1)
    assert [report.text for report in view.history] == reports


def test_a_command_that_asked_something_gets_the_item_again_with_the_answer(shell: Shell, bench: Bench) -> None:
    item = bench.item(max_attempts=1)
    script = f'case "$TASKORCH_PROMPT" in *Oak*) echo done;; *) {BIN}/worker blocker {item} "Which wood?";; esac'

    with running(shell, "--lease", "1s", *sh(script)) as run:
        run.awaits("blocked")
        bench.queue.answer(item, "Oak.")
        run.awaits("completed")

        assert run.events() == ["claimed", "blocked", "answered", "claimed", "completed"]
    view = bench.queue.views.show(item).item
    assert (view.state, view.attempts, view.summary) == (State.COMPLETED, 1, "done")
    assert list(shell.folder.rglob("*.lease")) == []


def test_with_once_each_of_the_pool_takes_one_item_at_most(shell: Shell, bench: Bench) -> None:
    items = [bench.item() for _ in range(3)]

    first, second, third = (shell.worker("run", "--once", "--pool", "2", *sh("echo done")) for _ in range(3))

    assert [ran.code for ran in (first, second, third)] == [0, 0, 8]
    assert [ran.stdout.count("completed") for ran in (first, second, third)] == [2, 1, 0]
    assert "There is nothing to do now" in third.stderr
    assert {bench.state(item) for item in items} == {State.COMPLETED}


def test_the_worst_that_became_of_an_item_is_the_exit_code_of_once(shell: Shell, bench: Bench) -> None:
    bench.item(title="well")
    bench.item(title="badly")

    ran = shell.worker("run", "--once", "--pool", "2", *sh('case "$TASKORCH_ITEM" in *badly*) exit 1; esac'))

    assert ran.code == 5
    assert (ran.stdout.count("completed"), ran.stdout.count("failed")) == (1, 1)


@pytest.mark.parametrize(("items", "code"), [(0, 8), (2, 0)])
def test_a_run_ends_when_it_was_idle_for_so_long(shell: Shell, bench: Bench, items: int, code: int) -> None:
    for _ in range(items):
        bench.item()

    ran = shell.worker("run", "--pool", "2", "--wait", "0.2", *sh("echo done"))

    assert (ran.code, ran.stdout.count("completed")) == (code, items)


def test_as_many_as_the_pool_are_at_work_at_a_time(shell: Shell, bench: Bench) -> None:
    for _ in range(5):
        bench.item()
    script = "touch $TASKORCH_ROOT/at-$$; until test -e $TASKORCH_ROOT/go; do sleep 0.01; done"

    with running(shell, "--pool", "3", "--wait", "0", *sh(script)) as run:
        run.awaits("claimed", times=3)
        eventually(lambda: len(list(shell.folder.glob("at-*"))) == 3)
        at_a_time = run.events()
        (shell.folder / "go").touch()

        assert run.ended() == 0
        assert at_a_time == ["claimed"] * 3
        assert run.events().count("completed") == 5


def test_options_after_the_command_are_its_own(shell: Shell, bench: Bench) -> None:
    item = bench.item()

    ran = shell.worker("run", "--once", "echo", "--once", "-n", "--json")

    assert (ran.code, bench.queue.views.show(item).item.summary) == (0, "--once -n --json")


def test_a_command_that_cannot_be_started_gives_its_item_back(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    script = shell.folder / "script"
    script.write_text("no interpreter is named\n", encoding="utf-8")
    script.chmod(0o700)

    ran = shell.worker(*ONCE, "--", str(script))

    view = bench.queue.views.show(item).item
    assert ran.code == 8
    assert "could not be started: [Errno 8] Exec format error" in json.loads(ran.stdout.splitlines()[-1])["text"]
    assert (view.state, view.attempts) == (State.QUEUED, 0)


def test_an_item_that_is_given_back_is_not_taken_again_at_once(shell: Shell, bench: Bench) -> None:
    bench.item()
    script = "echo >> $TASKORCH_ROOT/times; test $(wc -l < $TASKORCH_ROOT/times) = 2 || exit 75"

    ran = shell.worker("run", "--wait", "0", *sh(script))

    said = [line.split()[3] for line in ran.stdout.splitlines()]
    assert (ran.code, said) == (0, ["claimed", "released", "claimed", "completed"])


def test_a_reader_that_goes_away_does_not_stop_the_work(shell: Shell, bench: Bench) -> None:
    items = [bench.item() for _ in range(3)]

    ran = shell.run("sh", "-c", f"{BIN / 'worker'} run --wait 0 -- sleep 0.1 | head -n 1")

    eventually(lambda: {bench.state(item) for item in items} == {State.COMPLETED})
    assert ran.stdout.count("\n") == 1


def test_an_idle_pool_asks_redis_for_nothing(shell: Shell, bench: Bench) -> None:
    with running(shell, "--pool", "3", *sh("exit 0")):
        eventually(lambda: bench.blocked_clients() == 3)
        before = scripts_run(bench)
        ran = shell.run("sleep", "0.5")
        after = scripts_run(bench)

    assert (ran.code, after - before) == (0, 0)


def test_work_that_comes_is_taken_at_once(shell: Shell, bench: Bench) -> None:
    with running(shell, "--pool", "2", *sh("echo done")) as run:
        eventually(lambda: bench.blocked_clients() == 2)
        items = [bench.item() for _ in range(4)]
        run.awaits("completed", times=4)

    assert {bench.state(item) for item in items} == {State.COMPLETED}


def scripts_run(bench: Bench) -> int:
    """Return how many scripts the server has run."""
    stats = cast("Any", bench.raw).info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))
