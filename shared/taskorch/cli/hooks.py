"""Commands that agent programs run as hooks: fast, quiet, and never an error."""

import json
import os
import select
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import TypeVar

from taskorch.cli import app
from taskorch.cli.output import CommandOutput
from taskorch.cli.time_limit import time_limit
from taskorch.config.program_session import ProgramSessions, start_of
from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.frozen import replace

#: Time for a hook: the program waits for it, and the user for the program.
LIMIT_S = 1.5
#: Time to read standard input, for a program that does not close the pipe.
STDIN_LIMIT_S = 0.3
STDIN_BYTES = 4 * 1024 * 1024
READ_BYTES = 65536

#: Names a file of which Claude Code runs the lines before each shell command.
ENVIRONMENT_FILE = "CLAUDE_ENV_FILE"

Briefing = TypeVar("Briefing")
#: The JSON that a program writes to the standard input of its hook.
Payload = Mapping[str, object]


def prime(
    read: Callable[[Payload], Briefing | None],
    render: Callable[[Briefing], str],
    *,
    role: str,
    hook_json: bool,
) -> None:
    """Print the briefing that `read` returns; nothing if Redis is unreachable.

    With `hook_json`, print it as the output of a session-start hook, and nothing after
    any error, or if another hook has just briefed the session for this role. `read`
    gets the JSON of the hook.
    """
    briefing, text = None, ""
    with (
        time_limit(LIMIT_S),
        suppress(Exception if hook_json else errors.Unavailable),
    ):
        payload = read_payload() if hook_json else {}
        briefing = read(payload)
        if briefing is not None and hook_json and _is_first(role, payload):
            output = _start_output(payload, render(briefing))
            text = json.dumps(output, ensure_ascii=False)
            _share_commands()
    if text:
        _print(text)
    elif briefing is not None and not hook_json:
        app.output().show(briefing, render)


def begin_session(payload: Payload) -> Settings:
    """Record the start of a program's session, and return the settings for it."""
    settings = app.settings()
    start = start_of(payload)
    if not start.id:
        return settings
    # The session is of use even if the folder cannot be written.
    with suppress(OSError, errors.TaskOrchestratorError):
        ProgramSessions(settings.folder_path).begin(start)
    return in_session(settings, payload)


def in_session(settings: Settings, payload: Payload) -> Settings:
    """Return the settings for the session that the JSON of a hook names."""
    id_ = start_of(payload).id
    if not id_ or "AGENT_SESSION" in os.environ:
        return settings
    session = ProgramSessions(settings.folder_path).named(id_)
    return replace(settings, session=session)


def _share_commands() -> None:
    """Add the folder of our commands to PATH for the shell of Claude Code.

    Without a command on PATH, the program calls its hooks by a path, which the briefing
    does not name.
    """
    import shlex
    import shutil
    from pathlib import Path

    file = os.environ.get(ENVIRONMENT_FILE)
    if not file or shutil.which("worker"):
        return
    folder = shlex.quote(str(Path(sys.argv[0]).absolute().parent))
    with suppress(OSError), Path(file).open("a", encoding="utf-8") as opened:
        opened.write(f'export PATH="$PATH":{folder}\n')


def _is_first(role: str, payload: Payload) -> bool:
    start = start_of(payload)
    if not start.id:
        return True
    try:
        sessions = ProgramSessions(app.settings().folder_path)
        return sessions.is_first(role, start)
    except OSError:
        return True


def stop(remind: Callable[[Payload], str]) -> None:
    """Print the reminder for an agent that is about to stop, in its program's format.

    `remind` returns "" for an agent that may stop. No error keeps the agent from
    stopping.
    """
    payload: Payload = {}
    reminder = ""
    with time_limit(LIMIT_S), suppress(Exception):
        payload = read_payload()
        reminder = remind(payload)
    if reminder:
        output = _stop_output(payload, reminder)
        _print(json.dumps(output, ensure_ascii=False))


def read_payload() -> Payload:
    """Return the payload; {} for a terminal, for no input and for any other JSON."""
    payload: object = {}
    with suppress(OSError, ValueError, AttributeError, RecursionError):
        if not sys.stdin.isatty():
            payload = json.loads(_read(sys.stdin.fileno()))
    return payload if isinstance(payload, dict) else {}


def _read(descriptor: int) -> bytes:
    """Return the input up to its end, or as much as arrives within STDIN_LIMIT_S."""
    data, deadline = b"", monotonic() + STDIN_LIMIT_S
    while len(data) < STDIN_BYTES:
        left_s = deadline - monotonic()
        if left_s <= 0:
            break
        readable, _, _ = select.select([descriptor], [], [], left_s)
        piece = os.read(descriptor, READ_BYTES) if readable else b""
        if not piece:
            break
        data += piece
    return data


def _is_cursor(payload: Payload) -> bool:
    """Return whether the program is Cursor: its event names begin in lower case."""
    return payload.get("hook_event_name") in ("sessionStart", "stop")


def _stop_output(payload: Payload, reminder: str) -> Mapping[str, object]:
    if _is_cursor(payload):
        return {"followup_message": reminder}
    return {"decision": "block", "reason": reminder}


def _start_output(payload: Payload, text: str) -> Mapping[str, object]:
    if _is_cursor(payload):
        return {"additional_context": text}
    return {
        "hookSpecificOutput": {
            "hookEventName": "SessionStart",
            "additionalContext": text,
        }
    }


def _print(text: str) -> None:
    # a program may have closed the pipe
    with suppress(errors.Unprintable, OSError):
        CommandOutput(as_json=False).show(text, str)
