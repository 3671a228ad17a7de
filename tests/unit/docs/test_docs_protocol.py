"""docs/protocol.md agrees with the source.

Keys, verbs, errors, events, numbers, bounds and the state diagram are compared.
"""

import inspect
import re
import shlex
from collections.abc import Callable, Iterator
from itertools import chain, takewhile
from pathlib import Path
from typing import Any

import pytest
from support.builders import Bench
from taskorch.domain import (
    acceptance,
    errors,
    item,
    limits,
    usage,
    usage_rules,
)
from taskorch.domain import (
    acceptance_rules as rules,
)
from taskorch.queue import (
    agent_queue,
    agents,
    fields,
    keys,
    metrics,
    mirror_replies,
    notifications,
    overview,
    plan,
    queue,
    replies,
    scripts,
    stuck,
    timeline,
    views,
    waits,
)
from taskorch_gateway.board import search
from taskorch_orchestrator.cli import orchestrate
from taskorch_orchestrator.mirror import mirror
from taskorch_worker.cli import worker

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "shared" / "taskorch" / "queue" / "scripts"
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
SCRIPTS = {
    file.stem: file.read_text(encoding="utf-8")
    for file in sorted(FOLDER.glob("*.lua"))
}
PARTS = {
    file.stem: file.read_text(encoding="utf-8")
    for file in sorted((FOLDER / "prelude").glob("*.lua"))
}
PRELUDE = "".join(PARTS.values())
EVERYTHING = "\n".join([PRELUDE, *SCRIPTS.values()])


def between(text: str, start: str, end: str) -> str:
    """Return the text from the first `start` to the next `end` or the end of the text."""
    _, found, rest = text.partition(start)
    assert found, f"{start!r} is missing"
    return rest.partition(end)[0]


def chapter(title: str) -> str:
    found = re.search(rf"^## \d+\. {title}$", PAGE, flags=re.MULTILINE)
    assert found, f"{title!r} is missing"
    return between(PAGE, found[0], "\n## ")


def table(text: str) -> list[list[str]]:
    """Return the rows of the last table of a text, without backticks."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    start = max(
        number for number, line in enumerate(lines) if line.startswith("|---")
    )
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines[start + 1 :]]
    return [
        [cell.strip().replace("`", "").replace("\\|", "|") for cell in row]
        for row in rows
    ]


def sections() -> dict[str, str]:
    """Return the section of each verb, by its name."""
    parts = re.split(r"^#### (\w+)$", chapter("Verbs"), flags=re.MULTILINE)
    return {
        name: text.partition("\n### ")[0]
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


SECTIONS = sections()


def code(lua: str) -> str:
    return re.sub(r"--.*", "", lua)


def functions() -> dict[str, str]:
    """Return the text of each function of the prelude, by its name."""
    names_only = r"^local (?:[a-z_]+,\s+)*[a-z_]+$"
    prelude = re.sub(
        names_only, "", code(PRELUDE), flags=re.MULTILINE | re.DOTALL
    )
    parts = re.split(
        r"^(?:  )?(?:local )?function ([\w.]+)",
        prelude,
        flags=re.MULTILINE,
    )
    return dict(zip(parts[1::2], parts[2::2], strict=True))


FUNCTIONS = functions()


def definitions(lua: str) -> list[str]:
    """Return the names of the functions and tables that a part defines."""
    return re.findall(r"^local (?:function )?(\w+)", code(lua), re.MULTILINE)


def words_of(lua: str) -> list[str]:
    return re.findall(r"(?<!')\b[A-Za-z_]+\b(?!')", lua)


def reachable(name: str) -> str:
    """Return the code of a script and of all prelude functions that it can reach."""
    seen: set[str] = set()
    texts = [code(SCRIPTS[name])]
    for text in texts:
        words = re.findall(
            r"(?<!')\b(?:(?!Rights)[A-Z]\w+\.|editing\.)?[a-z_]+\b(?!')",
            text,
        )
        for called in set(words) & (FUNCTIONS.keys() - seen):
            seen.add(called)
            texts.append(FUNCTIONS[called])
    return "\n".join(texts)


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_has_the_parts_that_it_uses(name: str) -> None:
    used = {
        part
        for part, lua in PARTS.items()
        if set(definitions(lua)) & set(words_of(code(SCRIPTS[name])))
    }

    assert used - set(scripts.PRELUDE) <= set(scripts.PARTS.get(name, ()))


def test_listed_parts_are_all_parts() -> None:
    listed = {*scripts.PRELUDE, *chain(*scripts.PARTS.values())}

    assert listed == PARTS.keys()
    assert scripts.PARTS.keys() <= SCRIPTS.keys()


def test_page_names_the_parts_of_each_script() -> None:
    rows = dict(table(between(chapter("Calls"), "\n", "**NOSCRIPT.**")))

    assert {
        name: tuple(parts.split(", "))
        for names, parts in rows.items()
        for name in names.split(", ")
    } == scripts.PARTS


#: What the prelude itself refuses, in any script: the page says it once.
OF_EVERY_SCRIPT = {"SCHEMA", "TOKEN_REFUSED", "QUOTA"}


def raised(name: str) -> set[str]:
    return set(re.findall(r"\brefuse\('([A-Z_]+)'", reachable(name)))


def emitted(name: str) -> set[str]:
    return set(re.findall(r"\bemit\('(\w+)'", reachable(name)))


def header(lua: str) -> dict[str, str]:
    """Return the lines of a script's header by label; a line may continue, indented."""
    comments = takewhile(lambda line: line.startswith("-- "), lua.splitlines())
    joined = re.sub(r"\n-- {2,}", " ", "\n".join(comments))
    first, *rest = joined.splitlines()
    fields = {
        label: text
        for label, text in (line[3:].split(maxsplit=1) for line in rest)
        if label.isupper()
    }
    return {"WHAT": first[3:], **fields}


