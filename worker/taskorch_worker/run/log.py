"""The render of `worker run`, line by line: for people or as objects of JSON, and what goes wrong on stderr.

Its times are those of this machine: when it said something, which Redis need not know.
"""

from contextlib import suppress
from threading import Lock
from time import time

import click
from taskorch.cli import json_output
from taskorch.cli.output import discard_stdout
from taskorch.cli.text import line, timestamp
from taskorch.domain.clock import rfc3339
from taskorch.domain.item import Claim

from taskorch_worker.run.settle import Settled

#: Of a text that is longer, its beginning and its end.
FIRST_SHOWN, LAST_SHOWN = 100, 200


class RunLog:
    """The lines of a run; its threads take turns."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        #: Two, for a reader of the one who does not read must not keep the other waiting.
        self._turn, self._turn_to_say = Lock(), Lock()

    def claimed(self, claim: Claim) -> None:
        """Say that an item was claimed."""
        item = claim.package.item
        text = f"{item.title} (attempt {item.attempts} of {item.max_attempts})"
        more = {
            "title": item.title,
            "token": item.token,
            "attempt": item.attempts,
            "max_attempts": item.max_attempts,
        }
        self._write(item.id, "claimed", text, more)

    def settled(self, claim: Claim, settled: Settled, took_s: float) -> None:
        """Say how it ended, after how many seconds."""
        text = f"after {took_s:.1f} s" + (f": {settled.text}" if settled.text else "")
        more = {
            "state": settled.state,
            "text": settled.text,
            "duration_s": round(took_s, 3),
        }
        self._write(claim.package.item.id, settled.end, text, more)

    def say(self, text: str) -> None:
        """Say what people should know."""
        with self._turn_to_say, suppress(OSError):
            click.echo(line(text), err=True)

    def _write(self, item: str, event: str, text: str, more: dict[str, object]) -> None:
        at = round(time() * 1000)
        known = {"event": event, "at": rfc3339(at), "item": item, **more}
        words = f"{timestamp(at)}  {item}  {event:9}  {_shortened(line(text))}"
        with self._turn:
            try:
                click.echo(json_output.line(known) if self._as_json else words)
            except (
                OSError
            ):  # nobody reads it any more, or the disk is full; the work goes on
                discard_stdout()


def _shortened(text: str) -> str:
    return (
        text
        if len(text) <= FIRST_SHOWN + LAST_SHOWN
        else f"{text[:FIRST_SHOWN]} … {text[-LAST_SHOWN:]}"
    )
