"""What both commands share: the options every subcommand takes, kinds of arguments, output, errors to exit codes."""

import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, ClassVar, NoReturn, TypeVar

import click

from taskorch.cli import json_output
from taskorch.cli import text as plain_text
from taskorch.cli.arguments import ManyValues, RepeatingCommand
from taskorch.config.settings import Settings, resolve, wants_json
from taskorch.domain import errors

INTERRUPTED = 130
#: Damaged rows that are named.
DAMAGE_SHOWN = 5
#: Room for an example on one line, where the terminal has it.
HELP_WIDTH = 120
DASHES = "Text that begins with '-' goes after '--', or after an option of its own."
MANY_VALUES = "An option with many values takes all the words behind it: put the arguments before it."
Result = TypeVar("Result")


class Output:
    """Where results go: data to stdout, talk to stderr; text for people, or one JSON document."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        #: The damaged rows that were left out of what is printed, by kind and id: why.
        self.damage: dict[tuple[str, str], str] = {}

    def show(
        self,
        result: Result,
        render: Callable[[Result], str],
        empty: str = "",
        **meta: object,
    ) -> None:
        """Print a result: as the document with `--json`, else as what `render` makes of it; `empty` says "nothing"."""
        if self.as_json and self.damage:
            meta["damaged"] = json_output.damage(self.damage)
        text = json_output.result(result, meta) if self.as_json else render(result)
        if text:
            self._print(text)
        else:
            self.say(empty)
        self.tell_damage()

    def tell_damage(self) -> None:
        """Say which rows are missing from what was printed, since they are damaged; with `--json` it is in the meta."""
        if self.damage and not self.as_json:
            shown = [
                f"{kind} {id_} ({why})"
                for (kind, id_), why in list(self.damage.items())[:DAMAGE_SHOWN]
            ]
            more = (
                f" and {len(self.damage) - DAMAGE_SHOWN} more"
                if len(self.damage) > DAMAGE_SHOWN
                else ""
            )
            self.say(
                f"Damaged, and left out: {plain_text.line(', '.join(shown))}{more}. See orchestrate doctor."
            )
        self.damage.clear()

    def show_next(self, result: Result, render: Callable[[Result], str]) -> None:
        """Print one of many, as they come: an object on a line with `--json`, else as what `render` makes of it."""
        self._print(json_output.line(result) if self.as_json else render(result))

    def show_id(self, label: str, id_: str, **meta: object) -> None:
        """Print a created id: labelled on a terminal, bare in a pipe, so that a shell can keep it."""
        self.show(
            {"id": id_},
            lambda _: f"{label}: {id_}" if on_terminal() else id_,
            "",
            **meta,
        )

    def _print(self, text: str) -> None:
        try:
            click.echo(text)
        except (
            BrokenPipeError
        ):  # nobody reads any more, as after `head`: nothing is wrong
            discard_output()
            raise SystemExit(0) from None
        except OSError as error:
            discard_output()
            raise errors.Unprintable(reason=error.strerror or str(error)) from None

    def say(self, text: str) -> None:
        """Print a message that is not data to stderr. A stderr that nobody reads stops no command."""
        with suppress(OSError):
            click.echo(text, err=True)

    def hint(self, text: str) -> None:
        """Tell a person how to go on; `--json` has the same in its meta."""
        if not self.as_json:
            self.say(text)


def on_terminal() -> bool:
    """Return whether results go to a terminal; there may be no stdout at all."""
    return sys.stdout is not None and sys.stdout.isatty()


class RoleGroup(click.Group):
    """The command of one role: the common options stand on it and on each of its subcommands.

    Its subcommands may stand in modules that are loaded when they are run: until then they are names with a summary.
    """

    command_class = RepeatingCommand
    common: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "--json": {
            "is_flag": True,
            "help": "Print one JSON document. Also: TASKORCH_JSON=1",
        },
        "--redis-url": {
            "metavar": "URL",
            "help": "Redis, such as redis://host:6379/0; see orchestrate docs usage. Also: TASKORCH_REDIS_URL",
        },
        "--namespace": {
            "metavar": "NAME",
            "help": "The team's keys in Redis. Also: TASKORCH_NAMESPACE",
        },
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  click's own signature
        super().__init__(*args, **kwargs)
        self.context_settings.setdefault("max_content_width", HELP_WIDTH)
        self._common = [
            click.Option([flag], expose_value=False, callback=_keep, **more)
            for flag, more in self.common.items()
        ]
        self.params += self._common
        self._modules: dict[str, str] = {}
        #: Subcommand -> what it says of itself, of those that are loaded when they are run.
        self.summaries: dict[str, str] = {}

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a subcommand, which gets the common options."""
        if not isinstance(cmd, click.Group):
            cmd.params += self._common
        super().add_command(cmd, name)

    def expect(self, modules: Mapping[str, Mapping[str, str]]) -> None:
        """Name the subcommands that modules add when they are loaded: module -> subcommand -> summary."""
        for module, summaries in modules.items():
            for name, summary in summaries.items():
                self._modules[name] = module
                self.summaries[name] = summary
                self.commands[name] = click.Command(name, help=summary)

    def load(self, name: str) -> None:
        """Load the module that has a subcommand, if it was not yet; a name that nobody has is no error here."""
        if name in self._modules:
            import_module(self._modules[name])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the subcommand that is run, loaded."""
        self.load(args[0])
        return super().resolve_command(ctx, args)


def settings() -> Settings:
    """Return the settings of the running command: its flags, the environment, the config file."""
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        raise errors.Usage(
            reason="The current folder does not exist any more."
        ) from None
    return resolve(_flags(), os.environ, folder)


def typed() -> str:
    """Return the running command with all that it was given, what it read from standard input too.

    Another spelling of the same is the same: how it prints, and how it reaches Redis, are no part of it. "" where it
    is given a file that it has still to read: what that holds cannot be told.
    """
    context = click.get_current_context()
    if any(hasattr(value, "read") for value in context.params.values()):
        return ""
    return f"{context.command_path} {sorted(context.params.items())}"


def words() -> str:
    """Return the running command without its program, as in "server start"."""
    return click.get_current_context().command_path.partition(" ")[2]


def output() -> Output:
    """Return where the running command prints."""
    return Output(as_json=_as_json(_flags()))


def run(group: click.Group, name: str) -> NoReturn:
    """Run a command to its end; every error becomes a message and an exit code, never a traceback."""
    arguments, kept = sys.argv[1:], dict[str, Any]()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = (
            group.main(arguments, prog_name=name, standalone_mode=False, obj=kept) or 0
        )
    except SystemExit as end:  # completion ends so
        code = int(end.code or 0)
    except click.UsageError as error:
        is_hook = _is_hook(group, _options(arguments))
        code = _refuse_usage(
            error,
            is_hook=is_hook,
            as_json="--json" in _options(arguments) or _as_json(kept),
        )
    except errors.TaskOrchestratorError as error:
        code = _refuse(error, as_json=_as_json(kept))
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        code = INTERRUPTED
    except (
        Exception
    ) as error:  # the last resort of a command line: a person gets a sentence
        code = _refuse(
            errors.TaskOrchestratorError(reason=f"{type(error).__name__}: {error}"),
            as_json=_as_json(kept),
        )
        if os.environ.get("TASKORCH_DEBUG"):
            raise
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End at once, with all that was printed: Python would take itself apart first, which the kernel does in one go."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(
            OSError, ValueError, AttributeError
        ):  # nobody reads, or there is none
            stream.flush()
    os._exit(code)


def version_option() -> Callable[[Any], Any]:
    """Return the `--version` option."""
    from taskorch import __version__

    return click.version_option(__version__, message="%(prog)s %(version)s")


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value:
        context.find_root().ensure_object(dict)[parameter.name] = value


def _flags() -> dict[str, Any]:
    kept: dict[str, Any] = click.get_current_context().find_root().ensure_object(dict)
    return kept


def _as_json(flags: Mapping[str, Any]) -> bool:
    return bool(flags.get("json")) or wants_json(os.environ)


def _options(arguments: Sequence[str]) -> Sequence[str]:
    """Return what was typed before "--": what click could not read has no flags yet."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _is_hook(group: click.Group, arguments: Sequence[str]) -> bool:
    """Return whether a program calls, at a hook: to it exit code 2 is an order."""
    return (
        "--hook-json" in arguments
        or next((word for word in arguments if word in group.commands), "") == "hook"
    )


def _refuse_usage(error: click.UsageError, *, is_hook: bool, as_json: bool) -> int:
    if is_hook:
        error.show()
        return 0
    if as_json:
        click.echo(json_output.refusal(errors.Usage(reason=error.format_message())))
    else:
        error.show()
        if isinstance(error, click.MissingParameter) and _takes_many_values(error.ctx):
            click.echo(MANY_VALUES, err=True)
        if isinstance(error, click.NoSuchOption) and not error.option_name.startswith(
            "--"
        ):
            click.echo(DASHES, err=True)
    return errors.Usage.exit_code


def _takes_many_values(context: click.Context | None) -> bool:
    return context is not None and any(
        isinstance(parameter, ManyValues) for parameter in context.command.params
    )


def _refuse(error: errors.TaskOrchestratorError, *, as_json: bool) -> int:
    if as_json and not isinstance(error, errors.Unprintable):
        click.echo(json_output.refusal(error))
    else:
        click.echo(f"Error: {plain_text.line(str(error))}", err=True)
        for more in filter(None, (*error.more(), error.advice())):
            click.echo(f"  {plain_text.line(more)}", err=True)
    return error.exit_code


def discard_output() -> None:
    """Let what is still to be written go nowhere: Python would complain of it at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
