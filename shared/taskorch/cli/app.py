"""The base of both commands: click group, settings, errors as exit codes."""

import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, ClassVar, NoReturn

import click

from taskorch.cli import text as plain_text
from taskorch.cli.arguments import ManyValues, RepeatingCommand
from taskorch.cli.output import CommandOutput
from taskorch.config.settings import Settings, resolve, wants_json
from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.short_id import Candidate, ShortId
from taskorch.tracing import switch as tracing

INTERRUPTED = 130
#: Columns of help, where the terminal has them: an example fits on one line.
HELP_WIDTH = 120
#: Longer than any summary: help cuts none.
WHOLE = 1000
DASHES = "Put text that begins with '-' after '--', or give it to an option."


class RoleGroup(click.Group):
    """The command of a role: the common options stand on it and on each subcommand.

    Modules of subcommands are loaded when one of them runs. Until then, `declare` has
    their names and summaries for the help.
    """

    command_class = RepeatingCommand
    #: The arguments with which Python runs the service of the bundled server.
    service_command: tuple[str, ...] = ()
    common_options: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "--json": {
            "is_flag": True,
            "help": "Print one JSON document. Also: TASKORCH_JSON=1",
        },
        "--redis-url": {
            "metavar": "URL",
            "help": "Redis URL, such as redis://host:6379/0; see orchestrate docs operations. Also: TASKORCH_REDIS_URL",
        },
        "--url": {
            "metavar": "URL",
            "help": "URL of a gateway, such as https://queue.example. Also: TASKORCH_URL",
        },
        "--token-file": {
            "metavar": "FILE",
            "help": "File with the access token for the gateway. Also: TASKORCH_TOKEN_FILE, TASKORCH_TOKEN",
        },
        "--namespace": {
            "metavar": "NAME",
            "help": "Namespace of the team's keys in Redis. Also: TASKORCH_NAMESPACE",
        },
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  click's own signature
        super().__init__(*args, **kwargs)
        self.context_settings.setdefault("max_content_width", HELP_WIDTH)
        self.context_settings.setdefault("help_option_names", ["--help", "-h"])
        self._common = [
            click.Option(
                [flag], expose_value=False, callback=_keep_flag, **attributes
            )
            for flag, attributes in self.common_options.items()
        ]
        self.params += self._common
        self._modules: dict[str, str] = {}
        #: Declared subcommand -> its summary.
        self.summaries: dict[str, str] = {}
        #: Title of a section of the help -> its subcommands, in their order.
        self.sections: Mapping[str, Sequence[str]] = {}
        #: A word that is not a subcommand -> the commands that it may stand for.
        self.synonyms: Mapping[str, Sequence[str]] = {}

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a subcommand, with the common options."""
        if not isinstance(cmd, click.Group):
            cmd.params += self._common
        super().add_command(cmd, name)

    def declare(self, modules: Mapping[str, Mapping[str, str]]) -> None:
        """Name the subcommands of unloaded modules: module -> subcommand -> summary."""
        for module, summaries in modules.items():
            for name, summary in summaries.items():
                self._modules[name] = module
                self.summaries[name] = summary
                # a loaded command stays: its module is not imported again
                self.commands.setdefault(
                    name, click.Command(name, help=summary)
                )

    def completes_ids(
        self,
        begun: ShortId,  # noqa: ARG002
        limit: int,  # noqa: ARG002
    ) -> Sequence[Candidate]:
        """Return ids for the completion of a shell; a role reads them from its queue."""
        return ()

    def completes_agents(self, limit: int) -> Sequence[str]:  # noqa: ARG002
        """Return names of agents for the completion of a shell."""
        return ()

    def load(self, name: str) -> None:
        """Load the module of a declared subcommand; do nothing for any other name."""
        if name in self._modules:
            import_module(self._modules[name])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the subcommand to run, loaded."""
        name = args[0]
        self.load(name)
        meant = self.synonyms.get(name)
        if meant and name not in self.commands and not ctx.resilient_parsing:
            commands = " or ".join(f"'{command}'" for command in meant)
            raise click.UsageError(
                f"No such command {name!r}. Did you mean {commands}?", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the summaries of the subcommands in full, section by section."""
        sections = self.sections or {"Commands": self.list_commands(ctx)}
        widest = max(map(len, self.commands))
        for title, names in sections.items():
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (
                            name.ljust(widest),
                            self.commands[name].get_short_help_str(WHOLE),
                        )
                        for name in names
                    ]
                )


def settings() -> Settings:
    """Return the settings of the running command."""
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        raise errors.Usage(
            reason="The current folder does not exist any more."
        ) from None
    resolved = resolve(_flags(), os.environ, folder)
    group = click.get_current_context().find_root().command
    if not isinstance(group, RoleGroup):
        return resolved
    return replace(resolved, service_command=group.service_command)


def output() -> CommandOutput:
    """Return the output of the running command."""
    flags = _flags()
    return CommandOutput(as_json=_as_json(flags))


def flag(name: str) -> str:
    """Return the value of a common option of the running command, "" without it."""
    return str(_flags().get(name, ""))


def command_name() -> str:
    """Return the running subcommand, such as "server start"."""
    path = click.get_current_context().command_path
    _, _, name = path.partition(" ")
    return name


def command_line() -> str:
    """Return the running command with its arguments and its standard input.

    The same command returns the same text, however its arguments are spelt. The common
    options are left out: they say how it prints and where Redis is. Returns "" for a
    command with a file that it has not read yet.
    """
    context = click.get_current_context()
    for value in context.params.values():
        if hasattr(value, "read"):
            return ""
    arguments = sorted(context.params.items())
    return f"{context.command_path} {arguments}"


def version_option() -> Callable[[Any], Any]:
    """Return the `--version` option."""
    from taskorch.version import __version__

    return click.version_option(__version__, message="%(prog)s %(version)s")


def main(group: click.Group, name: str) -> NoReturn:
    """Run a command and exit. Errors are printed as a message and set the exit code.

    With TASKORCH_DEBUG=1, an unexpected exception keeps its traceback.
    """
    arguments = sys.argv[1:]
    flags: dict[str, Any] = {}
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = group.main(
            arguments, prog_name=name, standalone_mode=False, obj=flags
        )
    except SystemExit as end:  # completion ends so
        code = end.code
    except click.UsageError as error:
        code = _refuse_usage(group, error, arguments, flags)
    except errors.TaskOrchestratorError as error:
        code = _refuse(error, as_json=_as_json(flags))
    except (click.Abort, KeyboardInterrupt) as interrupt:
        click.echo(f"Interrupted. {_remark_of(interrupt)}".rstrip(), err=True)
        code = INTERRUPTED
    # the last resort of a command line: a message, not a traceback
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        unexpected = errors.TaskOrchestratorError(reason=reason)
        code = _refuse(unexpected, as_json=_as_json(flags))
        if os.environ.get("TASKORCH_DEBUG"):
            raise
    _exit(int(code or 0))


def _remark_of(interrupt: BaseException) -> str:
    """Return what the interrupted step says about what it has done, or ""."""
    first = interrupt.__cause__ or interrupt  # click raises its own
    is_ours = isinstance(first, KeyboardInterrupt)
    return plain_text.line(str(first)) if is_ours else ""


def _exit(code: int) -> NoReturn:
    """Flush the output and exit: the kernel frees memory faster than Python."""
    for stream in (sys.stdout, sys.stderr):
        # a stream may be closed, or may not exist
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    tracing.flush()
    os._exit(code)


def _keep_flag(
    context: click.Context, parameter: click.Parameter, value: object
) -> None:
    if value:
        flags = context.find_root().ensure_object(dict)
        flags[parameter.name] = value


def _flags() -> dict[str, Any]:
    root = click.get_current_context().find_root()
    flags: dict[str, Any] = root.ensure_object(dict)
    return flags


def _as_json(flags: Mapping[str, Any]) -> bool:
    return bool(flags.get("json")) or wants_json(os.environ)


def _refuse_usage(
    group: click.Group,
    error: click.UsageError,
    arguments: Sequence[str],
    flags: Mapping[str, Any],
) -> int:
    """Print an error of click and return its exit code.

    For a hook, that is 0: to its program, 2 is an order.
    """
    # click has set no flags yet if it could not read the arguments
    options = arguments
    if "--" in arguments:
        options = arguments[: arguments.index("--")]
    if _is_hook(group, options):
        error.show()
        return 0
    if "--json" in options or _as_json(flags):
        usage = errors.Usage(reason=error.format_message())
        return _refuse(usage, as_json=True)
    error.show()
    if isinstance(error, click.MissingParameter) and error.ctx is not None:
        if advice := _argument_order(error.ctx.command, options):
            click.echo(advice, err=True)
    elif (
        isinstance(error, click.NoSuchOption) and error.option_name[:2] != "--"
    ):
        click.echo(DASHES, err=True)
    return errors.Usage.exit_code


def _argument_order(command: click.Command, options: Sequence[str]) -> str:
    """Return where to put the arguments, for an option that may have taken one."""
    flags = [
        flag
        for option in command.params
        if isinstance(option, ManyValues)
        for flag in option.opts
        if flag in options
    ]
    if not flags:
        return ""
    arguments = " and ".join(
        each.human_readable_name
        for each in command.params
        if isinstance(each, click.Argument)
    )
    flag = flags[0]
    return f"Put {arguments} before {flag}: {flag} takes every argument that follows."


def _is_hook(group: click.Group, options: Sequence[str]) -> bool:
    """Return whether an agent's program runs this command as a hook."""
    if "--hook-json" in options:
        return True
    subcommands = [word for word in options if word in group.commands]
    return subcommands[:1] == ["hook"]


def _refuse(error: errors.TaskOrchestratorError, *, as_json: bool) -> int:
    if as_json and not isinstance(error, errors.Unprintable):
        from taskorch.cli import json_output

        document = json_output.error_document(error)
        click.echo(json_output.dump(document))
        return error.exit_code
    message = plain_text.line(str(error))
    # that there is nothing to do, or not yet, is an answer
    is_answer = error.exit_code == errors.NothingToDo.exit_code
    click.echo(message if is_answer else f"Error: {message}", err=True)
    for advice in (*error.rows(), error.hint()):
        if advice:
            shown = plain_text.line(advice)
            click.echo(f"  {shown}", err=True)
    return error.exit_code
