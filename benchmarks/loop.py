"""Clients as bare as Python has them: many connections in one process, a call under way on each, no library between.

A call is packed and its reply parsed by hiredis (C), a selector waits for all sockets at once. As a program:

    python -m benchmarks.loop SOCKET NAMESPACE CONNECTIONS AGENTS SECONDS VERB ...

It prints a line when it is connected, begins when it reads one, and prints a JSON
object of what it saw. Each connection does the verbs in turn: `ping`, or `claim` and
then steps on the item that it claimed, or `next`: a `complete` that claims the next item.
"""

import json
import os
import selectors
import socket
import sys
from collections.abc import Sequence
from time import perf_counter, process_time
from typing import Any

import hiredis
from taskorch.queue import keys
from taskorch.queue.scripts import library_text, load
from taskorch.version import __version__

from benchmarks.queues import agent

READ_BYTES = 65536
PATIENCE_S = 30.0
#: A `complete` that claims the next item. If its connection holds none, it is a `claim`.
NEXT = "next"
#: The arguments before the items of a step, for steps with several items.
BEFORE_ITEMS = {"complete": ("", "", "", "1"), NEXT: ("1", "", "", "1")}
#: The arguments of a step after the item and its token.
WORDS: dict[str, tuple[str, ...]] = {
    "progress": ("Half of it is done", "50", ""),
    "complete": ("All of it is done", "{}", "", ""),
    NEXT: ("All of it is done", "{}", "", ""),
}


class Caller:
    """One connection that makes one call after another."""

    def __init__(
        self, path: str, namespace: str, name: str, verbs: Sequence[str]
    ) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self._reader = hiredis.Reader()
        self._meta = keys.meta(namespace)
        self._who = (
            name,
            "here",
            str(os.getpid()),
            str(self.socket.fileno()),
            __version__,
        )
        self._verbs = verbs
        self._place = -1
        self._item: tuple[bytes, ...] = ()
        self._began = 0.0
        self.verb = ""
        self._ask(("FUNCTION", "LOAD", "REPLACE", library_text()))

    def begin(self) -> None:
        """Make the next call."""
        self._place = (self._place + 1) % len(self._verbs)
        self.verb = self._verbs[self._place]
        if self.verb == NEXT and not self._item:
            self.verb = "claim"
        call = hiredis.pack_command(self._words())
        self._began = perf_counter()
        self.socket.sendall(call)

    def end(self) -> tuple[Any, float] | None:
        """Read available bytes; return the reply and its seconds once it is complete."""
        self._reader.feed(self.socket.recv(READ_BYTES))
        reply = self._reader.gets()
        if reply is False:
            return None
        taken = perf_counter() - self._began
        if (claims := _claims(self.verb, reply)) is not None:
            self._item = tuple(claims[0][:2]) if claims else ()
        return reply, taken

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def afresh(self) -> None:
        """Start the next round with the first verb."""
        self._place = -1

    def _words(self) -> tuple[Any, ...]:
        if self.verb == "ping":
            return ("PING",)
        own = (
            ("", "1", "1")
            if self.verb == "claim"
            else (
                *BEFORE_ITEMS.get(self.verb, ()),
                *self._item,
                *WORDS[self.verb],
            )
        )
        return (
            "FCALL",
            load("complete" if self.verb == NEXT else self.verb).function,
            "1",
            self._meta,
            os.urandom(8).hex(),
            *self._who,
            *own,
        )

    def _ask(self, words: tuple[str, ...]) -> None:
        self.socket.sendall(hiredis.pack_command(words))  # type: ignore[arg-type]
        while self._reader.gets() is False:
            self._reader.feed(self.socket.recv(READ_BYTES))


def run(
    callers: Sequence[Caller], *, seconds: float = 0, turns: int = 0
) -> dict[str, Any]:
    """Make calls on all connections for some time, or up to a number; return the steps, their times and the errors."""
    micros: dict[str, list[int]] = {}
    errors: list[str] = []
    with selectors.DefaultSelector() as selector:
        for caller in callers:
            selector.register(caller.socket, selectors.EVENT_READ, caller)
        began, cpu, done = perf_counter(), process_time(), 0
        for caller in callers:
            caller.begin()
        while (perf_counter() - began < seconds) if seconds else done < turns:
            ready = selector.select(PATIENCE_S)
            if not ready:
                raise TimeoutError(f"no reply within {PATIENCE_S:.0f} s")
            for key, _ in ready:
                ended = key.data.end()
                if ended:
                    reply, taken = ended
                    micros.setdefault(key.data.verb, []).append(
                        round(taken * 1e6)
                    )
                    done += 1
                    if wrong := _wrong(key.data.verb, reply):
                        errors.append(wrong)
                        key.data.afresh()
                    key.data.begin()
        passed = perf_counter() - began
    return {
        "steps": done,
        "seconds": passed,
        "cpu": process_time() - cpu,
        "errors": len(errors),
        "first": errors[:1],
        "micros": micros,
    }


def _wrong(verb: str, reply: object) -> str:
    """Return the error of a reply, or ""."""
    if isinstance(reply, hiredis.ReplyError):
        return str(reply)
    return "the queue ran empty" if _claims(verb, reply) == [] else ""


def _claims(verb: str, reply: object) -> list[Any] | None:
    """Return the claims in a reply; None if the verb claims nothing, or failed."""
    if verb not in {"claim", NEXT} or not isinstance(reply, list):
        return None
    claims: list[Any] = reply[1] if verb == NEXT else reply[0]
    return claims


def main() -> None:
    """Run the program."""
    path, namespace, connections, agents, seconds, *verbs = sys.argv[1:]
    callers = [
        Caller(path, namespace, agent(number % int(agents)), verbs)
        for number in range(int(connections))
    ]
    sys.stdout.write("connected\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(json.dumps(run(callers, seconds=float(seconds))) + "\n")


if __name__ == "__main__":
    main()
