"""Live updates of boards, over a real gateway: what arrives, for whom, and at what cost."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from support import gateways
from support.board_stream import following
from support.builders import Bench, opened, stream_readers
from support.commands import Shell, eventually
from support.gateways import Gateway
from taskorch.domain.role import Role
from taskorch.queue import keys
from taskorch_gateway.board.now import FRAGMENTS

MANY_EVENTS = 60
#: The streams that a gateway follows: events and signals.
STREAMS = 2


@pytest.fixture(scope="module")
def shell(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    variables = {
        "TASKORCH_REDIS_URL": valkey_url,
        "TASKORCH_NAMESPACE": f"live-{os.urandom(3).hex()}",
    }
    return Shell(tmp_path_factory.mktemp("live"), variables)


@pytest.fixture(scope="module")
def gateway(shell: Shell) -> Iterator[Gateway]:
    with gateways.running(shell) as running:
        yield running


@pytest.fixture
def bench(shell: Shell) -> Iterator[Bench]:
    """Return the queue of the gateway."""
    url = shell.variables["TASKORCH_REDIS_URL"]
    namespace = shell.variables["TASKORCH_NAMESPACE"]
    with opened(url, namespace) as bench:
        yield bench


def token_of(
    bench: Bench, role: Role = Role.ORCHESTRATOR, project: str = ""
) -> str:
    tokens = bench.queue.access_tokens()
    return tokens.create("ana", role, project=project).token


@contextmanager
def paused(gateway: Gateway) -> Iterator[None]:
    """Let a gateway do nothing within the block."""
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(gateway.pid, signal.SIGCONT)


def test_event_reaches_an_open_board(bench: Bench, gateway: Gateway) -> None:
    lease = bench.claimed()

    with following(gateway, token_of(bench)) as stream:
        stream.fragment("agents", lease.item)
        bench.agent().progress(lease, "Indexes on sessions")

        assert stream.fragment("agents", "Indexes on sessions")
        assert lease.item in stream.next("touched")["items"]


def test_current_fragments_are_not_sent(
    bench: Bench, gateway: Gateway
) -> None:
    token = token_of(bench)
    have = {}
    with following(gateway, token) as stream:
        for message in stream.messages():
            if message.kind == "fragment":
                have[message.data["name"]] = message.data["version"]
            if len(have) == len(FRAGMENTS):
                break
    shown = " ".join(":".join(pair) for pair in have.items())
    since = bench.queue.waits().newest_cursor()

    sent = set()
    with following(gateway, token, have=shown, since=since) as stream:
        item = bench.item(title="A new item")
        for message in stream.messages():
            if message.kind == "fragment":
                sent.add((message.data["name"], message.data["version"]))
            if message.kind == "touched" and item in message.data["items"]:
                break

    assert sent
    assert not sent & set(have.items())


def test_burst_is_sent_as_few_messages(bench: Bench, gateway: Gateway) -> None:
    lease = bench.claimed()

    with following(gateway, token_of(bench)) as stream:
        stream.fragment("agents", lease.item)
        with paused(gateway):  # all of them come within a moment
            for number in range(MANY_EVENTS):
                bench.agent().progress(lease, f"Step {number}.")
        sent = 0
        for message in stream.messages():
            sent += message.kind == "fragment"
            if f"Step {MANY_EVENTS - 1}." in str(message.data):
                break

    assert sent < MANY_EVENTS


def test_boards_share_one_reader_of_redis(
    bench: Bench, gateway: Gateway
) -> None:
    token = token_of(bench)
    with following(gateway, token) as stream:
        stream.next("fragment")
        eventually(lambda: stream_readers(bench.raw) == STREAMS)

        with ExitStack() as boards:
            for _ in range(5):
                board = boards.enter_context(following(gateway, token))
                board.next("fragment")

            assert bench.blocked_clients() <= STREAMS


def test_revoked_token_ends_the_board(bench: Bench, gateway: Gateway) -> None:
    created = bench.queue.access_tokens().create("ana", Role.VIEWER)

    with following(gateway, created.token) as stream:
        stream.next("fragment")
        bench.queue.access_tokens().revoke(created.id)

        assert stream.next("end") == {"why": "token"}
        assert not list(stream.messages())


def test_viewer_gets_no_form(bench: Bench, gateway: Gateway) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which month?")

    with following(gateway, token_of(bench, Role.VIEWER)) as stream:
        html = stream.fragment("needs-you", "Which month?")

    assert "<form" not in html


def test_shared_fragment_has_no_secret(bench: Bench, gateway: Gateway) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which year?")

    with following(gateway, token_of(bench)) as stream:
        html = stream.fragment("needs-you", "Which year?")

    assert 'name="csrf" value=""' in html
    assert 'name="key" value=""' in html


def test_confined_board_sees_its_project(
    bench: Bench, gateway: Gateway
) -> None:
    own, other = bench.project(), bench.project()
    token = token_of(bench, Role.VIEWER, own)

    with following(gateway, token) as stream:
        stream.next("fragment")
        hidden = bench.item(other)
        shown = bench.item(own)
        touched: set[str] = set()
        while shown not in touched:
            touched.update(stream.next("touched").get("items", ()))

    assert hidden not in touched


def test_budget_reaches_an_open_board(bench: Bench, gateway: Gateway) -> None:
    project = bench.project()

    with following(gateway, token_of(bench)) as stream:
        stream.fragment("projects", project)
        bench.queue.set_budget(project, period="total", limit_micros=7_770_000)

        assert stream.fragment("projects", "$0.00 of $7.77")
        bench.queue.set_budget(project, period="total")

        assert "$7.77" not in stream.fragment("projects", project)


def test_board_is_current_after_lost_signals(
    bench: Bench, gateway: Gateway
) -> None:
    project = bench.project()
    # no lease and no delay of another project lets the board read again
    token = token_of(bench, project=project)
    since = bench.queue.waits().newest_cursor()

    with following(gateway, token, since=since) as stream:
        stream.fragment("projects", project)
        bench.queue.set_budget(project, period="total", limit_micros=1_000_000)
        while stream.next("touched") != {"all": True}:
            continue
        with paused(gateway):
            bench.queue.set_budget(
                project, period="total", limit_micros=8_880_000
            )
            bench.raw.delete(keys.signals(bench.namespace))

        assert stream.fragment("projects", "$0.00 of $8.88")


def test_budget_refreshes_other_pages(bench: Bench, gateway: Gateway) -> None:
    project = bench.project()
    token, since = token_of(bench), bench.queue.waits().newest_cursor()

    with following(gateway, token, fragments="", since=since) as stream:
        stream.next("state")
        bench.queue.set_budget(project, period="day", limit_tokens=5)

        while stream.next("touched") != {"all": True}:
            continue


def test_pools_of_an_agent_reach_an_open_board(
    bench: Bench, gateway: Gateway
) -> None:
    bench.pool_item("night")

    with following(gateway, token_of(bench)) as stream:
        assert "heidi" not in stream.fragment("pools", "night")
        bench.agent("heidi", pools=["night"]).check()

        assert "heidi" in stream.fragment("pools", "heidi")


def test_expired_lease_is_shown_without_event(
    bench: Bench, gateway: Gateway
) -> None:
    lease = bench.claimed(bench.item(agent="grace"), agent="grace")
    bench.shorten_lease(lease.item, left_ms=4000)

    with following(gateway, token_of(bench)) as stream:
        shown = stream.fragment("agents", lease.item)
        # the first version has it on a machine that is slow for four seconds
        while "in progress, silent" not in shown:
            shown = stream.fragment("agents", lease.item)


def test_unknown_fragments_are_refused(bench: Bench, gateway: Gateway) -> None:
    with (
        pytest.raises(AssertionError, match="There are no fragments other"),
        following(gateway, token_of(bench), fragments="other"),
    ):
        pass
