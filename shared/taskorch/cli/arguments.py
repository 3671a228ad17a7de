"""Argument types that click lacks: text from stdin, durations, pairs, many values."""

import sys
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from math import isnan
from typing import TYPE_CHECKING, Any

import click

from taskorch.domain import errors, limits, short_id
from taskorch.domain.short_id import ShortId

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from taskorch.domain.start_time import StartTime

#: Bytes of standard input for the longest text: each character a line break of two
#: bytes, one more line break, and a BOM.
MOST_READ = 2 * limits.TEXT_BYTES + 5


class TextArgument(click.ParamType[str]):
    """A text; `-` reads it from standard input, for one argument of a command."""

    name = "text"

    def convert(
        self,
        value: str,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str:
        """Return the text."""
        if value != "-":
            return value
        if ctx is not None:
            if "taskorch.stdin" in ctx.meta:
                self.fail("standard input ('-') was read already", param, ctx)
            ctx.meta["taskorch.stdin"] = True
        return _standard_input(
            param.human_readable_name.lower() if param else "text"
        )


class Amount(click.ParamType[int]):
    """A number with its unit."""

    def __init__(self, name: str, read: Callable[[str], int]) -> None:
        """`read` returns the number in a text. Raises errors.Invalid."""
        self.name = name
        self._read = read

    def convert(
        self,
        value: str | int,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> int:
        """Return the number."""
        if isinstance(value, int):
            return value
        try:
            return self._read(value)
        except errors.Invalid as error:
            self.fail(str(error), param, ctx)


class Seconds(click.FloatRange):
    """A number of seconds within a range."""

    name = "seconds"

    def convert(
        self,
        value: float,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return the seconds. click accepts `nan`; this refuses it."""
        try:
            is_number = not isnan(float(value))
        except ValueError:
            is_number = False
        if not is_number:
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return float(super().convert(value, param, ctx))


class StartTimeArgument(click.ParamType["StartTime"]):
    """A start time: a duration from now (30m), or a time (2030-01-31T08:00:00Z)."""

    name = "time"

    def convert(
        self,
        value: "str | StartTime",
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> "StartTime":
        """Return the start time; one without a zone is in the local zone."""
        from taskorch.domain import start_time

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
    """A file as (name, content); `-` is standard input.

    The content is part of the command line: another content is another command.
    """

    name = "file"

    def __init__(self, most_bytes: int) -> None:
        """Read at most `most_bytes` and one more."""
        self._most_bytes = most_bytes

    def convert(
        self,
        value: str | tuple[str, bytes],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, bytes]:
        """Return the name and the content."""
        if not isinstance(value, str):
            return value
        if value == "-" and sys.stdin is None:
            self.fail("there is no standard input", param, ctx)
        file = click.File("rb").convert(value, param, ctx)
        name = "Standard input" if value == "-" else value
        try:
            return name, file.read(self._most_bytes + 1)
        except OSError as error:
            self.fail(f"{value!r}: {error.strerror}", param, ctx)


class IdArgument(click.ParamType[str | ShortId]):
    """The id of an item or a project; its first digits are enough if no other has them.

    The context of the command looks a short id up: see `whole_ids`.
    """

    name = "id"

    def __init__(self, *kinds: str, before_agent: bool = False) -> None:
        """Take ids of these kinds, "item" and "proj".

        `before_agent` is for any number of ids with an agent after them: to the shell,
        the agent is one of them.
        """
        self._kinds = kinds
        self._before_agent = before_agent

    def convert(
        self,
        value: str | ShortId,
        param: click.Parameter | None,  # noqa: ARG002
        ctx: click.Context | None,  # noqa: ARG002
    ) -> str | ShortId:
        """Return a whole id as it is, and a short one as ShortId."""
        if isinstance(value, ShortId):
            return value
        return short_id.parse(value, self._kinds)

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem[str]]":
        """Return the ids in the queue that begin with the typed text."""
        from taskorch.cli import completion

        found = completion.ids(ctx, short_id.begun(incomplete, self._kinds))
        if self._before_agent:
            found += completion.agents(ctx, incomplete)
        return found


def whole_ids(
    values: Mapping[str, object], find: Callable[[ShortId], str]
) -> dict[str, Any]:
    """Return the values of a command, with each short id replaced by the whole one."""

    def whole(value: object) -> object:
        if isinstance(value, ShortId):
            return find(value)
        if isinstance(value, tuple) and any(
            isinstance(member, ShortId) for member in value
        ):
            return tuple(map(whole, value))
        return value

    return {name: whole(value) for name, value in values.items()}


class AgentArgument(click.ParamType[str]):
    """The name of an agent, which the shell completes."""

    name = "agent"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem[str]]":
        """Return the agents whose names begin with the typed text."""
        from taskorch.cli import completion

        return completion.agents(ctx, incomplete)


class AgentOrLastItem(click.ParamType[str | ShortId]):
    """The agent behind any number of items; with the option --pool, the last item."""

    name = "agent"

    def convert(
        self,
        value: str | ShortId,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | ShortId:
        """Return the agent, or the item; the option is read before it."""
        if value and ctx and ctx.params.get("pool"):
            return ITEM.convert(value, param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        """Return the agents whose names begin with the typed text."""
        return AGENT.shell_complete(ctx, param, incomplete)


class ProjectOrAgent(click.ParamType[str | ShortId]):
    """The id of a project, also a short one behind `proj_`, or the name of an agent."""

    name = "project or agent"

    def convert(
        self,
        value: str | ShortId,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | ShortId:
        """Return the name, the whole id or the digits of a short one."""
        if isinstance(value, str) and value.startswith("proj_"):
            return PROJECT.convert(value, param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        """Return the projects and the agents that begin with the typed text."""
        found = PROJECT.shell_complete(ctx, param, incomplete)
        return found + AGENT.shell_complete(ctx, param, incomplete)


TEXT = TextArgument()
AGENT = AgentArgument()
ITEM = IdArgument("item")
ITEM_BEFORE_AGENT = IdArgument("item", before_agent=True)
AGENT_OR_LAST_ITEM = AgentOrLastItem()
PROJECT = IdArgument("proj")
ITEM_OR_PROJECT = IdArgument("item", "proj")
PROJECT_OR_AGENT = ProjectOrAgent()
#: Such as 90s, 30m, 4h or 1d, in milliseconds.
DURATION = Amount("duration", limits.duration_ms)
#: Such as 500000, 64k, 100M or 1G, in bytes.
SIZE = Amount("size", limits.size)
START_TIME = StartTimeArgument()
PAIR = Pair()
TIMEOUT = click.option(
    "--timeout",
    type=Seconds(0, 86_400),
    default=limits.LONGEST_WAIT_S,
    show_default=True,
    help="Timeout in seconds.",
)


class ManyValues(click.Option):
    """An option that takes several values, `-r A B`, and can be repeated."""

    def __init__(self, *args: Any, **attributes: Any) -> None:  # noqa: ANN401  click's own signature
        attributes["multiple"] = True
        super().__init__(*args, **attributes)


class RepeatingCommand(click.Command):
    """A command with options of many values: `-r A B` is read as `-r A -r B`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, with the options of many values spelt out."""
        options = [
            each for each in self.params if isinstance(each, click.Option)
        ]
        of_many = [each for each in options if isinstance(each, ManyValues)]
        if of_many:
            words = _spelt_out(args, _flags(of_many), _flags(options))
            args = list(words)
        return super().parse_args(ctx, args)


def _flags(options: Iterable[click.Option]) -> set[str]:
    return {flag for option in options for flag in option.opts}


def _spelt_out(
    arguments: Sequence[str],
    of_many: Collection[str],
    options: Collection[str],
) -> Iterator[str]:
    """Yield the arguments, with a flag before each of many values."""
    flag = ""
    words = iter(arguments)
    for word in words:
        if word == "--":
            yield word
            yield from words
        elif word in of_many:
            flag = word
            value = next(words, None)
            if value is None or value in options:
                raise click.BadOptionUsage(
                    word, f"Option {word!r} requires a value."
                )
            yield from (flag, value)
        elif word.startswith("-") and word != "-":
            flag = _flag_with_value(word, of_many)
            yield word
        elif flag:
            yield from (flag, word)
        else:
            yield word


def _flag_with_value(word: str, flags: Collection[str]) -> str:
    """Return the flag of a word such as `-rA` or `--require=A`; "" for another."""
    for flag in flags:
        start = f"{flag}=" if flag.startswith("--") else flag
        if word.startswith(start):
            return flag
    return ""


def _standard_input(what: str) -> str:
    """Return the text on standard input, normalised and without a final line break.

    Raises errors.Invalid if it is longer than 64 KiB, or not UTF-8.
    """
    data = sys.stdin.buffer.read(MOST_READ + 1)
    if len(data) > MOST_READ:
        raise limits.too_long(what)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise errors.Invalid(
            reason=f"The {what} on standard input is not valid UTF-8 text."
        ) from None
    return limits.sized(limits.normalised(text).removesuffix("\n"), what)
