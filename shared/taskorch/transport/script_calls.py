"""The commands that run a script: FCALL, and EVALSHA where that is not possible.

FCALL --not found--> FUNCTION LOAD --> FCALL
  '--not possible--> EVALSHA --NOSCRIPT--> EVAL
"""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import TypeVar

from taskorch.queue.port import Argument, Script
from taskorch.transport.redis_errors import lacks_function

#: How long a connection runs scripts by their texts after functions were not possible.
REST_S = 60
#: Beginnings of replies: this user, or this server, does not run functions.
_NOT_POSSIBLE = ("NOPERM", "ERR unknown command", "unknown command")
#: A function that may write is refused before it runs. A script is refused when it
#: writes: one that has nothing to write, or repeats its reply, still gets an answer.
_WRITES_REFUSED = ("OOM", "READONLY", "NOREPLICAS", "MISCONF")
_LOADED_BY_ANOTHER = "already exists"

R = TypeVar("R")
#: Sends the words of a command. Returns the reply, and the error that it is, or "".
Send = Callable[..., tuple[R, str]]


class ScriptCalls:
    """Runs scripts on one server, and knows whether it runs them as functions."""

    def __init__(self) -> None:
        self._rests_until = 0.0

    def run(
        self, script: Script, numbered: Sequence[Argument], send: Send[R]
    ) -> R:
        """Run a script and return the reply, which may be an error.

        `numbered` are the number of keys, the keys and the arguments.
        """
        if not script.function or monotonic() < self._rests_until:
            return _run_text(script, numbered, send)[0]
        reply, error = _call_function(script, numbered, send)
        may_not_write = error.startswith(_WRITES_REFUSED)
        is_impossible = lacks_function(error) or error.startswith(
            _NOT_POSSIBLE
        )
        if not may_not_write and not is_impossible:
            return reply
        reply_to_text, error_of_text = _run_text(script, numbered, send)
        if error_of_text.startswith("NOPERM"):
            return reply
        if is_impossible:
            self._rests_until = monotonic() + REST_S
        return reply_to_text


def _call_function(
    script: Script, numbered: Sequence[Argument], send: Send[R]
) -> tuple[R, str]:
    """Run a script as a function, and install the library if the server has none."""
    fcall = ("FCALL", script.function, *numbered)
    reply, error = send(*fcall)
    if not lacks_function(error):
        return reply, error
    _, refusal = send("FUNCTION", "LOAD", script.library)
    if refusal and _LOADED_BY_ANOTHER not in refusal:
        return reply, error
    return send(*fcall)


def _run_text(
    script: Script, numbered: Sequence[Argument], send: Send[R]
) -> tuple[R, str]:
    """Run a script by its SHA1, or by its text if the server does not know it yet."""
    reply, error = send("EVALSHA", script.sha, *numbered)
    if not error.startswith("NOSCRIPT"):
        return reply, error
    return send("EVAL", script.text, *numbered)
