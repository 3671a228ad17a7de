"""Whose discoveries the token of a worker reads: those of projects with items of its own."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from support import gateways
from support.gateways import Gateway, HttpClient
from taskorch.domain.role import Role
from taskorch.queue import keys
from taskorch.version import __version__

NAMESPACE = "read"
SCRIPTS = ("discoveries", "new_discoveries", "count_new_discoveries")
TEXT = "The price list is wrong"


@dataclass
class Work:
    """Projects with a discovery each: one with an item of eve, and one without."""

    own: str
    other: str
    #: Items of eve and of bob in the first project, of bob in the second.
    mine: str
    beside: str
    foreign: str


@pytest.fixture(scope="module")
def gateway(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateways.serving(valkey_url, NAMESPACE, folder) as running:
        yield running


@pytest.fixture(scope="module")
def work(gateway: Gateway) -> Work:
    shell = gateway.shell
    own, other = (
        shell.orchestrate("project", title).stdout.strip()
        for title in ("Own", "Other")
    )
    beside, foreign = (
        shell.orchestrate(
            "create", project, "It", "--assign", "bob"
        ).stdout.strip()
        for project in (own, other)
    )
    for item in (beside, foreign):
        found = shell.worker("--agent-id", "bob", "discover", item, TEXT)
        assert found.code == 0, found.stderr
    return Work(
        own=own,
        other=other,
        mine=assigned(gateway, own, "--assign", "eve"),
        beside=beside,
        foreign=foreign,
    )


def assigned(gateway: Gateway, project: str, *options: str) -> str:
    """Return a new item."""
    created = gateway.shell.orchestrate("create", project, "It", *options)
    assert created.code == 0, created.stderr
    return created.stdout.strip()


def ask(
    gateway: Gateway, token: str, script: str, target: str, name: str = "eve"
) -> str:
    """Return the reply of a script that reads the discoveries of a target."""
    role = "worker" if name.startswith("eve") else "orchestrator"
    words = {
        "discoveries": (target, "after", "0-0", "", "10"),
        "new_discoveries": (role, target, "10"),
        "count_new_discoveries": (role, target),
    }[script]
    caller = (os.urandom(8).hex(), name, "here", "1", "", __version__)
    call = {
        "script": script,
        "key": keys.meta(NAMESPACE),
        "arguments": [*caller, *words],
    }
    with closing(HttpClient(gateway, token)) as client:
        reply: Any = client.post("/call", call)[1]
    return json.dumps(reply.get("reply", reply))


def is_refused(reply: str, word: str) -> bool:
    return word in reply and TEXT not in reply


@pytest.mark.parametrize("script", SCRIPTS)
def test_worker_reads_no_project_of_others(
    gateway: Gateway, work: Work, script: str
) -> None:
    token = gateway.token("eve", Role.WORKER)
    confined = gateway.token("eve", Role.WORKER, "--project", work.own)

    assert is_refused(ask(gateway, token, script, work.foreign), "NOT_YOURS")
    assert is_refused(ask(gateway, confined, script, work.foreign), "NO_ITEM")


@pytest.mark.parametrize("script", SCRIPTS)
def test_confined_worker_without_items_reads_nothing(
    gateway: Gateway, work: Work, script: str
) -> None:
    token = gateway.token("eve", Role.WORKER, "--project", work.other)

    of_item = ask(gateway, token, script, work.foreign)
    own = ask(gateway, token, script, "own")

    assert is_refused(of_item, "NOT_YOURS")
    assert TEXT not in own
    assert script != "count_new_discoveries" or json.loads(own) == [0, ""]


@pytest.mark.parametrize("target", ["own", "mine", "beside"])
def test_worker_reads_projects_of_its_items(
    gateway: Gateway, work: Work, target: str
) -> None:
    asked = "own" if target == "own" else getattr(work, target)
    tokens = [
        gateway.token("eve", Role.WORKER, *options)
        for options in ((), ("--project", work.own))
    ]

    replies = [ask(gateway, each, "discoveries", asked) for each in tokens]

    assert all(TEXT in reply for reply in replies)


def test_worker_reads_by_pool_review_and_finished_item(
    gateway: Gateway, work: Work
) -> None:
    pooled = assigned(gateway, work.other, "--pool", "backend")
    reviewed = assigned(
        gateway, work.other, "--assign", "bob", "--review", "eve_4"
    )
    done = assigned(gateway, work.other, "--assign", "eve_3")
    worker = gateway.worker("eve_3")
    assert worker.worker("complete", done, "Done").code == 0
    finished = worker.variables["TASKORCH_TOKEN"]
    in_pool = gateway.token("eve_2", Role.WORKER, "--pool", "backend")
    reviewer = gateway.token("eve_4", Role.WORKER)

    def reads(token: str, item: str, name: str) -> bool:
        return TEXT in ask(gateway, token, "discoveries", item, name)

    assert reads(in_pool, pooled, "eve_2,backend")
    assert reads(finished, done, "eve_3")
    assert reads(reviewer, reviewed, "eve_4")


@pytest.mark.parametrize("role", [Role.ORCHESTRATOR, Role.VIEWER, Role.ADMIN])
def test_other_roles_read_all_projects(
    gateway: Gateway, work: Work, role: Role
) -> None:
    token = gateway.token("lead", role)

    assert TEXT in ask(gateway, token, "discoveries", work.foreign, "lead")


@pytest.mark.parametrize("script", SCRIPTS)
def test_worker_reads_no_project_of_item_taken_away(
    gateway: Gateway, work: Work, script: str
) -> None:
    item = assigned(gateway, work.other, "--pool", "spare")
    for step in (("pop", "--pool", "spare"), ("release", item)):
        done = gateway.shell.worker("--agent-id", "eve_5", *step)
        assert done.code == 0, done.stderr
    gateway.shell.orchestrate("assign", item, "bob")
    token = gateway.token("eve_5", Role.WORKER)

    reply = ask(gateway, token, script, item, "eve_5")

    assert is_refused(reply, "NOT_YOURS")