def number(name: str, lua: str) -> int:
    """Return a constant of a script, which may stand in `local A, B = 1, 2`."""
    for names, values in re.findall(
        r"^(?:  )?local ([A-Z_, ]+) = ([\d, ]+)$", lua, flags=re.MULTILINE
    ):
        constants = dict(
            zip(names.split(", "), values.split(", "), strict=True)
        )
        if name in constants:
            return int(constants[name])
    raise AssertionError(f"{name} is not a constant of this script")


def subclasses(
    root: type[errors.TaskOrchestratorError],
) -> Iterator[type[errors.TaskOrchestratorError]]:
    yield root
    for child in root.__subclasses__():
        yield from subclasses(child)


def read_by(reader: Callable[..., object]) -> set[str]:
    """Return the fields that a function of `replies` reads."""
    return set(
        re.findall(
            r'fields(?:\.get\(|\[|, )"(\w+)"', inspect.getsource(reader)
        )
    )


def errors_line(text: str) -> set[str]:
    """Return the error words after `Errors:` in a section."""
    return set(re.findall(r"`([A-Z_]+)`", between(text, "\nErrors:", "\n#")))


def test_key_table_is_that_of_the_source() -> None:
    rows = [
        [
            key.name,
            key.type,
            key.holds,
            "permanent" if key.permanent else "expires",
        ]
        for key in keys.KEYS
    ]

    assert table(chapter("Keys").partition("These are the fields")[0]) == rows


def test_scripts_and_client_have_the_same_defaults() -> None:
    (usual,) = re.findall(
        r"^local LEASE_MS, MAX_ATTEMPTS, PRIORITY = '(\d+)', (\d+), '(\d+)'",
        PRELUDE,
        re.MULTILINE,
    )

    assert usual == tuple(
        replies.LEFT_OUT[name]
        for name in ("lease_ms", "max_attempts", "priority")
    )


def test_field_table_has_every_field_of_an_item() -> None:
    hmget = "read_hash('item', id, 'HMGET', "
    reads = (
        between(FUNCTIONS["find_item"], hmget, ")")
        + between(FUNCTIONS["changed_at"], hmget, ")")
        + between(FUNCTIONS["holder_of"], "id), ", ")")
        + between(FUNCTIONS["Owner.was_claimer"], "id), ", ")")
        + between(FUNCTIONS["Reports.completion"], "'HMGET', ", ")")
    )
    stored = set(re.findall(r"'(\w+)'", reads))
    shown = (
        read_by(replies._item)
        | read_by(replies._holder)
        | read_by(replies._questions)
        | read_by(replies._returned)
        | read_by(replies._checks)
        | read_by(replies._evidence)
        | read_by(fields.state)
    )
    shown |= read_by(mirror_replies.record) | read_by(timeline._created)

    documented = {
        name for row in table(chapter("Keys")) for name in row[0].split(", ")
    }

    assert documented == stored | shown


def test_mirror_fields_are_those_that_scripts_write() -> None:
    written = set()
    for name in ("mirror_take", "mirror_give"):
        for pairs in re.findall(
            r"'HSET', mirror, (.*)\)", code(SCRIPTS[name])
        ):
            written |= set(re.findall(r"'(\w+)', ", pairs))

    documented = set(
        re.findall(
            r"`(\w+)`",
            between(
                chapter("Keys"), "The fields of `mirror:<root>`: ", "\n\n"
            ),
        )
    )

    assert documented == written


