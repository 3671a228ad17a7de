"""The log of `worker run`: one line per event on stdout, messages on stderr.

The lines are text, or JSON objects with `--json`. Their times are those of this
machine's clock.
"""

from collections.abc import Sequence
from threading import Lock
from time import time

from taskorch.cli import json_output
from taskorch.cli.output import CommandOutput, discard_stdout
from taskorch.cli.text import line, lines, timestamp
from taskorch.domain.clock import rfc3339
from taskorch.domain.item import Claim

from taskorch_worker.git import Work
from taskorch_worker.run.settle import Settled

#: The number of characters shown of a long text's beginning and end.
FIRST_SHOWN, LAST_SHOWN = 100, 200


class RunLog:
    """The log of one run. Any thread may write to it."""

    def __init__(self, output: CommandOutput) -> None:
        self._output = output
        #: Two locks: a blocked reader of one stream must not block the other one.
        self._stdout_lock, self._stderr_lock = Lock(), Lock()

    def claimed(self, claim: Claim) -> None:
        """Log that an item was claimed."""
        item = claim.package.item
        text = f"{item.title} (attempt {item.attempts} of {item.max_attempts})"
        details = {
            "title": item.title,
            "token": item.token,
            "attempt": item.attempts,
            "max_attempts": item.max_attempts,
        }
        self._write(item.id, "claimed", text, details)

    def settled(
        self,
        claim: Claim,
        settled: Settled,
        *,
        took_s: float,
        log: str,
        work: Work | None,
    ) -> None:
        """Log how an attempt ended, its duration in seconds, its log, and its work."""
        text = f"after {took_s:.1f} s"
        if settled.text:
            text = f"{text}: {settled.text}"
        details = {
            "state": settled.state,
            "text": settled.text,
            "duration_s": round(took_s, 3),
            "log": log,
        }
        if work:
            details |= work.deliverables({})
        self._write(claim.package.item.id, settled.end, text, details)

    def printed(
        self, item: str, stream: str, texts: Sequence[str], *, names_item: bool
    ) -> None:
        """Log lines that the command of an item has printed."""
        if self._output.as_json:
            for text in texts:
                entry = self._entry(item, "output", stream=stream, text=text)
                self._print(json_output.line(entry))
            return
        start = f"{item} | " if names_item else ""
        shown = [f"{start}{lines(text)}" for text in texts]
        self._print("\n".join(shown))

    def notify(self, text: str) -> None:
        """Print a message for the user to stderr."""
        with self._stderr_lock:
            self._output.notify(line(text))

    def _write(
        self, item: str, event: str, text: str, details: dict[str, object]
    ) -> None:
        if self._output.as_json:
            entry = self._entry(item, event, **details)
            self._print(json_output.line(entry))
            return
        at = timestamp(round(time() * 1000))
        shown = _shortened(line(text))
        self._print(f"{at}  {item}  {event:9}  {shown}")

    def _entry(
        self, item: str, event: str, **details: object
    ) -> dict[str, object]:
        at = rfc3339(round(time() * 1000))
        return {"event": event, "at": at, "item": item, **details}

    def _print(self, text: str) -> None:
        with self._stdout_lock:
            try:
                print(text, flush=True)  # noqa: T201  stdout may not even exist
            except OSError:
                # The reader has ended, or the disk is full. The run continues.
                discard_stdout()


def _shortened(text: str) -> str:
    if len(text) <= FIRST_SHOWN + LAST_SHOWN:
        return text
    first, last = text[:FIRST_SHOWN], text[-LAST_SHOWN:]
    return f"{first} … {last}"
