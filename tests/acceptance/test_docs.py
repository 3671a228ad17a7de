"""What README.md and docs/usage.md show is typed into a terminal, and the screen must say what they say."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.commands import BIN, TIME_LIMIT_S

REPOSITORY = Path(__file__).parents[2]
PAGES = ["README.md", "docs/usage.md"]
END = "--end-of-command--"

ID = re.compile(r"(?:proj|item)_[0-9a-f]{8}")
#: What differs from run to run.
VARYING = {
    r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}Z": "TIME",
    r"\d{13}-\d+": "CURSOR",
    r"pid \d+": "PID",
}


@dataclass(frozen=True)
class Step:
    """A command of a page, and the screen that the page shows after it (None: it shows none)."""

    command: str
    screen: list[str] | None


class Terminal:
    """A bash whose output goes to a pseudo-terminal, as a person's does."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        os.set_blocking(self._ours, True)
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def type(self, command: str) -> list[str]:
        """Run a command to its end and return the lines it left on the screen."""
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{command}\necho {END}\n".encode())
        self._bash.stdin.flush()
        screen = b""
        while (
            f"{END}\r\n".encode() not in screen
        ):  # with its line end, or the next screen begins with it
            screen += os.read(self._ours, 65536)
        return screen.decode().replace("\r\n", "\n").partition(END)[0].splitlines()

    def close(self) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        self._bash.wait(timeout=TIME_LIMIT_S)
        os.close(self._ours)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with TemporaryDirectory(
        prefix="docs-"
    ) as folder:  # a short path: the pages show the socket below the root
        yield from _terminal_in(Path(folder))


def _terminal_in(folder: Path) -> Iterator[Terminal]:
    shown = {"NO_COLOR": "1", "COLUMNS": "200", "TERM": "xterm"}
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        **shown,
        "TASKORCH_ROOT": str(folder),
    }
    opened = Terminal(folder, environment)
    yield opened
    opened.close()
    subprocess.run(
        [BIN / "orchestrate", "server", "stop"], cwd=folder, env=environment, check=True
    )


@pytest.mark.parametrize("page", PAGES)
def test_what_the_page_shows_is_what_the_screen_says(
    page: str, terminal: Terminal
) -> None:
    steps = list(_steps((REPOSITORY / page).read_text()))
    ids: dict[str, str] = {}
    terminal.type("orchestrate server start")

    for step in steps:
        screen = terminal.type(
            ID.sub(lambda found: ids.get(found.group(), found.group()), step.command)
        )

        assert not any("Traceback" in line for line in screen), screen
        if step.screen is None:
            assert terminal.type("echo $?") == ["0"] or "set -e" in step.command, screen
        else:
            _compare(step, screen, ids)


def test_the_python_of_the_readme_runs(valkey_url: str, tmp_path: Path) -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```$",
        (REPOSITORY / "README.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    program = tmp_path / "program.py"
    program.write_text(
        blocks[0].replace("redis://localhost:6379/0", valkey_url)
        + "print(specialist.check().count)\n"
    )

    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.parametrize("page", PAGES)
def test_every_shell_block_is_run_or_known_as_installation(page: str) -> None:
    languages = re.findall(r"^```(\w+)$", (REPOSITORY / page).read_text(), re.MULTILINE)

    assert set(languages) <= {"console", "bash", "python", "sh", "text", "yaml"}
    assert {"console"} <= set(languages)


def _steps(text: str) -> Iterator[Step]:
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
    """Hold a screen against the page's, line by line; a line of "…" stands for any number of lines."""
    assert step.screen is not None
    rest = list(screen)
    for number, expected in enumerate(step.screen):
        if expected == "…":
            following = (
                step.screen[number + 1] if number + 1 < len(step.screen) else None
            )
            while rest and (
                following is None
                or not re.fullmatch(_pattern(following, ids), _masked(rest[0]))
            ):
                rest.pop(0)
            continue
        shown = rest.pop(0) if rest else "(nothing)"
        assert re.fullmatch(_pattern(expected, ids), _masked(shown)), (
            f"{step.command}\npage:   {expected}\nscreen: {shown}"
        )
        ids.update(dict(zip(ID.findall(expected), ID.findall(shown), strict=True)))
    assert not rest, f"{step.command}\nthe page does not show: {rest}"


def _pattern(expected: str, ids: dict[str, str]) -> str:
    """Return what a line of the page stands for; an id that has not been seen yet may be any."""
    return ID.sub(
        lambda found: ids.get(found.group(), ID.pattern),
        re.escape(_masked(expected)).replace("…", ".*"),
    )


def _masked(line: str) -> str:
    for varying, word in VARYING.items():
        line = re.sub(varying, word, line)
    return line