def test_new_item_has_the_fields_that_are_sent() -> None:
    sent = set(re.findall(r'"(\w+)": ', inspect.getsource(plan.stored_fields)))

    documented = set(
        re.findall(
            r"`(\w+)`",
            between(SECTIONS["create"], "then pairs of", "No other field"),
        )
    )

    assert documented == sent


def test_state_diagram_is_that_of_the_source() -> None:
    assert between(str(item.__doc__), "\n\n", "\n\n") in chapter("States")


def test_every_script_has_one_section() -> None:
    assert sorted(SECTIONS) == sorted(SCRIPTS)


@pytest.mark.parametrize("name", ["prelude", *SCRIPTS])
def test_script_begins_with_the_five_part_header(name: str) -> None:
    lua = PRELUDE if name == "prelude" else SCRIPTS[name]

    fields = header(lua)

    assert list(fields) == ["WHAT", "KEYS", "ARGV", "RETURNS", "ERRORS"]
    assert all(fields.values())
    assert name == "prelude" or fields["WHAT"].startswith(f"{name}: ")


@pytest.mark.parametrize("name", SCRIPTS)
def test_section_has_call_caller_replies_and_errors(name: str) -> None:
    parts = [f"    {name}", "By: ", "Replies:\n - ", "Errors:"]
    if header(SCRIPTS[name])["ARGV"] != "none of its own":
        parts.append(" - `<")

    assert all(f"\n{part}" in SECTIONS[name] for part in parts)


@pytest.mark.parametrize("name", SCRIPTS)
def test_section_has_the_arguments_of_the_script(name: str) -> None:
    argv = header(SCRIPTS[name])["ARGV"]
    line = re.sub(r"\{.*", "", between(SECTIONS[name], f"\n    {name}", "\n"))

    arguments = re.findall(r"<\w+>", line)

    assert [int(n) for n in re.findall(r"(?:^|, )(\d+) ", argv)] == list(
        range(7, 7 + len(arguments))
    )
    assert all(f" - `{argument}`" in SECTIONS[name] for argument in arguments)


@pytest.mark.parametrize("name", SCRIPTS)
def test_errors_of_a_verb_are_documented_twice(name: str) -> None:
    words = raised(name) - OF_EVERY_SCRIPT

    in_header = header(SCRIPTS[name])["ERRORS"]

    assert set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)*\b", in_header)) == words
    assert errors_line(SECTIONS[name]) == words
    assert bool(words) != (in_header == "none of its own")
    assert bool(words) != ("Errors: none of its own.\n" in SECTIONS[name])


def test_every_script_can_raise_schema() -> None:
    assert all("SCHEMA" in raised(name) for name in SCRIPTS)
    assert all("TOKEN_REFUSED" in raised(name) for name in SCRIPTS)
    assert "Every script can raise `SCHEMA`" in chapter("Calls")
    assert "every script can\nraise `TOKEN_REFUSED`" in chapter("Calls")
    assert "every one that changes something `QUOTA`" in chapter("Calls")
    assert header(PRELUDE)["ERRORS"].startswith("SCHEMA")


def test_section_names_commands_that_exist() -> None:
    groups = {"worker": worker, "orchestrate": orchestrate}
    for text in SECTIONS.values():
        commands = re.findall(
            r"`(worker|orchestrate) ([\w-]+)", between(text, "\nBy: ", "\n\n")
        )

        assert commands
        assert all(
            command in groups[group].commands for group, command in commands
        )


def test_script_that_changes_nothing_is_a_view() -> None:
    shown = set(
        re.findall(
            r"^#### (\w+)$",
            between(chapter("Verbs"), "\n### 6.4 ", "\n### "),
            flags=re.MULTILINE,
        )
    )

    assert shown == {
        name for name, lua in SCRIPTS.items() if "return once(" not in lua
    }


def test_event_table_names_every_event_and_its_scripts() -> None:
    emitters = {
        verb: {name for name in SCRIPTS if verb in emitted(name)}
        for name in SCRIPTS
        for verb in emitted(name)
    }

    documented = {
        row[0]: set(row[1].split(", ")) for row in table(chapter("Events"))
    }

    assert documented == emitters


