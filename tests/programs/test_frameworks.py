"""The examples of docs/frameworks.md, with the frameworks and a scripted model."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs.checkout import PASSED
from programs.model_server import ScriptedModel, call, say, steps
from programs.python_packages import python_with
from support.commands import Shell
from support.hermetic import SET
from support.python_blocks import (
    REPOSITORY,
    python_blocks,
    run_until,
)
from taskorch import NewItem, Queue, State

REQUIREMENTS = Path(__file__).parent / "frameworks.txt"
PAGE = "docs/frameworks.md"
AGENT = "database_specialist"
#: Framework -> a word of its example, and how the model calls the tool `progress`.
EXAMPLES = {
    "claude-agent-sdk": ("claude_agent_sdk", "mcp__item__progress"),
    "openai-agents": ("from agents", "progress"),
    "langgraph": ("langgraph", "progress"),
}


class Program(Shell):
    """A shell with no variables of this machine."""

    def environment(self) -> dict[str, str]:
        passed = {
            name: os.environ[name] for name in PASSED if name in os.environ
        }
        return {**passed, **SET, **self.variables}


def example_of(framework: str) -> str:
    word, _ = EXAMPLES[framework]
    (example,) = [block for block in python_blocks(PAGE) if word in block]
    return example


@pytest.fixture(scope="session")
def python() -> str:
    """Return the Python of an environment with the frameworks."""
    return python_with("frameworks", REQUIREMENTS.read_text().split())


@pytest.fixture
def shell(python: str, valkey_url: str) -> Iterator[Program]:
    """Return a shell with a home of its own, and the library of the checkout."""
    folder = Path(tempfile.mkdtemp(prefix="to-"))
    (folder / "home").mkdir()
    yield Program(
        folder,
        {
            "HOME": str(folder / "home"),
            "PATH": os.pathsep.join(("/usr/local/bin", "/usr/bin", "/bin")),
            "PYTHONPATH": str(REPOSITORY / "shared"),
            "TASKORCH_REDIS_URL": valkey_url,
            "TASKORCH_NAMESPACE": f"test-{os.urandom(4).hex()}",
            "PYTHON": python,
        },
    )
    shutil.rmtree(folder)


@pytest.mark.parametrize("framework", EXAMPLES)
def test_framework_works_on_items(
    shell: Program, python: str, model: ScriptedModel, framework: str
) -> None:
    _, tool = EXAMPLES[framework]
    server = model(steps(call(tool, text="Designing"), say("4 tables")))
    program = shell.folder / "program.py"
    program.write_text(example_of(framework))
    address, namespace = (
        shell.variables[name]
        for name in ("TASKORCH_REDIS_URL", "TASKORCH_NAMESPACE")
    )
    connected = Program(
        shell.folder,
        {
            **shell.variables,
            "ANTHROPIC_BASE_URL": server.url,
            "ANTHROPIC_API_KEY": "of-no-value",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "OPENAI_API_KEY": "of-no-value",
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
            "LANGSMITH_TRACING": "false",
        },
    )

    with Queue.open(address, namespace, "planner") as queue:
        project = queue.project("Build authentication system")
        for title in ("Design database schema", "Design the indexes"):
            new = NewItem(
                title=title, agent=AGENT, requirements=["Users table"]
            )
            queue.create(project, new)
        code, _, stderr = run_until(
            connected,
            program,
            lambda: queue.views.progress(project).project.is_finished,
            python,
        )
        items = queue.views.list(project=project).items
        reports = [queue.views.show(item.id).history for item in items]

    assert (code, "Traceback" in stderr) == (0, False), stderr
    assert {item.state for item in items} == {State.COMPLETED}, stderr
    assert ["progress", "complete"] in [
        [report.kind for report in history] for history in reports
    ]
    assert {item.summary for item in items} == {"4 tables"}
    prompts = "".join(server.requests[0].texts)
    assert "Design" in prompts
    assert "Users table" in prompts


def test_every_example_of_the_page_is_run() -> None:
    """Those without a framework are run by tests/acceptance/test_docs_python.py."""
    assert len(python_blocks(PAGE)) == 2 + len(EXAMPLES)
