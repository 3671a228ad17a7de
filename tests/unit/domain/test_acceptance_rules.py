"""The rules of acceptance checks: what is allowed, and what is refused at creation."""

import shlex

import pytest
from taskorch.domain import acceptance_rules as rules
from taskorch.domain import errors
from taskorch.domain.acceptance import (
    TIMEOUT_MS,
    DeliverableCheck,
    FileCheck,
    RunCheck,
)


def test_rules_are_told_from_criteria() -> None:
    accepted = rules.parse(
        [
            "It reads well",
            {"run": ["make", "test"], "timeout": "5m"},
            {"file": "docs/./api.md"},
            {"deliverable": "schema"},
            {"review": "lead"},
        ]
    )

    assert accepted.criteria == ("It reads well",)
    assert accepted.checks == (
        RunCheck(run=("make", "test"), timeout_ms=300_000),
        FileCheck(file="docs/api.md"),
        DeliverableCheck(deliverable="schema"),
    )
    assert accepted.reviewer == "lead"


def test_command_line_is_split_into_arguments() -> None:
    check = rules.run_check_of("pytest -k 'a b'")

    assert check.run == ("pytest", "-k", "a b")
    assert (check.timeout_ms, str(check)) == (TIMEOUT_MS, "pytest -k 'a b'")


@pytest.mark.parametrize(
    "line",
    [
        "cd app && make test",
        "make lint; make test",
        "make test | tee log",
        "make test > log 2>&1",
        "make test || exit 1",
        "make test &",
        "CI=1 make test",
    ],
)
def test_command_line_for_a_shell_is_refused(line: str) -> None:
    with pytest.raises(errors.Invalid, match="no shell reads it"):
        rules.run_check_of(line)


@pytest.mark.parametrize(
    "line",
    [
        "sh -c 'cd app && make test > log'",
        'grep -q "a | b" notes.md',
        r"find . -name x.py -exec grep -q y {} \;",
        "curl -f http://localhost:8080/?a=1&b=2",
        "env CI=1 make test",
        "pytest -k a=b",
    ],
)
def test_quoted_operators_are_arguments(line: str) -> None:
    assert rules.run_check_of(line).run == tuple(shlex.split(line))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"run": []}, "cannot fail"),
        ({"run": [""]}, "cannot fail"),
        ({"run": ["sh", "-c", "true"]}, "cannot fail"),
        ({"run": "make test"}, "argument list"),
        ({"run": [1]}, "must be text"),
        ({"run": ["make"] * 101}, "at most 100"),
        ({"run": ["make", "x" * 9000]}, "longer than 8192 bytes"),
        ({"run": ["make", "a\0b"]}, "NUL"),
        ({"run": ["make"], "timeout": "0s"}, "between 1 ms"),
        ({"run": ["make"], "timeout": "7h"}, "must be 1 to"),
        ({"run": ["make"], "timeout": "soon"}, "not a duration"),
        ({"run": ["make"], "timeout": []}, "is a duration"),
        ({"run": ["make"], "shell": "yes"}, "unknown field"),
        ({"file": "/etc/passwd"}, "relative path"),
        ({"file": "../other"}, "relative path"),
        ({"file": "a/../../b"}, "relative path"),
        ({"file": "."}, "relative path"),
        ({"file": "docs/"}, "relative path"),
        ({"file": ""}, "is empty"),
        ({"file": "x" * 2000}, "longer than 1024"),
        ({"file": 3}, "must be text"),
        ({"deliverable": " "}, "is empty"),
        ({"review": "no such name!"}, "not a name"),
        ({"tests": "pass"}, "none of run, file"),
        (7, "neither text nor a rule"),
        ("  ", "is empty"),
    ],
)
def test_wrong_entry_of_accept_is_refused(entry: object, reason: str) -> None:
    with pytest.raises(errors.Invalid, match=reason):
        rules.parse([entry])


def test_number_of_checks_is_bounded() -> None:
    with pytest.raises(errors.Invalid, match="at most 20"):
        rules.parse([{"file": f"{n}.md"} for n in range(21)])


def test_two_reviewers_are_refused() -> None:
    with pytest.raises(errors.Invalid, match="two reviews"):
        rules.parse([{"review": "ada"}, {"review": "bob"}])


def test_stored_checks_are_read_again() -> None:
    checks = rules.parse([{"run": ["make"]}, {"file": "a"}]).checks

    stored = rules.stored(checks)

    assert stored == (
        '[{"run": ["make"], "timeout_ms": 600000}, {"file": "a"}]'
    )


def test_harmless_check_cannot_be_stored() -> None:
    with pytest.raises(errors.Invalid, match="cannot fail"):
        rules.stored([RunCheck(run=("true",))])
