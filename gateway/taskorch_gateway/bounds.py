"""The words of a call, checked before Redis has them: their number, form and size.

Our own clients have checked them already. Another one could send words that no script
expects, texts that fill the memory, or numbers that keep Redis busy. What depends on the
state of the queue is checked by the scripts. An administrator may do all that.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from taskorch.domain import (
    acceptance_rules,
    errors,
    limits,
    usage,
    usage_rules,
)
from taskorch.domain.frozen import Frozen
from taskorch.domain.schedule import PLAN_BYTES
from taskorch.queue import keys

Check = Callable[[str], object]
Value = TypeVar("Value")

_TOKEN = r"(?:[0-9]{1,16}:[0-9a-f]{1,64})?"  # noqa: S105  the pattern of one
_NUMBER = r"[0-9]{1,16}"
_DIGITS = r"[0-9a-f]{0,32}"
#: The largest numbers of a usage.
_MOST_USED = (*(usage.MOST_TOKENS,) * 3, usage.MOST_MICROS)
#: Characters of a word that is neither a text nor JSON, such as a cursor.
WORD_CHARACTERS = 300
#: Names in one JSON list of `list`.
LISTED = 100
#: Texts that `list` searches for.
SEARCHED = 10
#: Items that `records` is asked for at once.
RECORDS = 100
#: Owners whose usage `overview` is asked for at once.
OWNERS = 200
#: Rows of a page that keeps a call short, and those of scripts that bound it themselves.
PAGE, ROWS = 100, 1000


class Words(Frozen):
    """The words of a script: the first ones, and groups of others behind them."""

    first: tuple[Check, ...] = ()
    #: The number of the first ones that may be missing at the end.
    may_lack: int = 0
    #: What is repeated behind them; () for nothing.
    group: tuple[Check, ...] = ()
    #: The maximum number of groups.
    most: int = 0


def check(script: str, words: Sequence[str]) -> None:
    """Check the words of a script, those behind the caller.

    Raises errors.Usage for a wrong number or form, errors.Invalid for what is too large,
    and errors.NotFound for an id that cannot be one.
    """
    limits.batch_size(words)
    if script in _PARSED:
        _PARSED[script](words)
        return
    _check(WORDS[script], words)


def _check(known: Words, words: Sequence[str]) -> None:
    count = len(known.first)
    if len(words) < count - known.may_lack:
        raise errors.Usage(reason="The call has too few arguments.")
    for each, word in zip(known.first, words, strict=False):
        each(word)
    rest = words[count:]
    size = len(known.group) or 1
    if len(rest) % size or len(rest) > size * known.most:
        raise errors.Usage(reason="The call has too many arguments.")
    for place, word in enumerate(rest):
        known.group[place % size](word)


# Checks of one word ------------------------------------------------------------------


def item(word: str) -> str:
    """Check the id of an item."""
    return limits.item_id(word)


def project(word: str) -> str:
    """Check the id of a project."""
    return limits.project_id(word)


def item_or_project(word: str) -> str:
    """Check the id of an item or a project."""
    return item(word) if word.startswith("item_") else project(word)


def text(word: str) -> str:
    """Check a text of an agent."""
    return limits.text(word, "text")


def title(word: str) -> None:
    """Check a title, or none."""
    if word:
        limits.title(word)


def agent(word: str) -> None:
    """Check the name of an agent."""
    limits.name(word, "an agent")


def owner(word: str) -> None:
    """Check the name of an agent, or `pool:` and the name of a pool."""
    if word.startswith(keys.POOL):
        limits.pool_name(word.removeprefix(keys.POOL))
    else:
        agent(word)


def schedule(word: str) -> None:
    """Check the name of a schedule."""
    limits.name(word, "a schedule")


def scheduled_plan(word: str) -> None:
    """Check the size of the plan of a schedule."""
    if len(word.encode()) > PLAN_BYTES:
        raise errors.Invalid(
            reason=f"An argument has more than {PLAN_BYTES} bytes (256 KiB)."
        )


def flag(word: str) -> None:
    """Check a choice between "1" and ""."""
    if word not in ("", "1"):
        raise errors.Usage(reason='An argument is neither "1" nor empty.')


def short(word: str) -> None:
    """Check a word whose form the script knows."""
    if len(word) > WORD_CHARACTERS or "\0" in word:
        raise errors.Usage(reason="An argument is too long.")


def cursor(word: str) -> str:
    """Check the id of a stream entry."""
    return limits.cursor(word)


def optional(each: Check) -> Check:
    """Return the check of a word that may be empty."""

    def checked(word: str) -> None:
        if word:
            each(word)

    return checked


def number(least: int = 0, most: int = limits.LARGEST) -> Check:
    """Return the check of a whole number."""

    def checked(word: str) -> None:
        if not re.fullmatch(_NUMBER, word):
            raise errors.Usage(reason="An argument is not a number.")
        limits.number(int(word), "number", least, most)

    return checked


def choice(*words: str) -> Check:
    """Return the check of a word that is one of some."""

    def checked(word: str) -> None:
        if word not in words:
            raise errors.Usage(reason=f"An argument is none of {words}.")

    return checked


def matching(pattern: str, what: str) -> Check:
    """Return the check of a word with a form."""

    def checked(word: str) -> None:
        if not re.fullmatch(pattern, word):
            raise errors.Usage(reason=f"An argument is not {what}.")

    return checked


def parsed(word: str, kind: type[Value], most: int) -> Value:
    """Return a JSON value of a type with at most `most` members."""
    try:
        value = json.loads(word)
    except (ValueError, RecursionError):
        raise errors.Usage(reason="An argument is not JSON.") from None
    if not isinstance(value, kind):
        raise errors.Usage(reason="An argument is JSON of another type.")
    if isinstance(value, (list, dict)) and len(value) > most:
        raise errors.Invalid(
            reason=f"An argument has more than {most} values."
        )
    return value


def texts(most: int = limits.LIST_VALUES) -> Check:
    """Return the check of a JSON list of texts."""

    def checked(word: str) -> None:
        for value in parsed(word, list, most):
            _need_text(value)

    return checked


def pairs(word: str) -> None:
    """Check a JSON object of texts, such as the deliverables."""
    if len(word.encode()) > limits.DELIVERABLES_BYTES:
        raise errors.Invalid(
            reason=f"An argument has more than {limits.DELIVERABLES_BYTES} bytes "
            "(256 KiB)."
        )
    for name, value in parsed(word, dict, limits.LIST_VALUES).items():
        _need_text(name)
        _need_text(value)


def _need_text(value: object) -> None:
    if not isinstance(value, str):
        raise errors.Usage(reason="A value is not text.")
    limits.text(value, "value")


def _label(word: str) -> None:
    for value in parsed(word, list, limits.LABELS):
        limits.label(value)


def _leases(word: str) -> None:
    for lease in parsed(word, list, ROWS):
        if not isinstance(lease, list) or len(lease) != 2:  # noqa: PLR2004  a pair
            raise errors.Usage(reason="A lease is not an item and a token.")
        for part in lease:
            _need_text(part)


def _checks(word: str) -> None:
    for each in parsed(word, list, acceptance_rules.CHECKS):
        acceptance_rules.check_of(each)


def _evidence(word: str) -> None:
    for each in parsed(word, list, acceptance_rules.CHECKS):
        acceptance_rules.result_of(each)


def _dependencies(word: str) -> None:
    for each in parsed(word, list, limits.DEPENDENCIES):
        if isinstance(each, str):
            item(each)
        elif type(each) is not int or not 0 <= each < limits.BATCH_ITEMS:
            raise errors.Usage(
                reason="A dependency is neither an id nor a place."
            )


def _added(word: str) -> None:
    for each in parsed(word, list, limits.BATCH_DEPENDENCIES):
        _need_text(each)
        item(each)


def _priorities(word: str) -> None:
    for each in parsed(word, list, LISTED):
        if type(each) is not int or not 0 <= each <= 4:  # noqa: PLR2004  least urgent
            raise errors.Usage(reason="A priority is not 0 to 4.")


def _titles(word: str) -> None:
    for each in parsed(word, list, SEARCHED):
        limits.title(each)


def _since(word: str) -> None:
    number()(word.removeprefix("-"))


def _used(word: str) -> None:
    parts = word.split(" ")
    if len(parts) != 5:  # noqa: PLR2004  four numbers and a model
        raise errors.Usage(reason="An argument is not a usage.")
    *numbers, model = parts
    for each, most in zip(numbers, _MOST_USED, strict=True):
        number(0, most)(each)
    if model:
        usage_rules.model_name(model)


token = matching(_TOKEN, "a token")
duration = optional(number(1, limits.LONGEST_MS))
percent = optional(number(0, 100))
question = optional(number())
skip = number()
rows = number(1, PAGE)
claims = optional(number(1, limits.BATCH_STEPS))
#: What was used: four numbers and the model.
used = optional(_used)
budget_owner = matching(
    r"(namespace|project:proj_[0-9a-z]{1,32}|agent:[A-Za-z0-9_.-]{1,64})?",
    "the owner of a budget",
)
limit = matching(r"([0-9]{1,16}|-)", "a limit")
#: Random digits for a new id, or an id.
new_project = matching(
    r"[0-9a-f]{8}|proj_[0-9a-z]{1,32}", "the id of a project"
)
new_item = matching(r"[0-9a-f]{8}|item_[0-9a-z]{1,32}", "the id of an item")
_READER = (choice("worker", "orchestrator"), short)

#: Script -> its words.
WORDS: Mapping[str, Words] = {
    "accept": Words(first=(item, text, flag)),
    "add_usage": Words(first=(item, token, used)),
    "agent_comment": Words(first=(item, token, text)),
    "agents": Words(first=(skip, number(1, 50), number(0, PAGE))),
    "answer": Words(first=(item, text, question)),
    "assign": Words(
        first=(owner, optional(pairs), optional(texts()), flag),
        group=(item,),
        most=limits.BATCH_STEPS,
    ),
    "blocker": Words(first=(item, token, text, text)),
    "budgets": Words(
        first=(matching(r"[0-9]{1,19}", "a cursor of HSCAN"), budget_owner)
    ),
    "cancel": Words(first=(item, text)),
    "check": Words(first=(number(1, limits.SHOWN_ITEMS),)),
    "claim": Words(
        first=(
            duration,
            choice("", "1", "again"),
            number(0, limits.BATCH_STEPS),
        )
    ),
    "close_project": Words(first=(project, flag, text)),
    "comment": Words(first=(item, text)),
    "costs": Words(
        first=(
            budget_owner,
            choice("day", "model", "agent", "project"),
            skip,
        )
    ),
    "count_new_discoveries": Words(first=_READER),
    "create_schedule": Words(
        first=(schedule, short, short, scheduled_plan, pairs, number())
    ),
    "depend": Words(
        first=(item,), group=(item,), most=limits.BATCH_DEPENDENCIES
    ),
    "discover": Words(first=(item, token, text, text)),
    "discoveries": Words(
        first=(
            short,
            choice("after", "before"),
            optional(cursor),
            optional(project),
            rows,
        )
    ),
    "end_scheduled": Words(
        first=(schedule, optional(number()), optional(project), text)
    ),
    "environment": Words(group=(short,), most=20),
    "events": Words(first=(cursor, number(1, 5 * ROWS))),
    "expect": Words(first=(item,)),
    "fail": Words(first=(item, token, text, flag, claims, duration, used)),
    "find": Words(
        first=(
            choice("item", "proj", ""),
            matching(_DIGITS, "the start of an id"),
            short,
            rows,
            optional(agent),
        )
    ),
    "finished": Words(first=(number(), skip, number(1, ROWS))),
    "get": Words(
        first=(item, token, choice("claim", "peek", "takeover"), duration)
    ),
    "inbox": Words(first=(optional(project), flag, short, rows)),
    "indexed": Words(
        first=(
            choice(
                "unassigned", "leases", "blocked", "reviews", "delayed", "dead"
            ),
            skip,
            rows,
        )
    ),
    "list": Words(
        first=(
            optional(project),
            texts(LISTED),
            texts(LISTED),
            _priorities,
            texts(LISTED),
            _titles,
            _since,
            _since,
            short,
            texts(LISTED),
            short,
            rows,
        )
    ),
    "metrics": Words(
        first=(
            choice(
                "counters", "hours", "projects", "agents", "pools", "usage"
            ),
            optional(matching(r"[0-9]{1,19}", "a cursor of ZSCAN")),
        )
    ),
    "mirrors": Words(first=(skip, rows)),
    "new_discoveries": Words(first=(*_READER, rows)),
    "note": Words(first=(item, text)),
    "notes": Words(first=(item, optional(cursor))),
    "overview": Words(
        first=(
            choice("needs", "agents", "pools", "usage", "events"),
            optional(matching(r"[0-9]{1,15}(:[0-9]{1,15}){0,2}", "a cursor")),
            number(0, PAGE),
        ),
        group=(budget_owner,),
        most=OWNERS,
    ),
    "prime": Words(first=(number(1, limits.SHOWN_ITEMS), _leases)),
    "progress": Words(first=(item, token, text, percent, used)),
    "progress_of_project": Words(first=(project, skip, rows)),
    "project": Words(
        first=(limits.title, text, new_project, optional(number()))
    ),
    "projects": Words(first=(choice("", "open", "completed"), skip, rows)),
    "reap": Words(first=(number(1, 100), number(), number(1, ROWS))),
    "records": Words(
        first=(short,),
        group=(item, optional(cursor), optional(cursor)),
        most=RECORDS,
    ),
    "release": Words(first=(item, token, text, flag)),
    "renew": Words(first=(item, token, flag, optional(cursor))),
    "remove_schedule": Words(first=(schedule,)),
    "reopen_project": Words(first=(project,)),
    "requeue": Words(first=(item, flag, text, flag)),
    "resume": Words(),
    "reviews": Words(first=(flag, skip, rows)),
    "schedules": Words(first=(optional(schedule), flag)),
    "send_back": Words(first=(item, text, flag)),
    "set_budget": Words(
        first=(budget_owner, choice("day", "total"), limit, limit)
    ),
    "show": Words(first=(item,)),
    "standing": Words(first=(item_or_project, optional(skip))),
    "start_scheduled": Words(first=(schedule, number(), number())),
    "stuck": Words(
        first=(
            number(1, limits.LONGEST_MS),
            number(1, limits.LONGEST_MS),
            optional(project),
            short,
            number(1, 100),
        )
    ),
    "timeline": Words(first=(item, optional(cursor), optional(number()))),
    "upgrade": Words(first=(number(1, 100),)),
    "wait": Words(first=(item, token, question)),
    "withdraw": Words(first=(item, token, question)),
}

# Scripts that say themselves how many words they have --------------------------------

_COMPLETED = (item, token, text, pairs, optional(_evidence), used)
#: Where `complete` says how many items it has.
COUNT = 3
_COMPLETE = Words(
    first=(claims, duration, flag, number(1, limits.BATCH_STEPS)),
    group=_COMPLETED,
    most=limits.BATCH_STEPS,
)

#: What `create` may write into the hash of an item. Any other field belongs to scripts.
CREATED: Mapping[str, Check] = {
    "title": limits.title,
    "description": text,
    "requirements": texts(),
    "context": pairs,
    "resources": texts(),
    "deliverables_expected": texts(),
    "criteria": texts(),
    "checks": _checks,
    "reviewer": agent,
    "lease_ms": number(1, limits.LONGEST_MS),
    "max_attempts": number(1, 1000),
    "labels": _label,
    "traceparent": limits.traceparent,
    "created_at": number(),
    "task": matching(r"[0-9a-f]{64}", "the hash of a secret"),
}
_EDITED: Mapping[str, Check] = {
    **{
        name: optional(each)
        for name, each in CREATED.items()
        if name not in ("created_at", "task", "traceparent")
    },
    "priority": number(0, 4),
    "context+": pairs,
    "context-": texts(),
    "labels+": _label,
    "labels-": _label,
    "depends_on+": _added,
    "depends_on-": texts(),
}
_PLAN = (new_project, title, text, text, flag, flag)
_CREATED = (
    new_item,
    text,
    optional(owner),
    number(0, 4),
    number(),
    number(0, limits.LONGEST_MS),
    optional(_dependencies),
)


def _check_complete(words: Sequence[str]) -> None:
    _check(_COMPLETE, words)
    if len(words) != COUNT + 1 + len(_COMPLETED) * int(words[COUNT]):
        raise errors.Usage(reason="The number of items is not right.")


def _check_create(words: Sequence[str]) -> None:
    rest = _after(words, _PLAN)
    count = 0
    while rest:
        rest = _after_fields(_after(rest, _CREATED), CREATED)
        count += 1
    if too_many := limits.batch_items(count):
        raise errors.Invalid(reason=f"The plan has {too_many}")


def _check_edit(words: Sequence[str]) -> None:
    rest = _after(words, (flag,))
    count = added = 0
    while rest:
        fields = _after(rest, (item,))
        rest = _after_fields(fields, _EDITED)
        changed = fields[: len(fields) - len(rest)]
        count, added = count + 1, added + ("depends_on+" in changed[1::2])
    limits.batch_steps(count)
    if count > 1 and added:
        raise errors.Usage(
            reason="Only an edit of one item adds dependencies."
        )


def _after(words: Sequence[str], checks: Sequence[Check]) -> Sequence[str]:
    """Check the first words, and return those behind them."""
    _check(Words(first=tuple(checks)), words[: len(checks)])
    return words[len(checks) :]


def _after_fields(
    words: Sequence[str], known: Mapping[str, Check]
) -> Sequence[str]:
    """Check a number of words, and then field, value …; return those behind them."""
    rest = _after(words, (number(0, 2 * len(known)),))
    count = int(words[0])
    fields, values = rest[:count:2], rest[1:count:2]
    if len(rest) < count or len(fields) != len(values):
        raise errors.Usage(reason="The call has too few arguments.")
    for name, value in zip(fields, values, strict=True):
        if name not in known:
            raise errors.Usage(reason="There is no such field.")
        known[name](value)
    return rest[count:]


_PARSED: Mapping[str, Callable[[Sequence[str]], None]] = {
    "complete": _check_complete,
    "create": _check_create,
    "edit": _check_edit,
}
