"""Kinds of command line arguments that click does not have: text from stdin, durations, pairs, many values."""

import sys
from collections.abc import Collection, Iterator, Sequence
from math import isnan
from typing import Any

import click

from taskorch.domain import errors, limits, start_time
from taskorch.domain.start_time import StartTime

#: Bytes of standard input: where each character is a line break, it is written with two; then a last one, and a BOM.
MOST_READ = 2 * limits.TEXT_BYTES + 5


class TextArgument(click.ParamType[str]):
    """Any text; `-` stands for standard input, which one argument of a command can read."""

    name = "text"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the text, or what standard input holds."""
        if value != "-":
            return value
        if ctx is not None:
            if "taskorch.stdin" in ctx.meta:
                self.fail("standard input ('-') was read already", param, ctx)
            ctx.meta["taskorch.stdin"] = True
        return _standard_input(param.human_readable_name.lower() if param else "text")


class Duration(click.ParamType[int]):
    """A length of time such as 90s, 30m, 4h or 1d; in milliseconds."""

    name = "duration"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the milliseconds."""
        if isinstance(value, int):
            return value
        try:
            return limits.duration_ms(value)
        except errors.Invalid as error:
            self.fail(str(error), param, ctx)


class Seconds(click.FloatRange):
    """A number of seconds within a range."""

    name = "seconds"

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds; `nan` is none, though it passes for a float."""
        seconds = float(super().convert(value, param, ctx))
        if isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds


class Moment(click.ParamType[StartTime]):
    """A start time: a duration from now (30m), or a time (2030-01-31T08:00:00Z)."""

    name = "time"

    def convert(
        self,
        value: str | StartTime,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> StartTime:
        """Return the start time; one without a zone is in the local zone."""
        if not isinstance(value, str):
            return value
        try:
            return start_time.parse(value)
        except errors.Invalid as error:
            self.fail(str(error), param, ctx)


class Pair(click.ParamType[tuple[str, str]]):
    """A name and a value, NAME=VALUE."""

    name = "name=value"

    def convert(
        self,
        value: str | tuple[str, str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, str]:
        """Return the name and the value."""
        if not isinstance(value, str):
            return value
        name, equals, content = value.partition("=")
        if not name or not equals:
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        return name, content


class Contents(click.ParamType[tuple[str, bytes]]):
    """A file, or standard input for `-`; as (name, what it holds): another content makes another command."""

    name = "file"

    def __init__(self, most_bytes: int) -> None:
        """Read no more than a byte beyond this."""
        self._most_bytes = most_bytes

    def convert(
        self,
        value: str | tuple[str, bytes],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, bytes]:
        """Return the file's name and what it holds."""
        if not isinstance(value, str):
            return value
        if value == "-" and sys.stdin is None:
            self.fail("there is no standard input", param, ctx)
        file = click.File("rb").convert(value, param, ctx)
        try:
            return ("Standard input" if value == "-" else value), file.read(
                self._most_bytes + 1
            )
        except OSError as error:
            self.fail(f"{value!r}: {error.strerror}", param, ctx)


TEXT = TextArgument()
DURATION = Duration()
MOMENT = Moment()
PAIR = Pair()
#: Of commands that wait.
TIMEOUT = click.option(
    "--timeout",
    type=Seconds(0, 86_400),
    default=limits.LONGEST_WAIT_S,
    show_default=True,
    help="So many seconds.",
)


class ManyValues(click.Option):
    """An option that takes several values in one go, `-r A B C`, and may be repeated, `-r A -r B`."""

    def __init__(self, *args: Any, **attributes: Any) -> None:  # noqa: ANN401  click's own signature
        attributes["multiple"] = True
        super().__init__(*args, **attributes)


class RepeatingCommand(click.Command):
    """A command that may have options of many values: it reads `-r A B C` as `-r A -r B -r C`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spell out the options of many values, and let click do the rest."""
        flags = {
            flag
            for param in self.params
            if isinstance(param, ManyValues)
            for flag in param.opts
        }
        options = {
            flag
            for param in self.params
            if isinstance(param, click.Option)
            for flag in param.opts
        }
        return super().parse_args(
            ctx, list(_repeated(args, flags, options)) if flags else args
        )


def _repeated(
    arguments: Sequence[str], flags: Collection[str], options: Collection[str]
) -> Iterator[str]:
    flag = ""
    words = iter(arguments)
    for word in words:
        if word == "--":
            yield word
            yield from words
        elif word in flags:
            flag, value = word, next(words, None)
            if value is None or value in options:
                raise click.BadOptionUsage(word, f"Option {word!r} requires a value.")
            yield from (word, value)
        elif word.startswith("-") and word != "-":
            flag = next(
                (
                    f
                    for f in flags
                    if word.startswith(f"{f}=" if f.startswith("--") else f)
                ),
                "",
            )
            yield word
        elif flag:
            yield from (flag, word)
        else:
            yield word


def _standard_input(what: str) -> str:
    """Return the text on standard input, at most 64 KiB of UTF-8, normalised; one line break at its end is dropped."""
    data = sys.stdin.buffer.read(MOST_READ + 1)
    if len(data) > MOST_READ:
        raise limits.too_long(what)
    try:
        read = data.decode()
    except UnicodeDecodeError:
        raise errors.Invalid(
            reason=f"The {what} on standard input is not valid UTF-8 text."
        ) from None
    return limits.sized(limits.normalised(read).removesuffix("\n"), what)
