"""The quickstart of README.md, as it stands there, with the real Claude Code."""

import os
import re
import signal
import subprocess
from pathlib import Path

from programs.checkout import Checkout
from programs.claude import claude
from programs.model_server import (
    Answer,
    ModelRequest,
    ScriptedModel,
    call,
    say,
)
from support.commands import TIME_LIMIT_S
from support.terminal import Terminal

PROGRAM = "claude"
README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def quickstart() -> list[str]:
    """Return the blocks of the quickstart."""
    section = README.partition("\n## Quickstart")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def write_and_commit(request: ModelRequest) -> Answer:
    """Write the file that the item asks for, commit it, and say so."""
    if not request.tools:
        return say("Fine.")
    folder = re.findall(r"orking directory: (\S+)", request.text)[-1]
    # The worktree is named after the item.
    item = Path(folder).name
    _, _, task = request.text.partition(f"=== Work Item: {item} ===")
    name = re.findall(r"Write (\w+\.md)", task)[0]
    answers = [
        call(
            "mcp__task-orchestrator__report",
            item=item,
            kind="progress",
            text=f"Writing {name}",
        ),
        call("Write", file_path=f"{folder}/{name}", content="Welcome.\n"),
        call("Bash", command=f"git add {name} && git commit -m 'Add {name}'"),
        say(f"Wrote {name}."),
    ]
    return answers[request.turns]


def test_quickstart_completes_items_in_worktrees(
    checkout: Checkout, model: ScriptedModel
) -> None:
    shell = claude(checkout, model(write_and_commit)).having(COLUMNS="200")
    plan, work, result = quickstart()
    first = Terminal(shell.folder, shell.environment())

    first.type(plan)
    second = subprocess.Popen(
        ["bash", "-c", work],
        cwd=shell.folder,
        env=shell.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        screen = "\n".join(first.type(result))
    finally:
        os.killpg(second.pid, signal.SIGINT)
        output, _ = second.communicate(timeout=TIME_LIMIT_S)
        first.close()

    assert second.returncode == 0, output
    for name in ("CONTRIBUTING.md", "SUPPORT.md"):
        title = f"Write {name} (completed, writer): Wrote {name}."
        assert title in screen, (screen, output)
    for item in re.findall(r"- (item_\w+) Write", screen):
        assert "Writing" in shell.orchestrate("show", item).stdout
    (merge,) = re.findall(r"`(git merge BRANCH [^`]+)`", README)
    branches = re.findall(r"- branch: (\S+)", screen)
    paths = re.findall(r"- worktree: (\S+)", screen)
    for branch, path in zip(branches, paths, strict=True):
        line = merge.replace("BRANCH", branch).replace("PATH", path)
        shell.run("bash", "-c", line)
        assert not Path(path).exists()
    assert (shell.folder / "CONTRIBUTING.md").read_text() == "Welcome.\n"
    assert (shell.folder / "SUPPORT.md").read_text() == "Welcome.\n"