def test_event_fields_are_those_that_are_emitted() -> None:
    given = re.findall(r"'(\w+)', ", between(FUNCTIONS["emit"], "'*',", ")"))

    assert (
        re.findall(r"^ - `(\w+)`", chapter("Events"), flags=re.MULTILINE)
        == given
    )


def test_report_kinds_are_those_that_are_written() -> None:
    written = set(
        re.findall(
            r"\b(?:report|report_end|Reports\.add|Reports\.add_end)"
            r"\([\w., ]*item, '(\w+)'",
            EVERYTHING,
        )
    )

    assert (
        set(re.findall(r"`(\w+)`", between(chapter("Calls"), "`kind` (", ")")))
        == written
    )


def test_stream_entry_fields_are_those_that_are_read() -> None:
    report = between(
        chapter("Calls"), "The fields of a report: ", "Its time is"
    )
    stated = {
        replies.report: report.replace(between(report, "`kind` (", ")"), ""),
        replies.discovery: between(
            SECTIONS["discoveries"], "Replies:", "Each entry id"
        ),
        replies.note: between(SECTIONS["notes"], "Replies:", "Errors:"),
    }

    for reader, text in stated.items():
        assert set(re.findall(r"`(\w+)`", text)) == read_by(reader) | read_by(
            fields.made_at
        )


def test_origin_has_the_fields_that_are_sent() -> None:
    sent = re.findall(
        r'"(\w+)", origin', inspect.getsource(agent_queue.AgentQueue.__init__)
    )

    documented = re.findall(
        r"`(\w+)`",
        between(chapter("Edge cases"), "**Origin.**", "Its request id"),
    )

    assert documented == sent


def test_page_script_and_library_agree_on_origins() -> None:
    arguments = {
        name: re.findall(r"(?:^|, )(\d+) ", header(lua)["ARGV"])
        for name, lua in SCRIPTS.items()
    }
    taking = {
        name
        for name, lua in SCRIPTS.items()
        if "then field, value … of its origin" in header(lua)["ARGV"]
    }
    methods = {
        name: inspect.getsource(method)
        for name, method in inspect.getmembers(
            agent_queue.AgentQueue, inspect.isfunction
        )
    }
    sending = {
        name
        for name in SCRIPTS
        if "*self._origin" in methods.get(f"_{name}", methods.get(name, ""))
    }

    documented = {
        name
        for name, text in SECTIONS.items()
        if " {<field> <value>}\n" in text
    }

    assert documented == taking == sending
    places = {
        name: "origin" if name == "complete" else int(numbers[-1]) + 1
        for name, numbers in arguments.items()
        if numbers
    }
    assert all(
        f"unpack(ARGV, {places[name]})" in code(SCRIPTS[name])
        for name in taking
    )


def test_error_table_is_the_tree_of_errors() -> None:
    tree = [
        kind
        for kind in subclasses(errors.TaskOrchestratorError)
        if "word" in vars(kind)
    ]

    stated = [" ".join(row[:5]) for row in table(chapter("Errors"))]

    assert sorted(stated) == sorted(
        f"{kind.word} {kind.__name__} {kind.exit_code} {'yes' if kind.retryable else 'no'} "
        f"{'script' if kind.word in errors.BY_WORD else 'client'}"
        for kind in tree
    )


def test_error_details_are_those_of_the_scripts() -> None:
    given = re.findall(
        r"\brefuse\('([A-Z_]+)', \{(.*?)\}\)",
        code(EVERYTHING),
        flags=re.DOTALL,
    )

    documented = {
        row[0]: row[5]
        for row in table(chapter("Errors"))
        if row[4] == "script"
    }

    assert {
        (word, ", ".join(re.findall(r"(\w+) = ", details)))
        for word, details in given
    } == set(documented.items())
    assert all(row[6] for row in table(chapter("Errors")))


