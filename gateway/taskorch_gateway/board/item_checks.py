"""The acceptance checks and the review of an item, as people type them.

There is a field for each kind of check, as `orchestrate edit` has an option for each.
"""

from collections.abc import Collection, Sequence

from taskorch.domain import acceptance_rules, limits
from taskorch.domain.acceptance import (
    Check,
    DeliverableCheck,
    FileCheck,
    RunCheck,
)
from taskorch.domain.item import Item

from taskorch_gateway.board.form_fields import of_field
from taskorch_gateway.board.forms import Form

#: The fields that make the checks together.
COMMANDS, FILES, DELIVERABLES = "check", "check_file", "check_deliverable"
TIMEOUT = "check_timeout"
OF_CHECKS = (COMMANDS, FILES, DELIVERABLES, TIMEOUT)
CRITERIA, REVIEWER = "accept", "review"
_UNITS_MS = {"h": 3_600_000, "m": 60_000, "s": 1000}


def commands_of(item: Item) -> tuple[str, ...]:
    """Return the commands that must succeed, as lines."""
    return tuple(str(each) for each in _commands(item.checks))


def files_of(item: Item) -> tuple[str, ...]:
    """Return the paths of the files that must exist."""
    return tuple(
        each.file for each in item.checks if isinstance(each, FileCheck)
    )


def deliverables_of(item: Item) -> tuple[str, ...]:
    """Return the names of the deliverables that must be there."""
    return tuple(
        each.deliverable
        for each in item.checks
        if isinstance(each, DeliverableCheck)
    )


def timeout_of(item: Item) -> str:
    """Return the time limit of the commands; of different ones, all."""
    found = dict.fromkeys(each.timeout_ms for each in _commands(item.checks))
    return ", ".join(map(_duration, found))


def changes(
    item: Item, form: Form, wanted: Collection[str]
) -> dict[str, object]:
    """Return the arguments of `edit` for the wanted fields: accept, and clear.

    A field that is not wanted stays as it is in the item. Raises errors.Invalid.
    """
    accept: list[object] = []
    clear: list[str] = []

    def add(word: str, entries: Sequence[object]) -> None:
        if entries:
            accept.extend(entries)
        else:
            clear.append(word)

    if CRITERIA in wanted:
        add("accept", form.values(CRITERIA))
    if not set(OF_CHECKS).isdisjoint(wanted):
        add("checks", rules_of(form, item.checks, wanted))
    if REVIEWER in wanted:
        add("reviewer", review_of(form))
    return {"accept": accept or None, "clear": tuple(clear)}


def rules_of(
    form: Form,
    present: Sequence[Check] = (),
    wanted: Collection[str] = OF_CHECKS,
) -> list[dict[str, object]]:
    """Return the checks that a form describes, as entries of `accept`.

    `present` are those of the item, which stay where a field is not wanted. Raises
    errors.Invalid, which names the field.
    """
    commands = _typed_commands(form, _commands(present), wanted)
    files = [each for each in present if isinstance(each, FileCheck)]
    if FILES in wanted:
        with of_field(FILES):
            files = [
                acceptance_rules.file_check(each)
                for each in form.values(FILES)
            ]
    delivered = [
        each for each in present if isinstance(each, DeliverableCheck)
    ]
    if DELIVERABLES in wanted:
        with of_field(DELIVERABLES):
            delivered = [
                acceptance_rules.deliverable_check(each)
                for each in form.values(DELIVERABLES)
            ]
    checks = acceptance_rules.bounded([*commands, *files, *delivered])
    return [acceptance_rules.as_object(each) for each in checks]


def review_of(form: Form) -> list[dict[str, object]]:
    """Return the review as an entry of `accept`, none without a reviewer."""
    name = form.text(REVIEWER)
    if not name:
        return []
    with of_field(REVIEWER):
        return [{"review": limits.agent_name(name)}]


def _commands(checks: Sequence[Check]) -> list[RunCheck]:
    return [each for each in checks if isinstance(each, RunCheck)]


def _typed_commands(
    form: Form, present: Sequence[RunCheck], wanted: Collection[str]
) -> Sequence[RunCheck]:
    """Return the commands; one that stays keeps its time limit, unless that is typed."""
    found = present
    if COMMANDS in wanted:
        known = {str(each): each for each in present}
        with of_field(COMMANDS):
            found = [
                known.get(line) or acceptance_rules.run_check_of(line)
                for line in form.values(COMMANDS)
            ]
    typed = form.text(TIMEOUT)
    if not typed:
        return found
    kept = () if TIMEOUT in wanted else present
    with of_field(TIMEOUT):
        limit_ms = limits.duration_ms(typed)
        return [
            each
            if each in kept
            else acceptance_rules.run_check(each.run, limit_ms)
            for each in found
        ]


def _duration(ms: int) -> str:
    """Return a duration as it is typed, such as 10m."""
    for unit, length in _UNITS_MS.items():
        if ms % length == 0:
            return f"{ms // length}{unit}"
    return f"{ms}ms"
