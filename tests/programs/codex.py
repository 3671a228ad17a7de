"""Codex in a checkout: its configuration, what a person confirms, and its events."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread, Timer
from typing import Any

from programs import work
from programs.checkout import Checkout
from programs.model_server import ModelRequest, ModelServer

#: The namespace of our tools.
TOOLS = "mcp__task_orchestrator"
#: What the shell of Codex needs for `worker`: sockets, and the PATH of Codex itself.
SHELL = (
    "-c",
    "sandbox_workspace_write.network_access=true",
    "-c",
    "allow_login_shell=false",
)
CONFIG = """\
model = "scripted"
model_provider = "scripted"

[model_providers.scripted]
name = "scripted"
base_url = "{url}/v1"
env_key = "SCRIPTED_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""
TRUST = """
[projects."{folder}"]
trust_level = "trusted"
"""
#: What Codex asks a terminal: for the cursor, and for the kind of the terminal.
TERMINAL = {b"\x1b[6n": b"\x1b[1;1R", b"\x1b[c": b"\x1b[?62;c"}
BRIEFING = "# You are the agent `{agent}`"
TIME_LIMIT_S = 60


def codex(
    checkout: Checkout, model: ModelServer, *, trusts: bool = True
) -> Checkout:
    """Return a shell in which Codex uses the scripted model alone.

    With `trusts`, the person has said that they trust the checkout.
    """
    folder = checkout.home / ".codex"
    folder.mkdir(exist_ok=True)
    config = CONFIG.format(url=model.url)
    if trusts:
        config += TRUST.format(folder=checkout.folder)
    (folder / "config.toml").write_text(config, encoding="utf-8")
    # Codex keeps its helpers in its home only if that is not a temporary folder.
    temporary = checkout.home.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    return checkout.having(
        SCRIPTED_KEY="of-no-value",
        TMPDIR=str(temporary),
        HOME=str(checkout.home),
    )


def set_up(shell: Checkout, *options: str) -> str:
    """Run `orchestrate setup codex`, and return what it printed."""
    return work.set_up(shell, "codex", *options)


def user_config(shell: Checkout) -> dict[str, Any]:
    """Return the user's configuration."""
    file = shell.home / ".codex" / "config.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


def trust_hooks(shell: Checkout) -> Sequence[str]:
    """Confirm the hooks that Codex shows a person for review; return their commands."""
    with _app_server(shell) as request:
        listed = request("hooks/list", {"cwds": [str(shell.folder)]})
        hooks = [hook for entry in listed["data"] for hook in entry["hooks"]]
        trusted = {
            hook["key"]: {"trusted_hash": hook["currentHash"]}
            for hook in hooks
        }
        edit = {
            "keyPath": "hooks.state",
            "value": trusted,
            "mergeStrategy": "upsert",
        }
        request("config/batchWrite", {"edits": [edit]})
    return [hook["command"] for hook in hooks]


@contextmanager
def _app_server(shell: Checkout) -> Iterator[Any]:
    """Run the server of Codex for its other surfaces, and yield a call of a method."""
    process = subprocess.Popen(
        ["codex", "app-server"],
        cwd=shell.folder,
        env=shell.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin
    assert stdout

    def send(message: object) -> None:
        stdin.write(json.dumps(message) + "\n")
        stdin.flush()

    def request(method: str, params: object) -> Any:
        send({"id": method, "method": method, "params": params})
        for line in stdout:
            answer = json.loads(line)
            if answer.get("id") == method:
                assert "result" in answer, answer
                return answer["result"]
        raise AssertionError(f"codex app-server has ended before {method}")

    limit = Timer(TIME_LIMIT_S, process.kill)
    limit.start()
    try:
        client = {"name": "test", "title": "Test", "version": "1"}
        request("initialize", {"clientInfo": client})
        send({"method": "initialized"})
        yield request
    finally:
        limit.cancel()
        stdin.close()
        process.wait(TIME_LIMIT_S)
        stdout.close()


@contextmanager
def on_terminal(shell: Checkout, *words: str) -> Iterator[None]:
    """Run Codex on a terminal for a person, which answers its questions; end it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    process = subprocess.Popen(
        ["codex", *words],
        cwd=shell.folder,
        env={**shell.environment(), "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    terminal = Thread(target=_answer_terminal, args=[ours])
    terminal.start()
    try:
        yield
    finally:
        process.terminate()
        process.wait(TIME_LIMIT_S)
        terminal.join(TIME_LIMIT_S)
        os.close(ours)


def _answer_terminal(ours: int) -> None:
    """Answer what Codex asks a terminal, until it has closed it."""
    with suppress(OSError):
        while screen := os.read(ours, 65536):
            for question, answer in TERMINAL.items():
                if question in screen:
                    os.write(ours, answer)


def briefings(request: ModelRequest, agent: str) -> int:
    """Return how often a request holds the briefing of an agent."""
    return request.text.count(BRIEFING.format(agent=agent))


def our_tools(request: ModelRequest) -> set[str]:
    """Return the names of our tools in a request."""
    names = (tool.rpartition(".") for tool in request.tools)
    return {name for space, _, name in names if space == TOOLS}
