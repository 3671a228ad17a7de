"""The words of calls, as the gateway checks them before Redis has them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from support.builders import Bench
from support.workflow import workflow
from taskorch.domain import errors, limits
from taskorch.domain.role import Role
from taskorch.queue import roles
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch_gateway import bounds
from taskorch_gateway.checks import WITHOUT_ORIGIN

ITEM, PROJECT = "item_00000000", "proj_00000000"
LONG = "x" * (limits.TEXT_BYTES + 1)
DEEP = "[" * 100_000
NEW = ("1a2b3c4d", "", "", "2", "0", "0", "")
LISTS = ("[]",) * 5
PLAN = (PROJECT, "", "", "", "", "")
#: The scripts that clients call who are not administrators.
CALLED = sorted(set().union(*roles.SCRIPTS.values()))
COUNT_OF_COMPLETE = 9


@dataclass
class Checking(ConnectionWrapper):
    """Checks the words of each call, as a gateway does."""

    connection: Connection
    checked: set[str] = field(default_factory=set)

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        words = tuple(map(str, arguments))
        if script.name in CALLED and not has_origin(script.name, words):
            bounds.check(script.name, words[6:])
            self.checked.add(script.name)
        return self.connection.run_script(script, key, arguments)


def has_origin(script: str, words: tuple[str, ...]) -> bool:
    """Return whether only the file mirror, an administrator, makes such a call."""
    if script == "complete":
        return len(words) > 10 + 6 * int(words[COUNT_OF_COMPLETE])
    return len(words) > WITHOUT_ORIGIN.get(script, len(words))


def test_all_scripts_of_clients_have_bounds() -> None:
    assert sorted({*bounds.WORDS, "complete", "create", "edit"}) == CALLED


@pytest.mark.one_lane
def test_whole_workflow_is_within_the_bounds(bench: Bench) -> None:
    checking = Checking(bench.queue.connection)

    list(workflow(bench.with_connection(lambda _: checking)))

    assert checking.checked >= set(roles.SCRIPTS[Role.WORKER]) - {"find"}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("progress", (ITEM, "", LONG, "")),
        ("progress", (ITEM, "", "a\0b", "")),
        ("comment", (ITEM, LONG)),
        ("project", ("x" * 501, "", "1a2b3c4d", "")),
        ("project", ("", "", "1a2b3c4d", "")),
        ("assign", ("a b", "", "", "", ITEM)),
        ("assign", ("a..b", "", "", "", ITEM)),
        (
            "complete",
            ("", "", "", "1", ITEM, "", "", '{"a": "' + LONG + '"}', "", ""),
        ),
        ("claim", ("", "", "17")),
        ("agents", ("0", "51", "0")),
        ("agents", ("0", "20", "101")),
        ("overview", ("usage", "0", "0", *["agent:ada"] * 201)),
        ("list", ("", *LISTS, "0", "0", "", "[]", "", "101")),
        (
            "list",
            (
                "",
                *LISTS[:-1],
                '["' + "x" * 501 + '"]',
                "0",
                "0",
                "",
                "[]",
                "",
                "1",
            ),
        ),
        ("create", (*PLAN, *NEW, "2", "title", "x" * 501)),
        ("create", (*PLAN, *NEW, "2", "requirements", str(["x"] * 201))),
    ],
)
def test_what_is_too_large_is_invalid(
    script: str, words: tuple[str, ...]
) -> None:
    with pytest.raises((errors.Invalid, errors.Usage)):
        bounds.check(script, words)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("check", ()),
        ("check", ("x",)),
        ("check", ("-1",)),
        ("check", ("1e3",)),
        ("check", ("1", "1")),
        ("claim", ("", "yes", "1")),
        ("events", ("0", "1")),
        ("overview", ("usage", "0", "0", "pool:backend")),
        ("budgets", ("0", "nobody else")),
        ("get", (ITEM, "", "steal", "")),
        ("get", (ITEM, "1;DEL", "claim", "")),
        ("prime", ("1", "{}")),
        ("prime", ("1", DEEP)),
        ("prime", ("1", '[["a"]]')),
        ("complete", ("", "", "", "0")),
        ("complete", ("", "", "", "2", ITEM, "", "", "{}", "", "")),
        ("complete", ("", "", "", "1", ITEM, "", "", "[]", "", "")),
        ("complete", ("", "", "", "1", ITEM, "", "", '{"a": 1}', "", "")),
        ("complete", ("", "", "", "1", ITEM, "", "", "{}", "{}", "")),
        ("complete", ("", "", "", "1", ITEM, "", "", "{}", "[1]", "")),
        ("create", (*PLAN, *NEW, "2", "checks", '[{"run": ["true"]}]')),
        ("create", (*PLAN, *NEW, "2", "checks", '[{"file": "../x"}]')),
        ("create", (*PLAN, *NEW, "1", "title")),
        ("create", (*PLAN, *NEW, "9", "title", "x")),
        ("create", ("item_*", *PLAN[1:], *NEW, "2", "title", "x")),
        ("edit", ("", ITEM, "2", "state", "completed")),
        ("reap", ("1", "0", "1001")),
        ("stuck", ("1", "1", "", "", "100000")),
        ("find", ("", "item_*", "", "10", "")),
    ],
)
def test_malformed_words_are_refused(
    script: str, words: tuple[str, ...]
) -> None:
    with pytest.raises((errors.Usage, errors.Invalid)):
        bounds.check(script, words)


@pytest.mark.parametrize(
    "name",
    [
        *("project", "state", "agent", "token", "live_token", "claim"),
        *("access_token", "seq", "questions", "completed_at"),
    ],
)
def test_client_sets_no_field_of_scripts(name: str) -> None:
    fields = ("4", "title", "x", name, "proj_1a2b3c4d")

    with pytest.raises(errors.Usage):
        bounds.check("create", (*PLAN, *NEW, *fields))


@pytest.mark.parametrize("script", ["show", "comment", "cancel", "get"])
def test_impossible_id_is_not_found(script: str) -> None:
    words = {"comment": ("x",), "cancel": ("",), "get": ("", "claim", "")}

    with pytest.raises(errors.NoItem):
        bounds.check(script, ("item_*", *words.get(script, ())))


@pytest.mark.one_lane
@pytest.mark.parametrize("script", CALLED)
@pytest.mark.parametrize("odd", ["", "x", "-1", "9" * 16, "[]", "nan"])
def test_odd_words_never_break_a_script(
    bench: Bench, script: str, odd: str
) -> None:
    run = bench.queue._scripts.run_script
    known = bounds.WORDS.get(script)
    words = [odd] * (len(known.first) if known else 8)
    outcome: type[errors.TaskOrchestratorError] = errors.Usage

    try:
        bounds.check(script, words)
        run(script, *words)
    except errors.TaskOrchestratorError as refused:
        outcome = type(refused)

    assert outcome is not errors.TaskOrchestratorError
