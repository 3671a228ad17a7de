"""Items in a checkout, and what is left of a run that worked on them."""

import re
import signal
from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from programs.checkout import Checkout
from programs.model_server import ModelRequest, Refusal
from support.commands import eventually, processes

#: What the scripted model answers when it does not know the model.
UNKNOWN_MODEL = Refusal(400, "There is no such model.")
#: Far longer than a run takes; a hanging one fails the test.
TIME_LIMIT_S = 90
needs_processes = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(),
    reason="this system does not show the variables of processes",
)


def set_up(shell: Checkout, program: str, *options: str) -> str:
    """Run `orchestrate setup` for a program, and return what it printed."""
    done = shell.orchestrate("setup", program, *options)
    assert done.code == 0, done.stderr
    return done.stderr


def new_items(checkout: Checkout, *titles: str) -> Sequence[str]:
    """Create items for ada, each with one attempt, and return them."""
    project = checkout.orchestrate("project", "Shop").stdout.strip()
    return [
        checkout.orchestrate(
            "create", project, title, "--assign", "ada", "--max-attempts", "1"
        ).stdout.strip()
        for title in titles
    ]


def shown(checkout: Checkout, item: str) -> dict[str, Any]:
    """Return an item, as `orchestrate show` has it."""
    data: dict[str, Any] = checkout.orchestrate("show", item, "--json").data()
    return data


def worktrees(checkout: Checkout) -> Sequence[str]:
    """Return the names of the worktrees that are left."""
    folder = checkout.folder / ".task-orchestrator" / "worktrees"
    return sorted(each.name for each in folder.glob("item_*") if each.is_dir())


def item_of_run(request: ModelRequest) -> str:
    """Return the item in the task of `worker run`."""
    found = re.search(r"# Work on (item_[0-9a-f]+)", request.text)
    assert found, request.text
    return found[1]


def is_running(item: str, command: str) -> bool:
    """Return whether a run of the item, marked by RUN_MARK, runs this command."""
    return any(
        line.startswith(command) for line in processes(f"RUN_MARK={item}")
    )


def stop(run: Popen[str]) -> None:
    """Send a run its first signal, and wait until it says that it stops."""
    run.send_signal(signal.SIGTERM)
    assert run.stderr
    assert "Stopping" in run.stderr.readline()


def check_finished(run: Popen[str], checkout: Checkout, item: str) -> None:
    """Wait for a stopped run, which let its program finish."""
    _check_ended(run, item)
    assert shown(checkout, item)["summary"] == "Finished."


def check_released(run: Popen[str], checkout: Checkout, item: str) -> None:
    """Send a stopped run its second signal, which gives the item back unharmed."""
    run.send_signal(signal.SIGTERM)
    _check_ended(run, item)
    released = shown(checkout, item)
    assert (released["state"], released["attempts"]) == ("queued", 0)
    assert worktrees(checkout) == []


def check_own_worktrees(checkout: Checkout, items: Sequence[str]) -> None:
    """Check that each item was completed with its id in the file `own` of its worktree."""
    assert worktrees(checkout) == sorted(items)
    for item in items:
        done = shown(checkout, item)
        assert (done["state"], done["summary"]) == ("completed", "Written.")
        own = Path(done["deliverables"]["worktree"], "own")
        assert own.read_text(encoding="utf-8").strip() == item


def check_completed_once(
    checkout: Checkout,
    item: str,
    summary: str,
    requests: Sequence[ModelRequest],
) -> None:
    """Check that a run completed an item, whose task and id the model got once each."""
    done = shown(checkout, item)
    assert (done["state"], done["summary"]) == ("completed", summary)
    first, *_, last = requests
    assert first.text.count(f"# Work on {item}") == 1
    assert item in last.results[-1]


def check_unknown_model(
    checkout: Checkout, item: str, code: int, output: str
) -> None:
    """Check that a run failed the only attempt, and said that there is no such model."""
    assert code == 5
    assert UNKNOWN_MODEL.message in output
    assert shown(checkout, item)["state"] == "failed"
    assert worktrees(checkout) == []


def _check_ended(run: Popen[str], item: str) -> None:
    """Wait for a run, and check that it left no process."""
    _, stderr = run.communicate(timeout=TIME_LIMIT_S)
    assert run.returncode == 0, stderr
    eventually(lambda: not processes(f"RUN_MARK={item}"))