def test_numbers_are_those_of_the_source() -> None:
    stated = {
        row[0]: row[1]
        for row in table(
            chapter("Leases, tokens, attempts").partition(
                "\nStreams are trimmed"
            )[0]
        )
    }

    assert {
        name: int(re.sub(r"\D.*", "", value.replace(",", "")))
        for name, value in stated.items()
    } == {
        "default lease of an item": item.DEFAULT_LEASE_MS,
        "default attempts of an item": item.DEFAULT_MAX_ATTEMPTS,
        "default priority of an item": item.DEFAULT_PRIORITY,
        "first retry delay": number("RETRY_FIRST_MS", PRELUDE),
        "longest retry delay": number("RETRY_CAP_MS", PRELUDE),
        "a first reply is kept for": number("REPLY_KEPT_MS", PRELUDE),
        "leases reaped, and items promoted, by a claim, check or get": number(
            "MAX_DUE", PRELUDE
        ),
        "the same by a call of reap, as the command makes it": queue.REAP_BATCH,
        "wake tokens in a list": int(
            between(FUNCTIONS["wake"], "LLEN', list) < ", " ")
        ),
        "longest wait on a wake token": int(agent_queue.WAIT_PERIOD_S),
        "longest block on a stream": int(waits.PERIOD_S),
        "reports kept of an item": number("REPORTS_KEPT", PRELUDE),
        "discoveries kept of a project": number(
            "DISCOVERIES_KEPT", SCRIPTS["discover"]
        ),
        "cursors of discoveries kept of an item": number(
            "FOUND_KEPT", SCRIPTS["discover"]
        ),
        "findings of each kind in a package": number(
            "FINDINGS_SHOWN", PRELUDE
        ),
        "bytes of a text of a finding": number("FINDING_BYTES", PRELUDE),
        "bytes of the texts of a project's discoveries, about": number(
            "MAX_DISCOVERY_BYTES", SCRIPTS["discover"]
        ),
        "projects whose discoveries are read together": number(
            "MAX_PROJECTS", PRELUDE
        ),
        "new discoveries that are counted": number("MAX_NEW_COUNTED", PRELUDE),
        "items of other projects that a claim of a confined caller skips": number(
            "MAX_SKIPPED", PRELUDE
        ),
        "notes kept of an agent on an item": number(
            "NOTES_KEPT", SCRIPTS["note"]
        ),
        "events kept": number("EVENTS_KEPT", PRELUDE),
        "reports in a package": number("REPORTS_SHOWN", PRELUDE),
        "bytes of the reports in a package, about": number(
            "REPORT_BYTES", PRELUDE
        ),
        "notes in a page": number("MAX_NOTES", SCRIPTS["notes"]),
        "bytes of items, projects and reports in a reply, about": number(
            "MAX_REPLY_BYTES", PRELUDE
        ),
        "bytes of reports among which one is looked for, about": number(
            "REPORT_BYTES_LOOKED_AT", PRELUDE
        ),
        "items that list visits in a call": number(
            "MAX_VISITED", SCRIPTS["list"]
        ),
        "items that list visits in a call with an order": number(
            "MAX_SORTED", SCRIPTS["list"]
        ),
        "bytes of texts that list searches in a call, about": number(
            "MAX_SEARCHED", SCRIPTS["list"]
        ),
        "items, agents and dependencies that stuck looks at in a call, about": number(
            "MAX_STEPS", SCRIPTS["stuck"]
        ),
        "ids that find looks at in a call, about": number(
            "MAX_VISITED", SCRIPTS["find"]
        ),
        "items of a project that standing looks at for a dead one": number(
            "MAX_VISITED", SCRIPTS["standing"]
        ),
        "items and dependencies that standing looks at in a call, about": number(
            "MAX_STEPS", SCRIPTS["standing"]
        ),
        "events that events returns in a call": number(
            "MAX_EVENTS", SCRIPTS["events"]
        ),
        "items that wait for one that cancel looks at": number(
            "MAX_LOOKED_AT", SCRIPTS["cancel"]
        ),
        "items that agents lists of each": number(
            "MAX_HELD_SHOWN", SCRIPTS["agents"]
        ),
        "projects that projects looks at for a status": number(
            "MAX_VISITED", SCRIPTS["projects"]
        ),
        "items in a slice of export": number("MAX_ITEMS", SCRIPTS["export"]),
        "reports and notes, or entries of a stream, in a slice of export": number(
            "MAX_ENTRIES", SCRIPTS["export"]
        ),
        "dependencies in a slice of export, about": number(
            "MAX_LINKS", SCRIPTS["export"]
        ),
        "items and dependencies, or entries, that an audit looks at in a call": queue.AUDIT_BATCH,
        "items that purge removes in a call": queue.PURGE_BATCH,
        "items that awaited looks at in a call": queue.CHECK_BATCH,
        "dependents that awaited looks at in a call, about": number(
            "MAX_LOOKED_AT", SCRIPTS["awaited"]
        ),
        "events that mirrors counts for a root": number(
            "MAX_COUNTED", SCRIPTS["mirrors"]
        ),
        "projects that metrics looks at in a call, about": number(
            "PROJECTS", SCRIPTS["metrics"]
        ),
        "agents or pools that metrics looks at in a call, about": number(
            "AGENTS", SCRIPTS["metrics"]
        ),
        "items of an index that overview looks at": number(
            "MAX_VISITED", SCRIPTS["overview"]
        ),
        "agents that overview looks at in a call": number(
            "MAX_AGENTS", SCRIPTS["overview"]
        ),
        "agents of a pool that overview shows": number(
            "MAX_MEMBERS_SHOWN", PARTS["rows"]
        ),
        "pools that a call of forget_agents looks at": number(
            "MAX_POOLS", SCRIPTS["forget_agents"]
        ),
        "events that overview looks at in a call": number(
            "MAX_EVENTS", SCRIPTS["overview"]
        ),
        "events that notify_take looks at in a call": number(
            "MAX_EVENTS", SCRIPTS["notify_take"]
        ),
        "notifications of a message": number(
            "MAX_BATCH", SCRIPTS["notify_take"]
        ),
        "subjects of notifications that are kept of a target": number(
            "SUBJECTS_KEPT", SCRIPTS["notify_take"]
        ),
        "access tokens among which others of an agent are looked for": number(
            "MAX_TOKENS", PARTS["memberships"]
        ),
        "an attempt to send notifications, as the service makes it": notifications.ATTEMPT_MS,
        "hours whose counters are kept": metrics.HOURS_KEPT,
        "days whose usage is kept": number("DAYS_KEPT", PRELUDE),
        "models, and agents, that a hash of usage names": number(
            "MAX_NAMES", PRELUDE
        ),
        "budgets": number("MAX_BUDGETS", SCRIPTS["set_budget"]),
        "agents that a call of set_budget wakes": number(
            "MAX_WOKEN", SCRIPTS["set_budget"]
        ),
        "budgets that budgets reads in a call, about": number(
            "SCANNED", SCRIPTS["budgets"]
        ),
        "projects or agents that costs reads in a call": number(
            "PAGE", SCRIPTS["costs"]
        ),
        "owners whose usage a client asks overview for at once": overview.OWNERS_PAGE,
        "dependencies that depend and create follow; an item counts as 10": number(
            "MAX_FOLLOWED", PRELUDE
        ),
        "bytes of several items that a call changes; a context counts three times": number(
            "MAX_CHANGED_BYTES", PRELUDE
        ),
        "dependencies of an item": number("MAX_DEPENDENCIES", PRELUDE),
        "dependencies in a package": number("MAX_DEPENDENCIES_SHOWN", PRELUDE),
        "dependents that requeue takes in a call": number(
            "MAX_DEPENDENTS", SCRIPTS["requeue"]
        ),
        "items that a call releases or cancels": number(
            "MAX_HANDLED", PRELUDE
        ),
        "items that a call looks at to find open ones": number(
            "MAX_LOOKED_AT", PRELUDE
        ),
        "agents that a call of reap compares, about": queue.AGENTS_BATCH,
        "dependencies and dependents that purge visits in a call, about": number(
            "MAX_LINKS", SCRIPTS["purge"]
        ),
        "agents that a call of forget_agents looks at": queue.FORGET_BATCH,
        "time without a call after which an agent without items is forgotten": agents.FORGOTTEN_MS,
        "the right to archive a project": number(
            "ROOT_MS", SCRIPTS["archive_take"]
        ),
        "purged projects that are remembered": number(
            "PURGED_KEPT", SCRIPTS["purge"]
        ),
        "the right to write a root's files, as the commands take it": mirror.LEASE_MS,
        "the longest right to write a root's files": limits.LONGEST_MIRROR_MS,
    }
    units = {"s": 1_000, "min": 60_000, "h": 3_600_000}
    units |= {"day": 86_400_000, "days": 86_400_000}
    for ms, count, unit in re.findall(
        r"([\d,]+) ms \((\d+) (\w+)\)", " ".join(stated.values())
    ):
        assert int(ms.replace(",", "")) == int(count) * units[unit]


