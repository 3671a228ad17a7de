"""Each method runs one script, with all keys in the slot of the namespace."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from support import servers
from support.builders import Bench
from support.workflow import workflow
from taskorch.queue import keys

pytestmark = pytest.mark.parametrize(
    "lane", list(servers.binaries()), indirect=True, scope="session"
)

#: Commands without a key.
WITHOUT_KEYS = {"ECHO", "TIME", "HELLO", "CLIENT", "SCAN", "INFO"}


@dataclass(frozen=True)
class Step:
    """A method of the queue, and the commands that the server ran for it."""

    method: str
    commands: list[list[str]]
    #: The commands outside of a script.
    sent: list[str]


def watched(bench: Bench) -> Iterator[Step]:
    """Run the workflow again under MONITOR, now that the server has the functions."""
    list(workflow(bench))
    with cast(Any, bench.raw).monitor() as monitor:
        for method in workflow(bench):
            bench.raw.echo(f"end-of-{method}")
            commands, sent = [], []
            while (seen := monitor.next_command())[
                "command"
            ] != f"ECHO end-of-{method}":
                words = seen["command"].split(" ")
                commands.append(words)
                if seen["client_type"] != "lua":
                    sent.append(words[0].upper())
            yield Step(method, commands, sent)


def keys_of(bench: Bench, command: list[str]) -> list[str]:
    """Return the keys of a command according to the server."""
    return cast(list[str], cast(Any, bench.raw).command_getkeys(*command))


def test_every_key_is_in_the_namespace_slot(bench: Bench) -> None:
    commands = [
        command for step in watched(bench) for command in step.commands
    ]

    touched = {
        key
        for command in commands
        if command[0].upper() not in WITHOUT_KEYS
        for key in keys_of(bench, command)
    }

    assert [
        key for key in touched if not key.startswith(keys.tag(bench.namespace))
    ] == []
    assert len(touched) > 30
    assert {command[0].upper() for command in commands} >= {
        "FCALL",
        "HSET",
        "ZADD",
        "XADD",
        "SADD",
        "LLEN",
    }


def test_every_method_calls_one_function(bench: Bench) -> None:
    bench_itself = {
        "ZADD",
        "HSET",
        "EXISTS",
        "TYPE",
        "ZREM",
        "HINCRBY",
        *WITHOUT_KEYS,
    }

    sent = [
        (step.method, [name for name in step.sent if name not in bench_itself])
        for step in watched(bench)
    ]

    assert [
        (method, names) for method, names in sent if names != ["FCALL"]
    ] == []
    assert len({method for method, _ in sent}) > 25
