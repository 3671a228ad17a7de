"""The Python examples of README.md and docs/ run, and pass `mypy --strict`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import Shell
from support.python_blocks import (
    REPOSITORY,
    check_types,
    python_blocks,
    run_until,
)
from support.tool_client import connected, run_async
from taskorch import NewItem, Queue, State

AGENT = "database_specialist"
PAGES = ("README.md", "docs/python.md")
EXAMPLES = {
    f"{page} {number}": block
    for page in PAGES
    for number, block in enumerate(python_blocks(page), 1)
} | {
    f"docs/frameworks.md {number}": block
    for number, block in enumerate(python_blocks("docs/frameworks.md"), 1)
    if "from taskorch" in block.splitlines()[0]
    or block.startswith("import asyncio\n\nfrom taskorch")
}


@pytest.fixture
def queue(local: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """Return the queue of the folder, with two items for the specialist."""
    monkeypatch.chdir(local.folder)
    local.orchestrate("server", "start")
    with Queue.open(agent="planner") as queue:
        project = queue.project("Build authentication system")
        for title in ("Design database schema", "Design the indexes"):
            queue.create(project, NewItem(title=title, agent=AGENT))
        yield queue


def program_of(folder: Path, example: str) -> Path:
    """Write an example with the queue of the folder, which runs here."""
    program = folder / "program.py"
    address = '"redis://localhost:6379/0", '
    program.write_text(example.replace(address, ""))
    return program


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_python_example_runs(local: Shell, queue: Queue, example: str) -> None:
    program = program_of(local.folder, example)

    code, _, stderr = run_until(
        local, program, lambda: not queue.agent(AGENT).check().count
    )

    assert (code, "Traceback" in stderr) == (0, False), stderr
    items = queue.views.list().items
    if ".complete(" in example and "wait_for_answer" not in example:
        assert State.COMPLETED in [item.state for item in items]
    if ".run()" in example:
        assert {item.state for item in items} == {State.COMPLETED}
    assert not any(item.holder for item in items if item.state != "completed")


def test_python_examples_pass_mypy_strict(tmp_path: Path) -> None:
    for number, example in enumerate(EXAMPLES.values()):
        (tmp_path / f"example_{number}.py").write_text(example)

    checked = check_types(tmp_path)

    assert checked.returncode == 0, checked.stdout
    assert f"{len(EXAMPLES)} source files" in checked.stdout
    assert len(EXAMPLES) > 8


def test_mcp_configuration_of_frameworks_page_works(shell: Shell) -> None:
    page = (REPOSITORY / "docs" / "frameworks.md").read_text()
    (block,) = re.findall(
        r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    )
    (server,) = json.loads(block)["mcpServers"].values()
    configured = shell.having(**server["env"])

    async def list_tools() -> None:
        async with connected(configured, server["command"]) as client:
            tools = (await client.session.list_tools()).tools
            assert {"pop", "report", "complete"} <= {t.name for t in tools}

    run_async(list_tools)
    assert server["args"] == ["mcp"]
    assert server["env"] == {"AGENT_ID": AGENT}
