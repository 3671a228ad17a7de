"""Commands that agents' programs call at hooks: soon over, silent where there is nothing to say, never an error."""

import json
import os
import select
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Timer
from time import monotonic
from typing import TypeVar, cast

from taskorch.cli import app
from taskorch.cli.output import CommandOutput
from taskorch.domain import errors

#: The programs wait for their hooks, and people for the programs.
LIMIT_S = 1.5
STDIN_LIMIT_S = 0.3
STDIN_BYTES = 4 * 1024 * 1024

Told = TypeVar("Told")
Payload = Mapping[str, object]


@contextmanager
def bounded() -> Iterator[None]:
    """End the process, silently and well, when the block takes longer than LIMIT_S: nothing of it waits for more."""
    timer = Timer(LIMIT_S, os._exit, [0])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def prime(
    tell: Callable[[], Told | None], render: Callable[[Told], str], *, hook_json: bool
) -> None:
    """Print what there is to tell, or nothing; as the output of a session-start hook with `hook_json`.

    A hook is never an error; otherwise only a Redis that is away is none.
    """
    told, text = None, ""
    with bounded(), suppress(Exception if hook_json else errors.Unavailable):
        told = tell()
        if told is not None and hook_json:
            text = json.dumps(
                _session_start(payload(), render(told)), ensure_ascii=False
            )
    if text:
        answer(text)
    elif told is not None and not hook_json:
        app.output().show(told, render)


def payload() -> Payload:
    """Return what the program says on standard input; {} for a terminal, for nothing, for what is no JSON object."""
    said: object = {}
    with suppress(OSError, ValueError, AttributeError, RecursionError):
        if not sys.stdin.isatty():
            said = json.loads(_read(sys.stdin.fileno()))
    return said if isinstance(said, dict) else {}


def answer(text: str) -> None:
    """Print the output of a hook; a program that does not read it any more is no error."""
    with suppress(errors.Unprintable, OSError):
        CommandOutput(as_json=False).show(text, str)


def stop(tell: Callable[[Payload], str]) -> None:
    """Print why an agent should not stop yet, as its program has it, or nothing; `tell` gets what the program says."""
    said, reason = cast("Payload", {}), ""
    with (
        bounded(),
        suppress(Exception),
    ):  # whatever is wrong here must not keep the agent from stopping
        said = payload()
        reason = tell(said)
    if reason:
        shape = (
            {"followup_message": reason}
            if of_cursor(said)
            else {"decision": "block", "reason": reason}
        )
        answer(json.dumps(shape, ensure_ascii=False))


def of_cursor(said: Payload) -> bool:
    """Return whether Cursor calls: its hooks have small letters, and an output of their own."""
    return said.get("hook_event_name") in ("sessionStart", "stop")


def _session_start(said: Payload, text: str) -> Mapping[str, object]:
    if of_cursor(said):
        return {"additional_context": text}
    return {
        "hookSpecificOutput": {
            "hookEventName": "SessionStart",
            "additionalContext": text,
        }
    }


def _read(descriptor: int) -> bytes:
    """Return what comes before the end, or within STDIN_LIMIT_S from a program that does not close the pipe."""
    data, deadline = b"", monotonic() + STDIN_LIMIT_S
    while len(data) < STDIN_BYTES and (left := deadline - monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            break
        piece = os.read(descriptor, 65536)
        if not piece:
            break
        data += piece
    return data
