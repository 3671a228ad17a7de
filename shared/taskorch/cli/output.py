"""The output of a command: results on stdout, messages on stderr."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO, TypeVar

import click

from taskorch.cli import text as plain_text
from taskorch.domain import errors

#: Number of damaged rows that a message names.
DAMAGE_SHOWN = 5
Result = TypeVar("Result")


class CommandOutput:
    """The output of one command: text for people, or JSON documents with `--json`."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        #: (kind, id) of each damaged row that the result lacks -> the reason.
        self.damage: dict[tuple[str, str], str] = {}

    def show(
        self,
        result: Result,
        render: Callable[[Result], str],
        empty: str = "",
        **meta: object,
    ) -> None:
        """Print a result: as `render` returns it, or for `--json` as a document.

        `empty` is the message for a result that `render` turns into "". The document
        has `meta`.
        """
        if self.as_json:
            from taskorch.cli import json_output

            if self.damage:
                meta["damaged"] = json_output.damage(self.damage)
            document = json_output.document(result, meta)
            text = json_output.dump(document)
        else:
            text = render(result)
        if text:
            self._print(text)
        else:
            self.notify(empty)
        self.report_damage()

    def report_damage(self) -> None:
        """Name the damaged rows that a result lacks. A document names them itself."""
        if self.damage and not self.as_json:
            rows = [
                f"{kind} {id_} ({reason})"
                for (kind, id_), reason in self.damage.items()
            ]
            named = plain_text.line(", ".join(rows[:DAMAGE_SHOWN]))
            left = len(rows) - DAMAGE_SHOWN
            if left > 0:
                named += f" and {left} more"
            self.notify(
                f"Damaged, and left out: {named}. See orchestrate doctor."
            )
        self.damage.clear()

    def show_entry(
        self, entry: Result, render: Callable[[Result], str]
    ) -> None:
        """Print one entry of a stream: for `--json` as an object on a line."""
        if self.as_json:
            from taskorch.cli import json_output

            self._print(json_output.line(entry))
        else:
            self._print(render(entry))

    def notify(self, text: str) -> None:
        """Print a message to stderr. A closed stderr is not an error."""
        with suppress(OSError):
            click.echo(text, err=True)

    def hint(self, text: str) -> None:
        """Print how to continue, for people; with `--json` the meta holds the same.

        A terminal gets it folded between words. Indented lines are commands to copy:
        they stay whole.
        """
        if self.as_json:
            return
        width = _width_of(sys.stderr)
        if width and not text.startswith(" "):
            text = plain_text.folded(text, width)
        self.notify(text)

    def _print(self, text: str) -> None:
        try:
            click.echo(text)
        except (
            BrokenPipeError
        ):  # the reader has ended, as `head` does: not an error
            discard_stdout()
            raise SystemExit(0) from None
        except OSError as error:
            discard_stdout()
            raise errors.Unprintable(
                reason=error.strerror or str(error)
            ) from None


def on_terminal() -> bool:
    """Return whether stdout is a terminal; a process may have no stdout."""
    return sys.stdout is not None and sys.stdout.isatty()


def terminal_width() -> int:
    """Return the number of columns of stdout's terminal; 0 if it has none."""
    return _width_of(sys.stdout)


def discard_stdout() -> None:
    """Send stdout to /dev/null, so that Python does not fail to flush it at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())


def _width_of(stream: TextIO | None) -> int:
    """Return the number of columns of a stream's terminal; 0 if it has none."""
    if stream is None or not stream.isatty():
        return 0
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return 0
