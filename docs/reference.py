"""Writes the commands into docs/reference.md, from the commands themselves.

`make reference` runs it. The text above the mark is written by hand.
"""

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from taskorch.cli.app import RoleGroup
from taskorch.cli.arguments import ManyValues
from taskorch_orchestrator.cli import orchestrate
from taskorch_worker.cli import worker

PAGE = Path(__file__).with_suffix(".md")
MARK = "<!-- What follows is made by `make reference`. -->\n"
#: Length of a line of text, as in the other pages.
WIDTH = 120
ROLES = (orchestrate, worker)
#: What the help of a command says in place of the name of a value.
NUMBERS = {"INTEGER": "N", "INTEGER RANGE": "N", "FLOAT": "N"}


def main() -> None:
    """Replace the part of the page that describes the commands."""
    by_hand, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(f"{by_hand}{mark}\n{commands()}", encoding="utf-8")


def commands() -> str:
    """Return the description of every command of both roles, as Markdown."""
    blocks = [*_options_of_all()]
    for role in ROLES:
        blocks += _role(role)
    return "\n\n".join(blocks) + "\n"


def _options_of_all() -> Iterator[str]:
    """Yield the description of the options that stand on every command."""
    yield "## Options of every command"
    yield "Before or after the name of the command:"
    options = {
        option.opts[0]: _option(option, _context(role))
        for role in ROLES
        for option in role.params
        if isinstance(option, click.Option)
        and option.opts[0] in role.common_options
    }
    options["--agent-id"] += " Only `worker`."
    options["--help"] = "- `-h`, `--help`: Show the help of the command."
    yield "\n".join(options.values())


def _role(role: RoleGroup) -> Iterator[str]:
    yield f"## {role.name}: all commands"
    yield "\n".join(_contents(role))
    for title, names in role.sections.items():
        yield f"## {role.name}: {title.lower()}"
        for name in names:
            role.load(name)
            yield from _command(role.commands[name], _context(role))


def _context(role: RoleGroup) -> click.Context:
    return click.Context(role, info_name=role.name, **role.context_settings)


def _contents(role: RoleGroup) -> Iterator[str]:
    """Yield the rows of a table of the commands, each with a link to its description."""
    yield "| command | |"
    yield "|---|---|"
    for names in role.sections.values():
        for name in names:
            link = f"[`{name}`](#{role.name}-{name})"
            yield f"| {link} | {role.summaries[name]} |"


def _command(command: click.Command, parent: click.Context) -> Iterator[str]:
    """Yield the blocks of a command, and those of its subcommands."""
    context = click.Context(command, parent=parent, info_name=command.name)
    pieces = command.collect_usage_pieces(context)
    yield f"### {context.command_path}"
    yield f"```text\n{' '.join([context.command_path, *pieces])}\n```"
    yield from _paragraphs(command.help or "")
    options = [_option(each, context) for each in _own_options(command)]
    if options:
        yield "\n".join(options)
    if command.epilog and not isinstance(command, click.Group):
        example = " ".join(command.epilog.split()).removeprefix("Example: ")
        yield f"Example: `{example}`"
    if isinstance(command, click.Group):
        for _, each in sorted(command.commands.items()):
            yield from _command(each, context)


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        yield _wrapped(" ".join(paragraph.split()))


def _own_options(command: click.Command) -> Sequence[click.Option]:
    """Return the options of a command, without those of every command."""
    common = {flag for role in ROLES for flag in role.common_options}
    return [
        option
        for option in command.params
        if isinstance(option, click.Option)
        and not option.hidden
        and not common & set(option.opts)
    ]


def _option(option: click.Option, context: click.Context) -> str:
    """Return the line of a list for an option."""
    flags = [f"`{flag}`" for flag in (*option.opts, *option.secondary_opts)]
    if not option.is_flag:
        flags[-1] = f"`{option.opts[-1]} {_value(option, context)}`"
    description = " ".join(_sentences(option, context))
    return _wrapped(f"- {', '.join(flags)}: {description}", indent="  ")


def _value(option: click.Option, context: click.Context) -> str:
    value = option.make_metavar(context)
    value = NUMBERS.get(value, value)
    return f"{value} …" if isinstance(option, ManyValues) else value


def _sentences(option: click.Option, context: click.Context) -> Iterator[str]:
    """Yield the help of an option, its range and its default."""
    text, _, default = (option.help or "").partition("[default: ")
    text = text.rstrip(" …")
    yield text if text.endswith((".", "=1")) else f"{text}."
    extra = option.get_help_extra(context)
    bounds = re.fullmatch(r"(\d+)<=x<=(\d+)", extra.get("range", ""))
    if bounds and bounds[2] not in text:
        yield f"{bounds[1]} to {int(bounds[2]):,}."
    default = default.rstrip("]") or str(extra.get("default", ""))
    if default:
        yield f"Default: {default}."


def _wrapped(text: str, indent: str = "") -> str:
    """Return text in lines; code is not broken."""
    lines = [""]
    for word in re.findall(r"(?:`[^`]*`|\S)+", text):
        longer = f"{lines[-1]} {word}".strip() if lines[-1] else word
        if len(longer) > WIDTH:
            lines.append(f"{indent}{word}")
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return "\n".join(lines)


if __name__ == "__main__":
    main()
