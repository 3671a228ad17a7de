"""An entry is found by its command under any path, and completed without losing any."""

from pathlib import Path

import pytest
from taskorch_orchestrator.setup.config_entry import ConfigEntry, Json, merged

PRIME = ConfigEntry(
    labels=("hooks", None), value={"command": "worker prime --hook-json"}
)
SERVER = ConfigEntry(
    labels=("servers", "ours"),
    value={"command": "orchestrate", "args": ["mcp"]},
)


@pytest.mark.parametrize(
    "command",
    [
        "worker prime --hook-json",
        "/opt/bin/worker prime --hook-json",
        "'/my prefix/bin/worker' prime --hook-json",
        "worker --namespace team prime --hook-json",
        "sh -c 'worker prime --hook-json'",
        'cmd /c "worker prime --hook-json',
    ],
)
def test_hook_is_found_in_any_form(command: str) -> None:
    assert PRIME.is_in({"command": command})
    assert PRIME.is_in([{"hooks": [{"command": command}]}])


@pytest.mark.parametrize(
    "command",
    [
        "worker prime",
        "orchestrate prime --hook-json",
        "/home/worker/bin/orchestrate prime --hook-json",
        "'/home/a worker/bin/orchestrate' prime --hook-json",
        "",
    ],
)
def test_other_command_is_not_the_hook(command: str) -> None:
    assert not PRIME.is_in({"command": command})


def test_server_is_found_under_path_with_spaces() -> None:
    assert SERVER.is_in({"command": "/my prefix/orchestrate", "args": ["mcp"]})
    assert not SERVER.is_in({"command": "/my/orchestrate", "args": ["x"]})


@pytest.mark.parametrize("lost", ["orchestrate", "/nowhere/orchestrate"])
def test_lost_program_is_replaced_by_its_path(
    lost: str, tmp_path: Path
) -> None:
    found = str(tmp_path / "orchestrate")
    entry = ConfigEntry(
        labels=SERVER.labels, value={"command": found, "args": ["mcp"]}
    )

    completed = entry.completed({"command": lost, "args": ["mcp"], "env": {}})

    assert completed == {"command": found, "args": ["mcp"], "env": {}}


@pytest.mark.parametrize(
    "command",
    [
        "worker prime --hook-json",
        "/bin/sh prime --hook-json",
        "nice /nowhere/worker prime --hook-json",
        "~/bin/worker prime --hook-json",
    ],
)
def test_command_that_may_be_usable_stays(command: str) -> None:
    assert PRIME.completed({"command": command}) == {"command": command}


def test_existing_path_of_program_stays(tmp_path: Path) -> None:
    worker = tmp_path / "worker"
    worker.touch(mode=0o755)
    theirs: Json = {"command": f"'{worker}' prime --hook-json"}

    assert PRIME.completed(theirs) == theirs


def test_excluded_value_is_removed_from_entry() -> None:
    entry = ConfigEntry(
        labels=SERVER.labels, value=SERVER.value, without={"trust": True}
    )
    command: dict[str, Json] = {"command": "orchestrate", "args": ["mcp"]}

    assert entry.completed({**command, "trust": True}) == command
    assert entry.completed({**command, "trust": "x"}) == {
        **command,
        "trust": "x",
    }


def test_text_is_found_by_equality_alone() -> None:
    entry = ConfigEntry(labels=("allow", None), value="Bash(ls)")

    assert entry.is_in("Bash(ls)")
    assert not entry.is_in("Bash(ls:*)")
    assert entry.completed("Bash(ls)") == "Bash(ls)"


@pytest.mark.parametrize(
    ("ours", "theirs", "both"),
    [
        (1, 2, 2),
        ([1, 2], [3, 2], [3, 2, 1]),
        (
            {"a": 1, "b": {"c": [1]}},
            {"b": {"c": [2], "d": 3}},
            {"b": {"c": [2, 1], "d": 3}, "a": 1},
        ),
        ({"a": 1}, "x", "x"),
    ],
)
def test_merged_value_keeps_theirs_and_adds_ours(
    ours: object, theirs: object, both: object
) -> None:
    assert merged(ours, theirs) == both  # type: ignore[arg-type]


def test_command_in_a_list_is_kept() -> None:
    entry = ConfigEntry(
        labels=("mcp", "ours"),
        value={"command": ["orchestrate", "mcp"], "enabled": True},
    )
    theirs: Json = {"command": ["orchestrate", "--namespace=shop", "mcp"]}

    assert entry.is_in(theirs)
    assert entry.is_in({"command": ["/my prefix/orchestrate", "mcp"]})
    assert not entry.is_in({"command": ["orchestrate", "watch"]})
    assert entry.completed(theirs) == {
        "command": ["orchestrate", "--namespace=shop", "mcp"],
        "enabled": True,
    }
