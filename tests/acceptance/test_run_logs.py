"""`worker run` keeps what its commands print, and reports from it."""

import json
import os
import stat

import pytest
from support.builders import Bench
from support.commands import BIN, Shell, eventually, result_of
from support.runs import ONCE, UNTIL_GO, log_file, running, sh
from taskorch.domain.item import State

#: What claude -p --output-format json prints.
RESULT = {"type": "result", "is_error": False, "session_id": "0b8d"}


def until(line: str) -> str:
    """Return a shell command that waits until the log of the attempt has a line.

    What a command prints to two streams at the same time may be read in either order.
    """
    log = "$TASKORCH_ROOT/.task-orchestrator/logs/$TASKORCH_ITEM_ID/1.log"
    return f"until grep -qx {line} {log}; do sleep 0.01; done;"


def test_log_has_both_streams_in_order(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    script = (
        f"echo one; {until('one')} echo two >&2; {until('two')} echo three"
    )

    ran = shell.worker(*ONCE, *sh(script))

    log = log_file(shell, item)
    heading, *output = log.read_text(encoding="utf-8").splitlines()
    assert output == ["one", "two", "three"]
    assert heading.startswith(
        f"# attempt 1 of {item}, claim 1, by ada on {os.uname().nodename}, "
    )
    assert [
        stat.S_IMODE(path.stat().st_mode) for path in (log, log.parent)
    ] == [0o600, 0o700]
    assert json.loads(ran.stdout.splitlines()[-1])["log"] == str(log)


def test_log_is_written_while_the_command_runs(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    with running(shell, "--once", *sh(f"echo begins; {UNTIL_GO}")) as run:
        eventually(lambda: "begins" in read(shell, item))
        (shell.folder / "go").touch()
        assert run.exit_code() == 0

    assert read(shell, item).endswith("begins\ndone\n")


def test_each_attempt_has_a_log(shell: Shell, bench: Bench) -> None:
    item = bench.item()

    shell.worker(*ONCE, *sh("echo first; exit 75"))
    shell.worker(*ONCE, *sh("echo again; exit 1"))
    bench.end_delay(item)
    shell.worker(*ONCE, *sh("echo second"))

    assert read(shell, item).endswith("first\n")
    assert read(shell, item, "1-2").endswith("again\n")
    assert read(shell, item, "2").endswith("second\n")


def test_result_of_agent_program_is_the_summary(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    result = {**RESULT, "result": "Four\n\ntables"}
    file = shell.folder / "result.json"
    file.write_text(f"{json.dumps(result)}\n", encoding="utf-8")

    ran = shell.worker(*ONCE, *sh(f"cat {file}"))

    assert ran.code == 0, ran.stderr
    assert bench.queue.views.show(item).item.summary == "Four\n\ntables"


def test_error_of_agent_program_fails_the_item(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    result = {**RESULT, "is_error": True, "result": "No credit"}
    file = shell.folder / "result.json"
    file.write_text(json.dumps(result), encoding="utf-8")

    ran = shell.worker(*ONCE, *sh(f"cat {file}"))

    report = bench.queue.views.show(item).history[-1]
    assert (ran.code, bench.state(item)) == (5, State.DELAYED)
    assert report.text.startswith("the program reports an error\nNo credit\n")


def test_binary_output_is_reported(shell: Shell, bench: Bench) -> None:
    item = bench.item()

    ran = shell.worker(*ONCE, *sh(r"printf 'a\0b\377\033[2J'; exit 1"))

    assert ran.code == 5, ran.stderr
    report = bench.queue.views.show(item).history[-1]
    assert "a\N{REPLACEMENT CHARACTER}b" in report.text
    assert log_file(shell, item).read_bytes().endswith(b"a\0b\xff\x1b[2J")
    assert "\x1b" not in shell.orchestrate("show", item).stdout


@pytest.mark.parametrize("output", ["yes", "yes | tr -d '\\n'"])
def test_huge_output_needs_little_memory(
    shell: Shell, bench: Bench, output: str
) -> None:
    item = bench.item()
    script = f"{output} | head -c 200000000; echo; echo; echo done"

    ran = shell.run(
        "sh", "-c", 'ulimit -v 1000000; exec "$@"', "sh",
        BIN / "worker", *ONCE, *sh(script),
    )  # fmt: skip

    assert ran.code == 0, ran.stderr
    assert bench.queue.views.show(item).item.summary == "done"
    assert log_file(shell, item).stat().st_size <= 4 * 1024 * 1024
    assert " bytes left out]\n" in read(shell, item)


def test_unwritable_logs_do_not_stop_the_run(
    shell: Shell, bench: Bench
) -> None:
    items = [bench.item(), bench.item()]
    home = shell.folder / ".task-orchestrator"
    home.mkdir()
    (home / "logs").write_text("in the way", encoding="utf-8")

    ran = shell.worker("run", "--wait", "0", *sh("echo out; exit 1"))

    assert ran.code == 0, ran.stderr
    assert ran.stderr.count("The output of commands is not kept") == 1
    assert "Not a directory. The run continues." in ran.stderr
    for item in items:
        text = bench.queue.views.show(item).history[-1].text
        assert text == "exit status 1\nout"


def test_tee_prints_the_output_too(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    script = r"printf 'one\ntwo\033[2J\n'; printf three"

    ran = shell.worker("run", "--once", "--tee", *sh(script))

    claimed, *output, completed = ran.stdout.splitlines()
    assert output == ["one", r"two\x1b[2J", "three"]
    assert f"{item}  claimed" in claimed
    assert f"{item}  completed" in completed


def test_tee_of_several_slots_names_the_item(
    shell: Shell, bench: Bench
) -> None:
    items = {bench.item(), bench.item()}

    ran = shell.worker(
        "run", "--once", "--tee", "--pool", "2",
        *sh("echo one; echo two >&2"),
    )  # fmt: skip

    output = [line for line in ran.stdout.splitlines() if " | " in line]
    assert sorted(output) == sorted(
        f"{item} | {text}" for item in items for text in ("one", "two")
    )


def test_tee_as_json_is_an_event(shell: Shell, bench: Bench) -> None:
    item = bench.item()

    ran = shell.worker(
        *ONCE, "--tee", *sh("echo one; sleep 0.1; echo two >&2")
    )

    entries = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [
        (entry["event"], entry["item"], entry.get("stream"), entry.get("text"))
        for entry in entries
    ] == [
        ("claimed", item, None, None),
        ("output", item, "stdout", "one"),
        ("output", item, "stderr", "two"),
        ("completed", item, None, "one"),
    ]


def test_blocked_reader_of_tee_stops_no_command(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    words = "run", "--once", "--tee", *sh("seq 1000000; echo; echo done")

    process = shell.start(BIN / "worker", *words)
    eventually(lambda: bench.state(item) is State.COMPLETED)
    ran = result_of(process)

    assert ran.code == 0
    assert "--tee has left out" in ran.stderr
    assert bench.queue.views.show(item).item.summary == "done"


def read(shell: Shell, item: str, name: str = "1") -> str:
    """Return the log of an attempt; "" if there is none yet."""
    try:
        return log_file(shell, item, name).read_text(encoding="utf-8")
    except OSError:
        return ""
