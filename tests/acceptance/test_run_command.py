"""The command of `worker run`: its environment, its result file, and its reports."""

import json
import shlex
import signal
import stat
from pathlib import Path

import pytest
from support.builders import Bench
from support.commands import BIN, Shell, eventually
from support.runs import ONCE, log_file, running, sh
from taskorch.domain.item import State


def test_command_gets_its_item_and_agent(shell: Shell, bench: Bench) -> None:
    item = bench.item(title="Zeichne es: 設計", requirements=("in ink",))
    script = f"{BIN / 'python'} -c " + shlex.quote(
        "import json, os, sys; file = os.environ['TASKORCH_ITEM_FILE']; "
        "print(json.dumps([sys.stdin.read(), open(file).read(), os.stat(file).st_mode, "
        "os.stat(os.path.dirname(file)).st_mode, os.getpgid(0) == os.getpid(), dict(os.environ)]))"
    )

    done = shell.having(AGENT_SESSION="one").worker(
        "run", "--once", *sh(f"exec {script}")
    )

    _, output = log_file(shell, item).read_text(encoding="utf-8").splitlines()
    stdin, file, mode, folder_mode, leads, variables = json.loads(output)
    package = json.loads(stdin)
    assert done.code == 0, done.stderr
    assert stdin == file == variables["TASKORCH_ITEM"] + "\n"
    assert (package["id"], package["title"], package["requirements"]) == (
        item,
        "Zeichne es: 設計",
        ["in ink"],
    )
    assert (package["state"], package["token"], package["lease"]["token"]) == (
        "in_progress",
        1,
        1,
    )
    assert (stat.S_IMODE(mode), stat.S_IMODE(folder_mode), leads) == (
        0o600,
        0o700,
        True,
    )
    assert variables["TASKORCH_PROMPT"].startswith(
        f"# Work on {item} as the agent `ada`\n"
    )
    assert (
        f"=== Work Item: {item} ===\nTitle: Zeichne es: 設計\n"
        in variables["TASKORCH_PROMPT"]
    )
    assert (variables["TASKORCH_ITEM_ID"], variables["TASKORCH_LEASE"]) == (
        item,
        f"1:{package['lease']['claim']}",
    )
    assert (variables["AGENT_ID"], variables["AGENT_SESSION"]) == (
        "ada",
        "one",
    )
    assert variables["TASKORCH_ROOT"] == str(shell.folder)
    assert not Path(variables["TASKORCH_ITEM_FILE"]).exists()