def test_hours_kept_agree_in_python_and_lua() -> None:
    assert f"HOURS_KEPT = 3600000, {metrics.HOURS_KEPT}\n" in PARTS["counters"]


def test_bounds_of_calls_agree_in_python_and_lua() -> None:
    assert number("MAX_EVENTS", SCRIPTS["events"]) == waits.MOST_EVENTS
    assert number("MAX_STEPS", SCRIPTS["stuck"]) == stuck.LOOKED_AT
    assert number("MAX_VISITED", SCRIPTS["list"]) == search.VISITED_BY_CALL


def test_item_limits_agree_in_python_and_lua() -> None:
    assert number("MAX_LABELS", PRELUDE) == limits.LABELS
    assert number("MAX_VALUES", PRELUDE) == limits.LIST_VALUES
    assert number("MAX_BYTES", PRELUDE) == limits.DELIVERABLES_BYTES
    assert number("MAX_DEPENDENCIES", PRELUDE) == limits.DEPENDENCIES
    assert (
        number("MAX_OPEN_QUESTIONS", code(SCRIPTS["blocker"]))
        == limits.OPEN_QUESTIONS
    )
    assert (
        number("MAX_QUESTION_BYTES", SCRIPTS["blocker"])
        == limits.QUESTIONS_BYTES
    )
    assert number("MAX_ITEM_BYTES", PRELUDE) == limits.ITEM_BYTES
    sized = between(PRELUDE, "local SIZED = {", "}")
    assert tuple(re.findall(r"'(\w+)'", sized)) == limits.ITEM_FIELDS


