"""Claude Code in a checkout, with a scripted model and without any other network."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
from threading import Timer
from typing import Any

from programs import work
from programs.checkout import Checkout, run_program
from programs.model_server import ModelServer
from taskorch_worker.run.reaper import kill_command

#: The prefix of our tools.
OURS = "mcp__task-orchestrator__"
#: The first line of the briefing of a worker.
BRIEFING = "# You are the agent `ada`"
#: A proxy that does not answer, for everything but loopback.
NO_NETWORK = "http://127.0.0.1:9"
TIME_LIMIT_S = 90


def claude(checkout: Checkout, model: ModelServer) -> Checkout:
    """Return a shell in which Claude Code uses the scripted model alone."""
    return checkout.having(
        ANTHROPIC_BASE_URL=model.url,
        ANTHROPIC_API_KEY="of-no-value",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
        # A machine that runs several tests may need more than the five seconds.
        MCP_CONNECT_TIMEOUT_MS="60000",
        MCP_TIMEOUT="60000",
        HTTPS_PROXY=NO_NETWORK,
        HTTP_PROXY=NO_NETWORK,
        NO_PROXY="127.0.0.1",
        npm_config_offline="true",
    )


def ada(checkout: Checkout, model: ModelServer) -> Checkout:
    """Return a shell of ada's, with Claude Code set up in the checkout."""
    shell = claude(checkout, model).having(AGENT_ID="ada")
    work.set_up(shell, "claude")
    return shell


def ask(
    shell: Checkout, prompt: str, *options: str
) -> "subprocess.CompletedProcess[str]":
    """Ask Claude Code something, without a person."""
    run = run_program(shell, "claude", "-p", prompt, *options)
    assert run.returncode == 0, run.stderr
    return run


def result(shell: Checkout, prompt: str, *options: str) -> dict[str, Any]:
    """Ask Claude Code something, and return its result."""
    run = ask(shell, prompt, *options, "--output-format", "json")
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def trust(shell: Checkout) -> None:
    """Trust the folder, as a person does in the dialog at the first start."""
    file = shell.home / ".claude.json"
    settings = json.loads(file.read_bytes()) if file.exists() else {}
    folder = settings.setdefault("projects", {}).setdefault(
        str(shell.folder), {}
    )
    folder["hasTrustDialogAccepted"] = True
    file.write_text(json.dumps(settings), encoding="utf-8")


def doctor(shell: Checkout) -> str:
    """Return the screen of `claude doctor`, which needs a terminal, without spaces."""
    ours, theirs = pty.openpty()
    size = struct.pack("HHHH", 100, 160, 0, 0)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    process = subprocess.Popen(
        ["claude", "doctor"],
        cwd=shell.folder,
        env={**shell.environment(), "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    limit = Timer(TIME_LIMIT_S, process.kill)
    limit.start()
    screen = ""
    try:
        while "Entertoclose" not in screen:
            drawn = os.read(ours, 65536).decode(errors="replace")
            screen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\s", "", drawn)
    finally:
        limit.cancel()
        # In the meantime, it asks npm for its newest version.
        kill_command(process.pid)
        process.wait()
        os.close(ours)
    return screen
