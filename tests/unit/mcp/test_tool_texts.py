"""Commands in hints become tools, for an agent that has no shell."""

import inspect
import re
from collections.abc import Iterator

import pytest
from taskorch.domain import errors, hints
from taskorch.mcp.tool_texts import for_tools
from taskorch.queue import stuck
from taskorch_orchestrator import actions
from taskorch_orchestrator import mcp_tools as of_the_orchestrator
from taskorch_orchestrator.mcp_tools import COMMANDS as ORCHESTRATOR
from taskorch_worker import mcp_tools as of_the_worker
from taskorch_worker.mcp_tools import COMMANDS as WORKER

ITEM = "item_1a2b3c4d"
#: Commands of hints that only a person uses, in a shell.
OF_PEOPLE = {
    *("run", "hook", "mcp", "export", "board", "notify"),
    *("import", "init", "doctor", "docs", "purge", "reap", "server", "service", "sync", "token", "trust", "apply"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("Take other work: worker pop", "Take other work: the tool pop"),
        (
            "Wait for work: worker pop --wait 100",
            "Wait for work: the tool pop with wait=100",
        ),
        (
            f"See it: worker get {ITEM} --peek. Then go on.",
            f"See it: the tool get with item={ITEM}, peek=true. Then go on.",
        ),
        (
            f"Or withdraw it: worker blocker {ITEM} --withdraw 1",
            f"Or withdraw it: the tool report with kind=withdraw, item={ITEM}, question=1",
        ),
        (
            f"Or: worker complete {ITEM} SUMMARY",
            f"Or: the tool complete with item={ITEM}, summary=SUMMARY",
        ),
        ("This command stays: worker run", "This command stays: worker run"),
        (
            f'Say it: worker complete {ITEM} "SUMMARY". Or else: worker ack {ITEM}',
            f"Say it: the tool complete with item={ITEM}, summary=SUMMARY.",
        ),
        (
            "Of others: worker run --pool 3 --worktree -- COMMAND",
            "Of others: worker run --pool 3 --worktree -- COMMAND",
        ),
        ("Rerun it: --limit", "Rerun it: limit"),
        ("No command in it.", "No command in it."),
    ],
)
def test_workers_command_becomes_tool(hint: str, shown: str) -> None:
    assert for_tools(hint, WORKER) == shown


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        (
            f"Reassign it: orchestrate assign {ITEM} AGENT --force",
            f"Reassign it: the tool mend with verb=assign, item={ITEM}, agent=AGENT",
        ),
        (
            f"Take it first: orchestrate assign {ITEM} ada.2 --force",
            f"Take it first: the tool mend with verb=assign, item={ITEM}, agent=ada.2",
        ),
        (
            f"Assign it: orchestrate assign {ITEM} ada",
            f"Assign it: the tool assign with items={ITEM}, agent=ada",
        ),
        (
            f"Assign it: orchestrate assign {ITEM} AGENT",
            f"Assign it: the tool assign with items={ITEM}, agent=AGENT",
        ),
        (
            f"Say which one: orchestrate answer {ITEM} --question N TEXT",
            f"Say which one: the tool answer with item={ITEM}, question=N, text=TEXT",
        ),
        (
            f"Run orchestrate requeue {ITEM} --reopen. Or not.",
            f"Run the tool mend with verb=requeue, item={ITEM}, reopen=true. Or not.",
        ),
        (
            "orchestrate stuck lists stalled items, with the reason.",
            "the tool status with of=stuck lists stalled items, with the reason.",
        ),
        (
            "Continue with --since 17-1:proj_1a2b3c4d",
            "Continue with since=17-1:proj_1a2b3c4d",
        ),
        (
            "To keep waiting, rerun this command with --since 17-1",
            "To keep waiting, call this tool again with since=17-1",
        ),
        (
            f"To follow the plan: orchestrate assign {ITEM} --pool backend",
            f"To follow the plan: the tool assign with items={ITEM}, pool=backend",
        ),
        (
            "Raise it: orchestrate budget ada --limit AMOUNT --per day",
            "Raise it: the tool budget with owner=ada, limit=AMOUNT, per=day",
        ),
        (
            "List them: orchestrate schedule list",
            "List them: the tool status with of=schedules",
        ),
        (
            "Remove one: orchestrate schedule remove NAME",
            "Remove one: the tool schedule with verb=remove, schedule=NAME",
        ),
        (
            "orchestrate server start --repair",
            "orchestrate server start --repair",
        ),
    ],
)
def test_orchestrators_command_becomes_tool(hint: str, shown: str) -> None:
    assert for_tools(hint, ORCHESTRATOR) == shown


def commands_in_hints() -> Iterator[tuple[str, str]]:
    """Yield the role and the name of each command that a hint can name."""
    for module in (errors, hints, stuck, actions):
        for text in re.findall(
            r'f?"((?:[^"\\]|\\.)*)"', inspect.getsource(module)
        ):
            yield from re.findall(
                r"\b(worker|orchestrate) ([a-z][a-z-]+)", text
            )


def test_hint_names_no_command_that_lacks_tool() -> None:
    known = {"worker": WORKER, "orchestrate": ORCHESTRATOR}
    named = set(commands_in_hints())

    assert ("worker", "pop") in named
    assert {
        (role, name)
        for role, name in named
        if name not in known[role] and name not in OF_PEOPLE
    } == set()


@pytest.mark.parametrize(
    ("commands", "tools"),
    [
        (WORKER, of_the_worker.TOOLS),
        (ORCHESTRATOR, of_the_orchestrator.TOOLS),
    ],
)
def test_tool_of_command_takes_its_arguments(
    commands: dict[str, object], tools: tuple[type, ...]
) -> None:
    by_name = {tool.name: tool for tool in tools}  # type: ignore[attr-defined]
    for command, tool in commands.items():
        if tool is None:
            continue
        arguments = {*tool.positional, *tool.fixed, *tool.valued}  # type: ignore[attr-defined]
        assert arguments <= set(by_name[tool.name].kinds()), command  # type: ignore[attr-defined]