def test_numbers_in_the_text_are_right() -> None:
    page = " ".join(PAGE.split())
    schema = between(PRELUDE, "SCHEMA = '", "'")
    first_s, cap_h = (
        number("RETRY_FIRST_MS", PRELUDE) // 1000,
        number("RETRY_CAP_MS", PRELUDE) // 3_600_000,
    )

    assert f"This page is schema version {schema};" in page
    assert (
        f"within {number('REPLY_KEPT_MS', PRELUDE) // 60_000} minutes" in page
    )
    assert (
        f"{first_s} s times 2^(attempts - 1), times a jitter from 0.75 to 1.25, and at most {cap_h} h."
        in page
    )
    assert "0.75 + 0.5 *" in PRELUDE
    assert "priority * 1e13 + item.seq" in PRELUDE
    assert "`priority * 1e13 + sequence`" in page


@pytest.mark.parametrize(
    ("verb", "stated"),
    [
        ("agents", f"A client sends at most {agents.PAGE}"),
        ("audit", f"A client sends {queue.AUDIT_BATCH}"),
        ("audit_index", f"A client sends {queue.AUDIT_BATCH}"),
        (
            "cancel",
            f"more than {number('MAX_LOOKED_AT', SCRIPTS['cancel'])} dependents",
        ),
        (
            "close_project",
            f"at most {number('MAX_HANDLED', PRELUDE)} in a call",
        ),
        ("complete", f"at most {number('MAX_HANDLED', PRELUDE)} in a call"),
        (
            "discoveries",
            f"reads the newest {number('MAX_PROJECTS', PRELUDE)} projects",
        ),
        (
            "discoveries",
            f"the first {number('MAX_OWN_ITEMS', PRELUDE)} in its queue",
        ),
        ("events", f"at most {number('MAX_EVENTS', SCRIPTS['events'])}"),
        ("forget_agents", f"A client sends {queue.FORGET_BATCH}"),
        ("notes", f"pages of {number('MAX_NOTES', SCRIPTS['notes'])} notes"),
        ("purge", f"A client sends {queue.PURGE_BATCH}"),
        ("purged", f"A client sends at most {views.PURGED_PAGE}"),
        ("reap", f"A client sends {queue.REAP_BATCH}"),
        ("reap", f"a client sends {queue.AGENTS_BATCH}"),
        (
            "requeue",
            f"takes {number('MAX_DEPENDENTS', SCRIPTS['requeue'])} dependents",
        ),
        ("resume", f"at most {number('MAX_HANDLED', PRELUDE)} items"),
        ("timeline", f"{number('PAGE', SCRIPTS['timeline'])} discoveries"),
        ("timeline", f"at most {number('REPORTS_SHOWN', PRELUDE)} reports"),
        ("upgrade", f"A client sends {scripts.UPGRADED_AT_ONCE}"),
    ],
)
def test_section_states_the_number_of_the_source(
    verb: str, stated: str
) -> None:
    assert stated in " ".join(SECTIONS[verb].split())


