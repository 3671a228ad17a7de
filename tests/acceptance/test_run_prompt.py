"""What an agent program does that follows the prompt of `worker run`."""

import re

import pytest
from support.builders import Bench
from support.commands import BIN, Shell
from support.runs import ONCE, sh
from taskorch.domain.item import State

IN_PATH = f"export PATH={BIN}:$PATH"


def commands(shell: Shell) -> list[str]:
    """Return the commands of a prompt, with the item in them."""
    text = (shell.folder / "prompt").read_text(encoding="utf-8")
    return re.findall(r"`(worker [a-z]+ item_[^`]*)`", text)


def run_with(shell: Shell, script: str) -> None:
    """Run a command that first keeps its prompt."""
    ran = shell.worker(
        *ONCE, *sh(f"{IN_PATH}; cp $TASKORCH_PROMPT_FILE prompt; {script}")
    )
    assert ran.stdout.count("claimed") == 1, ran.stderr


def test_prompt_file_is_private_and_complete(
    shell: Shell, bench: Bench
) -> None:
    bench.item()
    script = 'printf "%s\\n" "$TASKORCH_PROMPT" > variable; stat -c %a $TASKORCH_PROMPT_FILE > mode'

    run_with(shell, script)

    read = (shell.folder / "prompt").read_text
    assert read() + "\n" == (shell.folder / "variable").read_text()
    assert (shell.folder / "mode").read_text() == "600\n"


@pytest.mark.parametrize("source", ["item", "prompt", "none"])
def test_stdin_option_selects_what_command_reads(
    shell: Shell, bench: Bench, source: str
) -> None:
    bench.item()
    script = (
        "cat > stdin; cp $TASKORCH_ITEM_FILE item; "
        "cp $TASKORCH_PROMPT_FILE prompt; : > none; exit 75"
    )

    shell.worker(*ONCE, "--stdin", source, *sh(script))

    read = (shell.folder / "stdin").read_text()
    assert read == (shell.folder / source).read_text()


@pytest.mark.parametrize(
    ("last", "state"),
    [
        ("complete", State.COMPLETED),
        ("fail", State.DELAYED),
        ("release", State.QUEUED),
        ("blocker", State.BLOCKED),
    ],
)
def test_commands_of_the_prompt_work(
    shell: Shell, bench: Bench, last: str, state: State
) -> None:
    item = bench.item()
    run_with(shell, "exit 75")
    endings = ("complete", "fail", "release", "blocker", "wait")
    shown = commands(shell)
    reports = [each for each in shown if each.split()[1] not in endings]
    end = next(each for each in shown if each.split()[1] == last)

    run_with(shell, " && ".join([*reports, end, "touch well"]))

    assert len(reports) == 4
    assert (shell.folder / "well").exists()
    assert bench.state(item) is state


def test_prompt_has_work_of_earlier_attempts(
    shell: Shell, bench: Bench
) -> None:
    done = bench.completed_item()
    item = bench.item(depends_on=(done,))
    run_with(shell, f"worker progress {item} 'Half of it'; exit 75")

    run_with(shell, "true")

    prompt = (shell.folder / "prompt").read_text()
    assert "progress by ada: Half of it" in prompt
    assert f"{done} (completed) An item: done" in prompt
