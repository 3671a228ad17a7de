"""The commands of README.md and docs/ print what the pages show."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.commands import BIN, eventually
from support.terminal import Terminal

REPOSITORY = Path(__file__).parents[2]
STATUS = "orchestrate sync status"
PAGES = [
    "README.md",
    "docs/orchestrator.md",
    "docs/worker.md",
    "docs/agents.md",
    "docs/operations.md",
    "docs/gateway.md",
    "docs/troubleshooting.md",
]

#: The user has told git their name.
COMMITTER = {
    f"GIT_{role}_{what}": "ada@example.org"
    for role in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}
ID = re.compile(r"(?:proj|item|tok)_[0-9a-f]{8}")
#: Text that differs between runs.
VARYING = {
    r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}Z?": "TIME",
    r"\d{13}-\d+": "CURSOR",
    r"pid \d+": "PID",
    r"(?<=claimed by )(\w+) on \S+": r"\1 on HOST",
}


@dataclass(frozen=True)
class Step:
    """A command of a page, and the output that the page shows (None: it shows none)."""

    command: str
    screen: list[str] | None


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """Return a terminal in a new root, whose server is stopped after the test."""
    # A short path, because the pages show the path of the socket.
    with TemporaryDirectory(prefix="docs-") as folder:
        environment = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "NO_COLOR": "1",
            "COLUMNS": "200",
            "TERM": "xterm",
            "TASKORCH_ROOT": folder,
            **COMMITTER,
        }
        terminal = Terminal(Path(folder), environment)
        yield terminal
        terminal.close()
        stop = [str(BIN / "orchestrate"), "server", "stop"]
        subprocess.run(stop, cwd=folder, env=environment, check=True)


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_page_print_what_it_shows(
    page: str, terminal: Terminal
) -> None:
    steps = list(_steps((REPOSITORY / page).read_text()))
    ids: dict[str, str] = {}
    terminal.type("orchestrate server start")
    # as for a reader, who is slower than this test
    eventually(lambda: "Service: pid" in str(terminal.type(STATUS)))

    for step in steps:
        command = ID.sub(lambda id_: ids.get(id_[0], id_[0]), step.command)
        screen = terminal.type(command)

        assert not any("Traceback" in line for line in screen), screen
        if step.screen is None:
            assert (
                terminal.type("echo $?") == ["0"] or "set -e" in step.command
            ), screen
        else:
            _compare(step, screen, ids)


def test_every_page_with_commands_is_run() -> None:
    pages = {REPOSITORY / "README.md", *REPOSITORY.glob("docs/*.md")}

    shown = {
        str(page.relative_to(REPOSITORY))
        for page in pages
        if re.search(
            r"^\$ (orchestrate|worker) ", page.read_text(), re.MULTILINE
        )
    }

    assert shown == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_page_has_only_known_block_languages(page: str) -> None:
    languages = re.findall(
        r"^```(\w+)$", (REPOSITORY / page).read_text(), re.MULTILINE
    )

    assert set(languages) <= {
        "console",
        "bash",
        "python",
        "sh",
        "text",
        "yaml",
    }
    assert {"console"} <= set(languages)


def _steps(text: str) -> Iterator[Step]:
    """Yield the commands of a page, in order."""
    for language, body in re.findall(
        r"^```(console|bash|yaml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    ):
        if language == "yaml":
            yield Step(f"cat > plan.yaml <<'BLOCK'\n{body}BLOCK", None)
            continue
        if language == "bash":
            yield Step(f"bash <<'BLOCK'\n{body}BLOCK", None)
            continue
        for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            length = next(
                n for n, line in enumerate(lines, 1) if not line.endswith("\\")
            )
            yield Step("\n".join(lines[:length]), lines[length:])


def _compare(step: Step, screen: list[str], ids: dict[str, str]) -> None:
    """Compare the output with the page; a line of "…" stands for any number of lines.

    `ids` maps ids of the page to those of this run, and gains the new ones.
    """
    assert step.screen is not None
    rest = list(screen)
    for number, expected in enumerate(step.screen):
        if expected == "…":
            following = step.screen[number + 1 :]
            while rest and not (
                following and _matches(following[0], rest[0], ids)
            ):
                rest.pop(0)
            continue
        shown = rest.pop(0) if rest else "(nothing)"
        assert _matches(expected, shown, ids), (
            f"{step.command}\npage:   {expected}\nscreen: {shown}"
        )
        ids.update(
            dict(zip(ID.findall(expected), ID.findall(shown), strict=True))
        )
    assert not rest, f"{step.command}\nnot on the page: {rest}"


def _matches(expected: str, shown: str, ids: dict[str, str]) -> bool:
    return re.fullmatch(_pattern(expected, ids), _masked(shown)) is not None


def _pattern(expected: str, ids: dict[str, str]) -> str:
    """Return the pattern of a line of the page; a new id matches any id."""
    pattern = re.escape(_masked(expected)).replace("…", ".*")
    return ID.sub(lambda id_: ids.get(id_[0], ID.pattern), pattern)


def _masked(line: str) -> str:
    """Return a line with a placeholder for each text that differs between runs."""
    for varying, word in VARYING.items():
        line = re.sub(varying, word, line)
    return line