def test_lost_command_cannot_use_the_new_token(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    script = "until [ -e go ]; do sleep 0.05; done; worker complete $TASKORCH_ITEM_ID stale; echo $? > code"

    with running(
        shell.having(PATH=f"{BIN}:/usr/bin:/bin"),
        *sh(f"touch works; {script}"),
    ) as run:
        eventually((shell.folder / "works").exists)
        bench.queue.assign(item, "ada", force=True)
        shell.worker("get", item)
        (shell.folder / "go").touch()
        eventually(
            lambda: (
                (shell.folder / "code").exists()
                and (shell.folder / "code").read_text()
            ),
        )
        run.send(signal.SIGTERM)
        run.exit_code()

    view = bench.queue.views.show(item)
    assert (shell.folder / "code").read_text() == "6\n"
    assert (view.item.state, view.item.token, view.item.summary) == (
        "in_progress",
        2,
        "",
    )


def test_command_starts_with_default_signal_handling(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    ran = shell.worker(
        *ONCE,
        *sh(
            "grep -E 'Sig(Ign|Blk)' /proc/$$/status | cut -f 2 | tr '\\n' ' '"
        ),
    )

    masks = bench.queue.views.show(item).item.summary.split()
    assert ran.code == 0
    assert [
        int(mask, 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGTERM - 1)
        for mask in masks
    ] == [0, 0]


def test_command_is_an_agent_and_no_orchestrator(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    ran = shell.having(ORCHESTRATOR_ID="planner").worker(
        *ONCE, *sh('echo "$AGENT_ID ${ORCHESTRATOR_ID-none}"')
    )

    assert ran.code == 0
    assert bench.queue.views.show(item).item.summary == "ada none"


def test_large_item_is_only_in_the_file(shell: Shell, bench: Bench) -> None:
    bench.item(
        description="x" * 60_000, requirements=("y" * 60_000, "z" * 60_000)
    )

    ran = shell.having(TASKORCH_PROMPT="old").worker(
        *ONCE,
        *sh(
            'test -z "$TASKORCH_ITEM$TASKORCH_PROMPT" && cat $TASKORCH_PROMPT_FILE >&2'
            " && wc -c < $TASKORCH_ITEM_FILE"
        ),
    )

    assert ran.code == 0, ran.stdout
    assert int(json.loads(ran.stdout.splitlines()[-1])["text"]) > 180_000
    assert "TASKORCH_ITEM is not set" in ran.stderr
    assert (
        "TASKORCH_PROMPT is not set: the item is too long for a variable."
        " TASKORCH_PROMPT_FILE has all of it." in ran.stderr
    )


@pytest.mark.parametrize(
    "case",
    [
        (
            '{"summary": "all", "deliverables": {"file": "db.sql", "n": 4}}',
            "all",
            {"file": "db.sql", "n": "4"},
            "",
        ),
        ('{"deliverables": {"a": "b"}}', "the last line", {"a": "b"}, ""),
        ("", "the last line", {}, ""),
        (
            "4 tables\nand a view",
            "4 tables\nand a view",
            {},
            "kept as text: Invalid JSON",
        ),
        (
            '["4 tables"]',
            '["4 tables"]',
            {},
            "kept as text: Input should be an object",
        ),
        (
            '{"sumary": "all"}',
            '{"sumary": "all"}',
            {},
            "kept as text: Extra inputs are not permitted",
        ),
        (
            '{"deliverables": {"": "x"}}',
            '{"deliverables": {"": "x"}}',
            {},
            "kept as text: The name of one of the deliverables is empty",
        ),
    ],
)
def test_result_file_sets_summary_and_deliverables(
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
def test_result_path_without_a_file_is_ignored(
    shell: Shell, bench: Bench, made: str
) -> None:
    item = bench.item()

    ran = shell.worker(*ONCE, *sh(f"{made} $TASKORCH_RESULT_FILE; echo done"))

    assert (ran.code, bench.queue.views.show(item).item.summary) == (0, "done")


def test_oversized_result_file_is_truncated(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    ran = shell.worker(
        *ONCE,
        *sh("head -c 2000000 /dev/zero | tr '\\0' y > $TASKORCH_RESULT_FILE"),
    )

    assert ran.code == 0, ran.stderr
    assert bench.queue.views.show(item).item.summary == "y" * 65536


@pytest.mark.parametrize(
    "case",
    [
        (
            "worker progress $ITEM half >&2; echo said",
            "completed",
            State.COMPLETED,
            ["half", "said"],
        ),
        ("worker complete $ITEM mine", "completed", State.COMPLETED, ["mine"]),
        (
            "worker complete $ITEM mine; exit 3",
            "completed",
            State.COMPLETED,
            ["mine"],
        ),
        ("worker fail $ITEM mine", "failed", State.DELAYED, ["mine"]),
        (
            "worker fail $ITEM mine --no-retry; exit 1",
            "failed",
            State.FAILED,
            ["mine"],
        ),
        (
            "worker release $ITEM --reason mine",
            "released",
            State.QUEUED,
            ["mine"],
        ),
        (
            "worker blocker $ITEM 'Which one?'",
            "blocked",
            State.BLOCKED,
            ["Which one?", "Which one?"],
        ),
        (
            "worker blocker $ITEM 'Which one?'; exit 3",
            "blocked",
            State.BLOCKED,
            ["Which one?", "Which one?"],
        ),
        (
            "worker blocker $ITEM 'Which one?' >&2; worker progress $ITEM mine >&2; echo said",
            "completed",
            State.COMPLETED,
            ["Which one?", "mine", "said"],
        ),
    ],
)
def test_command_reports_as_the_holder(
    shell: Shell, bench: Bench, case: tuple[str, str, State, list[str]]
) -> None:
    script, event, state, reports = case
    item = bench.item()
    (shell.folder / "elsewhere" / ".git").mkdir(parents=True)

    ran = shell.worker(
        *ONCE,
        *sh(f"export PATH={BIN}:$PATH ITEM={item}; cd elsewhere; {script}"),
    )

    view = bench.queue.views.show(item)
    assert json.loads(ran.stdout.splitlines()[-1])["event"] == event, ran
    assert (view.item.state, view.item.token) == (state, 1)
    assert [report.text for report in view.history] == reports
    assert list(shell.folder.rglob("*.lease")) == []


def test_command_gets_its_item_with_the_answer(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(max_attempts=1)
    script = f'case "$TASKORCH_PROMPT" in *Oak*) echo done;; *) {BIN}/worker blocker {item} "Which wood?";; esac'

    with running(shell, *sh(script)) as run:
        run.wait_for("blocked")
        bench.queue.answer(item, "Oak.")
        run.wait_for("completed")

        assert run.events() == ["claimed", "blocked", "claimed", "completed"]
    view = bench.queue.views.show(item).item
    assert (view.state, view.attempts, view.summary) == (
        State.COMPLETED,
        1,
        "done",
    )


def test_question_outlives_the_run(shell: Shell, bench: Bench) -> None:
    item = bench.item(max_attempts=1)

    asked = shell.worker(
        *ONCE, *sh(f"{BIN}/worker blocker {item} 'Which wood?'")
    )
    nothing = shell.worker(*ONCE, *sh("echo done"))
    bench.queue.answer(item, "Oak.")
    done = shell.worker(*ONCE, *sh('echo "$TASKORCH_PROMPT" | grep -o Oak'))

    assert (asked.code, nothing.code, done.code) == (8, 8, 0)
    assert bench.queue.views.show(item).item.summary == "Oak"


#: Waits until the test has answered the question.
UNTIL_ANSWERED = "touch asked; until test -e answered; do sleep 0.01; done"


@pytest.mark.parametrize(
    "case",
    [
        (
            f"{UNTIL_ANSWERED}; echo I have asked",
            ["claimed", "released"],
            State.QUEUED,
        ),
        (f"{UNTIL_ANSWERED}; exit 3", ["claimed", "released"], State.QUEUED),
        (
            f"{UNTIL_ANSWERED}; worker wait $ITEM >&2; echo Oak table",
            ["claimed", "completed"],
            State.COMPLETED,
        ),
        (
            f"{UNTIL_ANSWERED}; worker get $ITEM >&2; echo Oak table",
            ["claimed", "completed"],
            State.COMPLETED,
        ),
        (
            f"worker progress $ITEM guessing >&2; {UNTIL_ANSWERED}; echo",
            ["claimed", "completed"],
            State.COMPLETED,
        ),
    ],
    ids=["ended", "failed", "waited for it", "read it", "went on without it"],
)
def test_answer_before_the_exit_releases_the_item(
    shell: Shell, bench: Bench, case: tuple[str, list[str], State]
) -> None:
    script, events, state = case
    item = bench.item()
    ask = f"export PATH={BIN}:$PATH ITEM={item}; worker blocker $ITEM 'Which wood?' >&2"

    with running(shell, "--once", *sh(f"{ask}; {script}")) as run:
        eventually((shell.folder / "asked").exists)
        bench.queue.answer(item, "Oak.")
        (shell.folder / "answered").touch()
        run.exit_code()

        assert run.events() == events
    assert bench.state(item) is state
