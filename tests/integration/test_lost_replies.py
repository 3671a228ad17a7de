"""Replies that a network loses: a proxy forwards a call and drops its reply."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from time import monotonic

import hiredis
import pytest
from support import servers
from support.backups import export_lines, exported_work, fill_namespace
from support.builders import Bench
from support.calls import CALLS, NOT_KEPT, REFUSED
from support.proxy import ALWAYS, Proxy, proxied
from support.workflow import workflow
from taskorch.connections import connect
from taskorch.domain import errors
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch_orchestrator.backup.restore import restore

pytestmark = pytest.mark.parametrize("lane", servers.binaries(), indirect=True)


@dataclass
class OneRequest(ConnectionWrapper):
    """A connection whose calls all have one request id; it records the scripts' names."""

    connection: Connection
    request: str
    names: list[str]

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        self.names.append(script.name)
        return self.connection.run_script(
            script, key, (self.request, *arguments[1:])
        )


@dataclass(frozen=True)
class Losses:
    """A bench behind a proxy, and the namespace at each moment that a reply was lost."""

    proxy: Proxy
    lossy: Bench
    snapshots: list[dict[str, object]]


@pytest.fixture
def losses(bench: Bench) -> Iterator[Losses]:
    with proxied(bench.url) as proxy:
        snapshots: list[dict[str, object]] = []
        connection = connect(proxy.url)
        proxy.on_lost_reply = lambda: snapshots.append(bench.everything())
        yield Losses(
            proxy, bench.with_connection(lambda _: connection), snapshots
        )
        connection.close()


@pytest.mark.parametrize("name", CALLS)
def test_call_with_lost_reply_acts_once(
    bench: Bench, losses: Losses, name: str
) -> None:
    call = CALLS[name](bench)
    losses.proxy.replies_lost = 1

    call(losses.lossy)

    assert len(losses.proxy.lost) == 1
    assert name in NOT_KEPT or losses.proxy.passed == losses.proxy.lost
    assert losses.snapshots == [bench.everything()]
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("name", CALLS)
def test_call_with_all_replies_lost_is_answered_later(
    bench: Bench, losses: Losses, name: str
) -> None:
    call = CALLS[name](bench)
    repeating = losses.lossy.with_connection(
        lambda connection: OneRequest(connection, "00112233445566aa", [])
    )
    losses.proxy.replies_lost = ALWAYS

    with pytest.raises(errors.Unreachable):
        call(repeating)
    losses.proxy.replies_lost = 0
    call(repeating)

    assert len(losses.proxy.lost) > 1
    assert name in NOT_KEPT or losses.proxy.passed == [losses.proxy.lost[0]]
    assert losses.snapshots == [bench.everything()] * len(losses.snapshots)
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("name", CALLS)
def test_call_with_lost_request_is_repeated(
    bench: Bench, losses: Losses, name: str
) -> None:
    call = CALLS[name](bench)
    losses.proxy.requests_lost = 1

    call(losses.lossy)

    assert (losses.proxy.lost, len(losses.proxy.passed)) == ([], 1)
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("name", CALLS)
def test_late_copy_of_a_call_never_acts(
    bench: Bench, losses: Losses, name: str
) -> None:
    call = CALLS[name](bench)
    losses.proxy.requests_lost = 1
    call(losses.lossy)
    bench.item(agent="ada")
    bench.item(agent="bob")
    before = bench.everything()

    replies = losses.proxy.deliver_late()

    assert len(replies) == 1
    assert not isinstance(replies[0], hiredis.ReplyError)
    assert bench.everything() == before


@pytest.mark.parametrize("name", REFUSED)
def test_late_copy_of_a_refused_call_is_refused(
    bench: Bench, losses: Losses, name: str
) -> None:
    call, allow = REFUSED[name](bench)
    losses.proxy.requests_lost = 1
    with pytest.raises(errors.TaskOrchestratorError) as refusal:
        call(losses.lossy)
    allow()
    before = bench.everything()

    (reply,) = losses.proxy.deliver_late()

    assert str(reply).startswith(refusal.value.word)
    assert bench.everything() == before
    assert bench.inconsistencies() == []


def test_first_refusal_keeps_nothing(bench: Bench, losses: Losses) -> None:
    call, _ = REFUSED["cancel"](bench)
    before = len(bench.kept_replies())

    with pytest.raises(errors.WrongState):
        call(losses.lossy)

    assert len(bench.kept_replies()) == before


def test_calls_have_every_script_that_writes(bench: Bench) -> None:
    scripts = [
        file
        for file in files("taskorch.queue").joinpath("scripts").iterdir()
        if file.is_file()
    ]
    changing = {
        file.name.removesuffix(".lua")
        for file in scripts
        if re.search(r"\bonce\(", file.read_text())
    }
    called: list[str] = []

    for number, prepare in enumerate(CALLS.values()):
        call = prepare(bench)
        request = f"{number:016x}"
        call(
            bench.with_connection(
                partial(OneRequest, request=request, names=called)
            )
        )

    # An import needs an empty namespace: the next test has it.
    # `complete` resumes only what it has left: the workflow does.
    assert changing - set(called) == {"restore", "resume"}
    assert len(changing) > 15


def test_import_with_lost_replies_writes_everything_once(
    bench: Bench, copy: Bench, tmp_path: Path
) -> None:
    fill_namespace(bench)
    export_lines(bench, tmp_path / "export")

    with proxied(bench.url) as proxy:
        connection = connect(proxy.url)
        proxy.replies_lost = 1
        restore(
            tmp_path / "export",
            copy.with_connection(lambda _: connection).queue.backup,
        )
        connection.close()

    assert len(proxy.lost) > 2
    assert exported_work(copy) == exported_work(bench)
    assert copy.inconsistencies() == []


@pytest.mark.parametrize("lost", ["replies_lost", "requests_lost"])
def test_workflow_survives_losing_everything_once(
    bench: Bench, losses: Losses, lost: str
) -> None:
    steps = list(workflow(bench))
    without_losses = [event["verb"] for event in bench.events()]
    setattr(losses.proxy, lost, 1)

    again = list(workflow(losses.lossy))

    assert again == steps
    assert len(losses.proxy.passed) == len(steps)
    assert [event["verb"] for event in bench.events()] == without_losses * 2
    assert bench.inconsistencies() == []


def test_slow_network_delays_a_call(losses: Losses) -> None:
    losses.proxy.delay_up_s = losses.proxy.delay_down_s = 0.05
    begun = monotonic()

    project = losses.lossy.queue.project("x")

    assert monotonic() - begun >= 0.1
    assert [view.id for view in losses.lossy.queue.views.projects()] == [
        project
    ]


def test_refused_connection_is_reported_as_unreachable(losses: Losses) -> None:
    losses.proxy.refusing = True

    with pytest.raises(errors.Unreachable):
        losses.lossy.queue.project("x")
