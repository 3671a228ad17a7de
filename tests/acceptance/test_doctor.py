"""`orchestrate doctor` as people and scripts have it: a line for each check, one document, an exit code."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from support import servers
from support.builders import Bench
from support.commands import BIN, Ran, Shell
from taskorch.connect import connect
from taskorch.domain.item import Caller
from taskorch.queue.queue import Queue

LINE = re.compile(r"(ok|note|problem) +[a-z ]+: .+")


@pytest.fixture
def sick(bench: Bench) -> str:
    """An item that has lost its lease, on a server that appends nothing."""
    item = bench.claimed().item
    bench.lose_lease_entry(item)
    return item


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[tuple[Shell, Bench]]:
    """A shell whose Redis user has the keys of our namespaces and is no administrator, and its queue from behind."""
    with (
        servers.running(
            servers.binaries()["valkey"], tmp_path, "--appendonly", "yes"
        ) as url,
        redis.Redis.from_url(url, decode_responses=True) as raw,
    ):
        rights = ("on", ">secret", "~taskorch:*", "+@all", "-@admin", "-@dangerous")
        raw.execute_command("ACL", "SETUSER", "guest", *rights)
        bench = Bench(
            Queue(connect(url), "default", Caller(agent="planner")), raw, "default", url
        )
        yield (
            Shell(
                tmp_path,
                {"TASKORCH_REDIS_URL": f"{url}?username=guest&password=secret"},
            ),
            bench,
        )


def checks(ran: Ran) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in ran.json()["data"]["checks"]}


def test_the_bundled_server_of_a_new_root_has_no_problem(local: Shell) -> None:
    local.orchestrate("server", "start")

    ran = local.orchestrate("doctor")

    assert (ran.code, ran.stderr) == (0, "")
    assert [line for line in ran.stdout.splitlines() if not LINE.fullmatch(line)] == []
    assert "problem" not in ran.stdout
    assert len(ran.stdout.splitlines()) == 20


def test_a_problem_is_exit_5_and_its_line_has_the_command_that_mends_it(
    shell: Shell, sick: str
) -> None:
    ran = shell.orchestrate("doctor")

    assert (ran.code, ran.stderr) == (5, "")
    assert (
        f"problem  indexes: {sick} (in_progress, not in leases). Mend: orchestrate doctor --fix\n"
        in ran.stdout
    )
    assert (
        "Mend: redis-cli config set appendonly yes, then redis-cli config rewrite\n"
        in ran.stdout
    )


def test_a_repair_is_told_and_the_exit_code_is_for_what_remains(
    shell: Shell, bench: Bench, sick: str
) -> None:
    fixed = shell.orchestrate("doctor", "--fix")
    again = shell.orchestrate("doctor")

    assert fixed.code == again.code == 5
    assert (
        f"ok       indexes: repaired: {sick} (in_progress, not in leases)\n"
        in fixed.stdout
    )
    assert fixed.stdout.endswith("\nRepaired: 1\n")
    assert [
        line.split()[1]
        for line in again.stdout.splitlines()
        if line.startswith("problem")
    ] == ["persistence:"]
    assert bench.inconsistencies() == []


@pytest.mark.usefixtures("sick")
def test_without_fix_it_changes_nothing(shell: Shell, bench: Bench) -> None:
    before = bench.everything()

    shell.orchestrate("doctor")

    assert bench.everything() == before


def test_with_json_it_is_one_document_with_either_exit_code(
    shell: Shell, sick: str
) -> None:
    ran, fixed = (
        shell.orchestrate("doctor", "--json"),
        shell.orchestrate("doctor", "--fix", "--json"),
    )

    assert (ran.code, fixed.code, ran.stderr) == (5, 5, "")
    assert checks(ran)["indexes"] == {
        "name": "indexes",
        "status": "problem",
        "found": f"{sick} (in_progress, not in leases)",
        "mend": "orchestrate doctor --fix",
        "items": [sick],
    }
    assert (ran.json()["data"]["fixed"], fixed.json()["data"]["fixed"]) == (0, 1)
    assert checks(fixed)["indexes"]["status"] == "ok"


def test_colour_is_for_terminals(shell: Shell, sick: str) -> None:
    words = (BIN / "orchestrate", "doctor")

    code, screen = shell.on_terminal(*words, width=200)
    _, plain = shell.having(NO_COLOR="1").on_terminal(*words, width=200)

    assert code == 5
    assert "\x1b[31mproblem  \x1b[0m" in screen
    assert "\x1b[32mok       \x1b[0m" in screen
    assert (
        f"problem  indexes: {sick} (in_progress, not in leases). Mend: orchestrate doctor --fix\n"
        in plain
    )
    assert "\x1b" not in plain


def test_an_ordinary_user_of_redis_gets_a_diagnosis_and_a_repair(
    guest: tuple[Shell, Bench],
) -> None:
    shell, bench = guest
    item = bench.claimed().item
    bench.lose_lease_entry(item)

    ran = shell.orchestrate("doctor", "--fix", "--json")

    assert (ran.code, ran.json()["data"]["fixed"]) == (0, 1)
    assert checks(ran)["server"]["status"] == "note"
    assert checks(ran)["indexes"]["items"] == [item]


def test_a_redis_that_is_not_there_is_an_error_as_for_any_command(shell: Shell) -> None:
    ran = shell.orchestrate("doctor", "--redis-url", "unix:///nowhere.sock", "--json")

    assert (ran.code, ran.error()["code"]) == (4, "UNREACHABLE")