def test_bounds_are_those_of_the_source() -> None:
    stated = {row[0]: row[1] for row in table(chapter("Bounds"))}
    new = (
        "priority",
        "lease in ms",
        "number of attempts",
        "delay in ms",
        "time",
    )
    ranges = {
        "limit of check": agent_queue,
        "percentage": agent_queue,
        "limit of a view": views,
    }
    ranges |= dict.fromkeys(new, plan)

    assert stated == {
        "name of an agent, a pool or a namespace": f"{limits._NAME}, and no ..",
        "what no new agent or pool is named": limits._LIKE_ID,
        "pools of an agent": f"{limits.POOLS}, each once",
        "id of a project or an item": limits._ID,
        "host and session of the caller": f"{limits.CALLER_CHARACTERS} characters",
        "title": f"{limits.TITLE_CHARACTERS} characters, not blank",
        "any other text": f"{limits.TEXT_BYTES:,} bytes of UTF-8, no NUL",
        "values of a list": str(limits.LIST_VALUES),
        "tokens of a report": f"0 to {usage.MOST_TOKENS:,}",
        "microdollars of a report": f"0 to {usage.MOST_MICROS:,}",
        "name of a model": f"1 to {usage_rules.MODEL_CHARACTERS} printable ASCII characters, without blanks",
        "label": limits._LABEL,
        "labels of an item": str(limits.LABELS),
        "open questions of an item": str(limits.OPEN_QUESTIONS),
        "texts of the open questions of an item": f"{limits.QUESTIONS_BYTES:,} bytes",
        "an item in all": f"{limits.ITEM_BYTES:,} bytes",
        "dependencies of an item": f"{limits.DEPENDENCIES:,}",
        "acceptance checks of an item": str(rules.CHECKS),
        "a command of a check": f"1 to {rules.RUN_ARGUMENTS} arguments, {rules.RUN_BYTES:,} bytes; one that may fail",
        "timeout of a check in ms": f"1 to {rules.LONGEST_TIMEOUT_MS:,}; {acceptance.TIMEOUT_MS:,} if not given",
        "path or name in a check": f"{rules.NAME_BYTES:,} bytes; a path is relative and has no ..",
        "end of an output that is kept": f"{rules.TAIL_BYTES:,} bytes",
        "names of a JSON object": str(limits.LIST_VALUES),
        "a JSON object in all": f"{limits.DELIVERABLES_BYTES:,} bytes",
        "items of a call of create": f"1 to {limits.BATCH_ITEMS:,}",
        "items of a call of assign, edit, claim or complete": f"1 to {limits.BATCH_STEPS}",
        "dependencies of all items of a call of create, or of a call of depend": f"{limits.BATCH_DEPENDENCIES:,}",
        "the arguments of all items of a call": f"{limits.BATCH_BYTES:,} bytes",
        **{
            name: bound(inspect.getsource(module), name.partition(" of ")[0])
            for name, module in ranges.items()
        },
    }


def bound(source: str, what: str) -> str:
    """Return the range that a module allows for a number, as the page writes it."""
    allowed = re.search(
        rf'limits\.number\([\w.]+, "{what}[^"]*", ([\w.*]+), ([\w.*]+)\)',
        source,
    )
    assert allowed, what
    least, most = (eval(side, {"limits": limits}) for side in allowed.groups())
    return f"{least:,} to {most:,}"


def test_table_of_contents_lists_every_section() -> None:
    contents = PAGE.partition("\n## ")[0]
    headings = re.findall(r"^## (\d+)\. (.+)$", PAGE, flags=re.MULTILINE)

    links = re.findall(r"\]\(#([\w-]+)\)", contents)

    anchors = [f"{number} {title}".lower() for number, title in headings]
    assert links == [
        re.sub(r"[.,]", "", anchor).replace(" ", "-") for anchor in anchors
    ]


def test_references_name_sections_that_exist() -> None:
    sections = re.findall(r"^##+ (\d[\d.]*?)\.? ", PAGE, flags=re.MULTILINE)

    named = re.findall(r"\bsection (\d+)", PAGE, flags=re.IGNORECASE)

    assert named
    assert set(named) <= set(sections)


def as_written(reply: object) -> str:
    """Return a reply in the notation of the page."""
    if isinstance(reply, list):
        return f"{{{', '.join(map(as_written, reply))}}}"
    return str(reply) or "''"


def test_common_case_runs_as_written(bench: Bench) -> None:
    bench.item(id="item_11aa22bb", agent="ada")
    text = chapter("The common case").replace(
        "{team}", f"{{{bench.namespace}}}"
    )
    calls = re.findall(
        r"^    EVALSHA <sha1 of (\w+)> (.*?)\n\n",
        text,
        re.MULTILINE | re.DOTALL,
    )
    raw: Any = bench.raw

    claimed, reported, delivered = (
        raw.eval(scripts.load(name).text, *shlex.split(words))
        for name, words in calls
    )

    reported[2] = "1796058000000"
    assert [name for name, _ in calls] == ["claim", "progress", "complete"]
    assert claimed[0][0][:2] == ["item_11aa22bb", "1:5f0c21e98b7a4d36"]
    assert f"\n    -> {as_written(reported)}\n" in text
    assert f"\n    -> {as_written(delivered)}\n" in text
