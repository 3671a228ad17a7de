"""Notifiers on a real server, and a target on loopback that behaves well or badly."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest
from support import http_target
from support.builders import Bench
from support.commands import eventually
from support.http_target import Target
from taskorch.config import notify_target
from taskorch.config.notify_target import NotifyTarget
from taskorch.domain.item import State
from taskorch_orchestrator.notify.notifier import Notifier, Pace

FAST = Pace(
    tick_s=0.02,
    between_s=0.05,
    retries_s=(0.02, 0.02),
    look_s=0.05,
    timeout_s=30.0,
)
IMPATIENT = Pace(
    tick_s=0.02, between_s=0.05, retries_s=(0.02, 0.02), timeout_s=2.0
)

pytestmark = pytest.mark.one_lane


@pytest.fixture
def target() -> Iterator[Target]:
    with http_target.running() as running:
        yield running


def settings_of(target: Target, **table: object) -> NotifyTarget:
    tables = [{"url": target.url, "allow_private": True, **table}]
    (found,) = notify_target.targets(tables, "config.toml")
    return found


@contextmanager
def notifying(*notifiers: Notifier) -> Iterator[None]:
    """Run notifiers as the service does, until the end of the block."""
    stopped: list[bool] = []

    def run(notifier: Notifier) -> None:
        while not stopped:
            notifier.make_pass()
            notifier.wait()

    for notifier in notifiers:
        notifier.make_pass()
    threads = [Thread(target=run, args=(each,)) for each in notifiers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.append(True)
        for thread in threads:
            thread.join()


def notifier_of(
    bench: Bench, to: NotifyTarget, *, name: str = "here:1", pace: Pace = FAST
) -> Notifier:
    return Notifier(bench.queue, to, name, pace)


def rows_of(target: Target) -> list[tuple[str, str, str, str]]:
    """Return event, item, agent and detail of all notifications."""
    return [
        (each["event"], each["item"], each["agent"], each["detail"])
        for request in target.requests
        for each in request.document["notifications"]
    ]


def record(bench: Bench, to: NotifyTarget) -> tuple[int, int, str]:
    (found,) = bench.queue.notifications().records([to.id])
    return found.sent, found.lost, found.failure


def test_question_arrives_without_its_text(
    bench: Bench, target: Target
) -> None:
    to = settings_of(target, board_url="https://board.example")

    with notifying(notifier_of(bench, to)):
        item = bench.lease_in(State.BLOCKED).item
        eventually(lambda: bool(target.requests))

    (request,) = target.requests
    assert request.items == [item]
    assert b"Which one?" not in request.body
    assert b"An item" not in request.body
    (row,) = request.document["notifications"]
    assert row["url"] == f"https://board.example/items/{item}"


def test_texts_arrive_if_the_target_wants_them(
    bench: Bench, target: Target
) -> None:
    to = settings_of(target, include_text=True)

    with notifying(notifier_of(bench, to)):
        bench.lease_in(State.BLOCKED)
        eventually(lambda: bool(target.requests))

    (row,) = target.requests[0].document["notifications"]
    assert (row["title"], row["text"]) == ("An item", "Which one?")


def test_busy_target_gets_the_message_later(
    bench: Bench, target: Target
) -> None:
    to = settings_of(target)
    target.answer = busy_at_first

    with notifying(notifier_of(bench, to)):
        item = bench.lease_in(State.BLOCKED).item
        eventually(lambda: record(bench, to)[0] == 1)

    ids = {request.document["id"] for request in target.requests}
    keys = {request.headers["idempotency-key"] for request in target.requests}
    assert [request.items for request in target.requests] == [[item]] * 2
    assert len(ids) == 1
    assert keys == ids


def busy_at_first(target: Target, client: socket.socket) -> None:
    """Refuse the first request, and no other one."""
    number = 503 if len(target.requests) == 1 else 200
    http_target.status(number)(target, client)


def test_message_is_given_up_after_three_attempts(
    bench: Bench, target: Target
) -> None:
    to = settings_of(target)
    target.answer = http_target.status(500)

    with notifying(notifier_of(bench, to)):
        bench.lease_in(State.BLOCKED)
        eventually(lambda: record(bench, to)[1] == 1)

    sent, lost, failure = record(bench, to)
    assert (len(target.requests), sent, lost) == (3, 0, 1)
    assert "HTTP status 500" in failure


@pytest.mark.parametrize("answer", ["hangs", "drips"])
def test_message_that_may_have_arrived_is_not_repeated(
    bench: Bench, target: Target, answer: str
) -> None:
    to = settings_of(target)
    target.answer = getattr(http_target, answer)

    with notifying(notifier_of(bench, to, pace=IMPATIENT)):
        bench.lease_in(State.BLOCKED)
        eventually(lambda: record(bench, to)[1] == 1)
    target.answer = http_target.status(200)
    with notifying(notifier_of(bench, to)):
        second = bench.lease_in(State.FAILED).item
        eventually(lambda: record(bench, to)[0] == 1)

    assert len(target.requests) == 2
    assert target.requests[1].items == [second]


def test_two_services_send_each_notification_once(
    bench: Bench, target: Target
) -> None:
    to = settings_of(target)
    services = [
        notifier_of(bench, to, name=f"here:{number}") for number in range(4)
    ]

    with notifying(*services):
        items = [bench.lease_in(State.BLOCKED).item for _ in range(12)]
        told: list[str] = []

        def all_are_told() -> bool:
            told[:] = [
                item for request in target.requests for item in request.items
            ]
            return len(told) >= len(items)

        eventually(all_are_told)

    assert sorted(told) == sorted(items)


def test_burst_arrives_as_few_messages(bench: Bench, target: Target) -> None:
    to = settings_of(target)
    notifier = notifier_of(bench, to)
    notifier.make_pass()
    items = [bench.lease_in(State.BLOCKED).item for _ in range(15)]

    notifier.make_pass()

    (request,) = target.requests
    assert request.items == items
    assert "15 notifications" in request.document["text"]


def test_notifier_finds_items_that_wait_for_dead_ones(
    bench: Bench, target: Target
) -> None:
    to = settings_of(target, events=["stuck"])
    dead = bench.lease_in(State.FAILED).item
    waiting = bench.item(depends_on=(dead,))

    with notifying(notifier_of(bench, to)):
        eventually(lambda: bool(target.requests))

    assert [request.items for request in target.requests] == [[waiting]]
    (row,) = target.requests[0].document["notifications"]
    assert (row["event"], row["detail"]) == ("stuck", "dead_dependency")


def test_review_and_used_up_budget_are_told_once(
    bench: Bench, target: Target
) -> None:
    to = settings_of(target, events=["review", "budget", "stuck"])

    with notifying(notifier_of(bench, to)):
        lease = bench.claimed(bench.item(reviewer="lead"))
        bench.agent().complete(lease, "done")
        bench.queue.set_budget("ada", period="day", limit_tokens=0)
        eventually(lambda: len(rows_of(target)) == 2)
        bench.queue.set_budget("ada", period="day", limit_tokens=0)
        bench.queue.set_budget("namespace", period="total", limit_tokens=0)
        eventually(lambda: len(rows_of(target)) == 3)

    assert sorted(rows_of(target)) == [
        ("budget", "", "", "namespace, total"),
        ("budget", "", "ada", "ada, day"),
        ("review", lease.item, "ada", "review"),
    ]


def test_logs_have_no_address_and_no_secret(
    bench: Bench,
    target: Target,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "k3y")
    to = settings_of(target, secret_env="HOOK_SECRET")
    target.answer = http_target.status(302, f"Location: {target.url}")
    caplog.set_level("INFO")

    with notifying(notifier_of(bench, to)):
        bench.lease_in(State.BLOCKED)
        eventually(lambda: record(bench, to)[1] == 1)

    assert "notify 127.0.0.1: gave up" in caplog.text
    assert "redirect" in caplog.text
    for secret in ("s3cret", "k3y"):
        assert secret not in caplog.text
        assert secret not in record(bench, to)[2]
    assert "x-taskorch-signature" in target.requests[0].headers
