"""The command `edit`."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import DURATION, ITEM, PAIR, TEXT, ManyValues

from taskorch_orchestrator.commands.check_options import (
    CheckOptions,
    check_options,
)
from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch.domain.item import ItemEdit

    from taskorch_orchestrator.context import OrchestratorContext

#: The lists and texts that --clear empties: its word -> the field of an item.
CLEARABLE = {
    "description": "description",
    "requirement": "requirements",
    "accept": "criteria",
    "check": "checks",
    "review": "reviewer",
    "deliverable": "deliverables_expected",
    "resource": "resources",
    "context": "context",
    "label": "labels",
}
#: Those that are a text.
TEXTS = ("description", "reviewer")


@orchestrate.command(
    epilog="Example: orchestrate edit item_1a2b3c4d --priority 0 --label urgent"
)
@click.argument("items", nargs=-1, required=True, type=ITEM, metavar="ITEM...")
@click.option("--title", type=TEXT, help="New title.")
@click.option("-d", "--description", type=TEXT, help="New description.")
@click.option(
    "-r",
    "--requirement",
    "requirements",
    cls=ManyValues,
    type=TEXT,
    help="Requirements, in place of the present ones …",
)
@click.option(
    "--priority",
    type=click.IntRange(0, 4),
    help="Priority, from 0 (most urgent) to 4.",
)
@click.option(
    "--lease",
    "lease_ms",
    type=DURATION,
    help="Lease duration of later claims.",
)
@click.option(
    "--max-attempts",
    type=click.IntRange(1, 1000),
    help="Maximum number of attempts.",
)
@click.option(
    "--accept",
    "criteria",
    cls=ManyValues,
    type=TEXT,
    help="Acceptance criteria, in place of the present ones …",
)
@check_options
@click.option(
    "--deliverable",
    "deliverables_expected",
    cls=ManyValues,
    type=TEXT,
    help="Expected deliverables, in place of the present ones …",
)
@click.option(
    "--resource",
    "resources",
    cls=ManyValues,
    type=TEXT,
    help="Files and links, in place of the present ones …",
)
@click.option(
    "--context",
    "facts",
    cls=ManyValues,
    type=PAIR,
    help="Facts to add or replace, NAME=VALUE …",
)
@click.option(
    "--remove-context",
    cls=ManyValues,
    metavar="NAME",
    help="Names of facts to remove …",
)
@click.option("--label", "add_labels", cls=ManyValues, help="Labels to add …")
@click.option(
    "--unlabel", "remove_labels", cls=ManyValues, help="Labels to remove …"
)
@click.option(
    "--undepend",
    "remove_dependencies",
    cls=ManyValues,
    type=ITEM,
    metavar="ITEM",
    help="Dependencies to remove …",
)
@click.option(
    "--clear",
    cls=ManyValues,
    type=click.Choice(tuple(CLEARABLE)),
    help="Fields to empty …",
)
@pass_context
def edit(
    context: "OrchestratorContext",
    /,
    items: tuple[str, ...],
    facts: tuple[tuple[str, str], ...],
    checks: CheckOptions,
    clear: tuple[str, ...],
    **fields: object,
) -> None:
    """Change items, all or none. Options marked … take several values: -r A B C.

    Until an agent begins an item, everything can change. After that, only --priority,
    --context and labels can change; the holder learns of it with its next report.
    """
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import steps

    fields |= {"context": dict(facts), "checks": checks.all()}
    change = _edit(fields, clear)
    edited = actions.edit(context.queue, context.handoffs(), items, change)
    context.show(edited, steps.edited)


def _edit(fields: dict[str, object], clear: tuple[str, ...]) -> "ItemEdit":
    """Return the edit of the given options. Raises errors.Usage without any."""
    from taskorch.domain import errors
    from taskorch.domain.item import ItemEdit

    given = {name: value for name, value in fields.items() if _is_given(value)}
    for word in clear:
        field = CLEARABLE[word]
        if field in given and field != "context":
            raise errors.Usage(
                reason=f"--clear {word} and a new value for it exclude each other."
            )
        if field in ("context", "labels"):
            given[f"clears_{field}"] = True
        else:
            given[field] = "" if field in TEXTS else ()
    if not given:
        raise errors.Usage(
            reason="Say what to change, such as --title or --priority."
        )
    return ItemEdit(**given)  # type: ignore[arg-type]


def _is_given(value: object) -> bool:
    """Tell whether an option was given. An empty title or description counts."""
    return value not in (None, (), {})
