"""`orchestrate agents`: what each session of an agent holds, from where and since when."""

import os
from pathlib import Path

import pytest
from support.builders import Bench
from support.commands import BIN, Shell
from taskorch.domain.item import HOUR_MS


def rows(shell: Shell) -> list[dict[str, str]]:
    """Return the rows of the table, column -> cell. Only times contain a space."""
    head, *lines = shell.orchestrate("agents").stdout.splitlines()
    starts = [
        head.index(name)
        for name in (
            "AGENT",
            "HOST",
            "PID",
            "SESSION",
            "LAST SEEN",
            "SILENT",
            "QUEUED",
        )
    ]
    starts += [head.index(name) for name in ("COMPLETED", "HOLDS", "SINCE")]
    cut = [
        slice(start, end)
        for start, end in zip(starts, [*starts[1:], None], strict=True)
    ]
    return [
        {head[part].strip(): line[part].strip() for part in cut}
        for line in lines
    ]


def test_sessions_of_an_agent_have_separate_rows(
    shell: Shell, bench: Bench
) -> None:
    first, second, third = (bench.item() for _ in range(3))
    monday, tuesday = (
        shell.having(AGENT_SESSION="monday"),
        shell.having(AGENT_SESSION="tuesday"),
    )
    monday.worker("get", first)
    monday.worker("get", second)
    tuesday.worker("get", third)

    found = rows(shell)

    assert [
        (row["AGENT"], row["SESSION"], set(row["HOLDS"].split()))
        for row in found
    ] == [
        ("ada", "tuesday", {third}),
        ("ada", "monday", {first, second}),
    ]
    assert {row["HOST"] for row in found} == {os.uname().nodename}
    assert {row["PID"] for row in found} == {str(os.getpid())}
    assert all(
        row["SINCE"].endswith("Z") and row["SILENT"].endswith("s")
        for row in found
    )
    assert [row["QUEUED"] for row in found] == ["0", ""]


@pytest.mark.parametrize("session", ["monday", ""])
def test_session_of_many_processes_has_one_row(
    shell: Shell, bench: Bench, session: str
) -> None:
    items = [bench.item() for _ in range(3)]
    here = shell.having(AGENT_SESSION=session)

    for item in items:
        here.run("sh", "-c", f"{BIN}/worker get {item}; :")

    (row,) = rows(shell)
    (agent,) = shell.orchestrate("agents", "--json").data()
    assert (row["SESSION"], row["HOLDS"].split(), row["PID"]) == (
        session or "-",
        items,
        str(agent["pid"]),
    )
    assert len({holding["holder"]["pid"] for holding in agent["holds"]}) == 3


def test_agent_with_many_items_shows_their_number(
    shell: Shell, bench: Bench
) -> None:
    items = {bench.claimed().item for _ in range(23)}

    first, rest = rows(shell)

    listed = first["HOLDS"].split()
    assert (len(listed), items.issuperset(listed), rest["HOLDS"]) == (
        20,
        True,
        "and 3 more",
    )
    assert shell.orchestrate("agents", "--json").data()[0]["more"] == 3


def test_session_without_items_has_row_beside_holder(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    shell.worker("get", item)
    shell.having(AGENT_SESSION="second").worker("check")

    found = rows(shell)

    assert [
        (row["SESSION"], row["HOLDS"], row["SINCE"] == "-") for row in found
    ] == [
        ("second", "-", True),
        ("-", item, False),
    ]


def test_silence_is_shown_in_largest_units(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    shell.worker("get", item)
    bench.shorten_lease(item, left_ms=HOUR_MS)
    bench.item(agent="never")

    silence = {
        row["AGENT"]: (row["SILENT"], row["LAST SEEN"]) for row in rows(shell)
    }

    assert silence["ada"][0] == "3h 0m"
    assert silence["never"] == ("-", "never")


def test_json_names_holder_of_each_item(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    shell.having(AGENT_SESSION="monday").worker("get", item)

    (agent,) = shell.orchestrate("agents", "--json").data()

    (holding,) = agent["holds"]
    assert (
        holding["item"],
        holding["state"],
        holding["holder"]["session"],
    ) == (
        item,
        "in_progress",
        "monday",
    )
    assert holding["holder"]["since"] <= holding["heard_at"]
    assert 0 <= holding["silent_ms"] < HOUR_MS


def test_whoami_prints_host_and_pid(shell: Shell) -> None:
    facts = (
        shell.having(AGENT_SESSION="monday").worker("whoami", "--json").data()
    )

    assert (facts["host"], facts["sources"]["host"]) == (
        os.uname().nodename,
        "this machine",
    )
    assert (facts["pid"], facts["sources"]["pid"]) == (
        os.getpid(),
        "the process that called",
    )
    assert (facts["session"], facts["sources"]["session"]) == (
        "monday",
        "AGENT_SESSION",
    )
    assert set(facts) - {"sources"} <= set(facts["sources"])
    assert Path(facts["root"]) == shell.folder
