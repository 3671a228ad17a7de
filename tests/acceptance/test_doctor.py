"""The output and exit code of `orchestrate doctor`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from support import servers
from support.builders import Bench
from support.commands import BIN, CommandResult, Shell
from taskorch.connections import connect
from taskorch.domain.item import Caller
from taskorch.queue.queue import Queue

LINE = re.compile(r"(ok|note|problem) +[a-z ]+: .+")


@pytest.fixture
def sick(bench: Bench) -> str:
    """An item without its lease, on a server without an append-only file."""
    item = bench.claimed().item
    bench.delete_lease_entry(item)
    return item


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[tuple[Shell, Bench]]:
    """A shell whose Redis user is no administrator, and a bench on the same queue."""
    with (
        servers.running(
            servers.binaries()["valkey"], tmp_path, "--appendonly", "yes"
        ) as url,
        redis.Redis.from_url(url, decode_responses=True) as raw,
    ):
        rights = (
            "on",
            ">secret",
            "~taskorch:*",
            "+@all",
            "-@admin",
            "-@dangerous",
        )
        raw.execute_command("ACL", "SETUSER", "guest", *rights)
        bench = Bench(
            Queue(connect(url), "default", Caller(agent="planner")),
            raw,
            "default",
            url,
        )
        yield (
            Shell(
                tmp_path,
                {
                    "TASKORCH_REDIS_URL": f"{url}?username=guest&password=secret"
                },
            ),
            bench,
        )


def checks(ran: CommandResult) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in ran.json()["data"]["checks"]}


def test_new_bundled_server_has_no_problem(local: Shell) -> None:
    local.orchestrate("server", "start")

    ran = local.orchestrate("doctor")

    assert (ran.code, ran.stderr) == (0, "")
    assert [
        line for line in ran.stdout.splitlines() if not LINE.fullmatch(line)
    ] == []
    assert "problem" not in ran.stdout
    assert len(ran.stdout.splitlines()) == 29


def test_problem_exits_5_and_names_its_fix(shell: Shell, sick: str) -> None:
    url = shell.variables["TASKORCH_REDIS_URL"]
    redis_cli = f"redis-cli -s {url.removeprefix('unix://')}"

    ran = shell.orchestrate("doctor")

    assert (ran.code, ran.stderr) == (5, "")
    assert (
        f"problem  indexes: {sick} (in_progress, not in leases). Fix: orchestrate doctor --fix\n"
        in ran.stdout
    )
    assert (
        f"Fix: {redis_cli} config set appendonly yes, then {redis_cli} config rewrite\n"
        in ran.stdout
    )


def test_fix_reports_repairs_and_remaining_problems(
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
def test_doctor_without_fix_changes_nothing(
    shell: Shell, bench: Bench
) -> None:
    before = bench.everything()

    shell.orchestrate("doctor")

    assert bench.everything() == before


def test_json_output_is_one_document(shell: Shell, sick: str) -> None:
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
    assert (ran.json()["data"]["fixed"], fixed.json()["data"]["fixed"]) == (
        0,
        1,
    )
    assert checks(fixed)["indexes"]["status"] == "ok"


def test_doctor_colours_only_terminals(shell: Shell, sick: str) -> None:
    words = (BIN / "orchestrate", "doctor")

    code, screen = shell.on_terminal(*words, width=200)
    _, plain = shell.having(NO_COLOR="1").on_terminal(*words, width=200)

    assert code == 5
    assert "\x1b[31mproblem  \x1b[0m" in screen
    assert "\x1b[32mok       \x1b[0m" in screen
    assert (
        f"problem  indexes: {sick} (in_progress, not in leases). Fix: orchestrate doctor --fix\n"
        in plain
    )
    assert "\x1b" not in plain


def test_ordinary_redis_user_can_diagnose_and_repair(
    guest: tuple[Shell, Bench],
) -> None:
    shell, bench = guest
    item = bench.claimed().item
    bench.delete_lease_entry(item)

    ran = shell.orchestrate("doctor", "--fix", "--json")

    assert (ran.code, ran.json()["data"]["fixed"]) == (0, 1)
    assert checks(ran)["server"]["status"] == "note"
    assert checks(ran)["indexes"]["items"] == [item]


def test_unreachable_redis_exits_4(shell: Shell) -> None:
    ran = shell.orchestrate(
        "doctor", "--redis-url", "unix:///nowhere.sock", "--json"
    )

    assert (ran.code, ran.error()["code"]) == (4, "UNREACHABLE")
