"""A rerun command repeats the request that Redis did not answer."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from support.builders import Bench, need_lease
from taskorch.cli import app
from taskorch.config import unanswered
from taskorch.config.settings import Settings, resolve
from taskorch.connections import unanswered_requests
from taskorch.domain import errors
from taskorch.domain.item import Lease
from taskorch.queue import scripts
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch.queue.requests import Requests
from taskorch.queue.scripts import load

SCRIPTS = Path(scripts.__file__).with_name("scripts")


@dataclass
class Silent(ConnectionWrapper):
    """A connection that loses every reply, or those of one script.

    `before_loss` runs before the loss is noticed.
    """

    connection: Connection
    before_loss: Callable[[], object] = lambda: None
    only: str = ""

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        reply = self.connection.run_script(script, key, arguments)
        if self.only not in ("", script.name):
            return reply
        self.before_loss()
        raise errors.Unreachable(url="redis://away", reason="gone")


@pytest.fixture
def settings(folder: Path) -> Settings:
    return resolve({}, {}, folder)


def pop(
    bench: Bench,
    settings: Settings,
    wrap: Callable[[Connection], Connection] = lambda plain: plain,
    typed: str = "worker pop []",
) -> AgentQueue:
    """Return the queue of one run of `worker pop`."""
    plain = bench.agent()._scripts
    return AgentQueue(
        wrap(plain.connection),
        bench.namespace,
        plain.caller,
        requests=Requests(store=unanswered_requests(settings, typed)),
    )


def lose(run: AgentQueue) -> None:
    with pytest.raises(errors.Unreachable):
        run.claim()


def test_simultaneous_commands_repeat_different_requests(
    bench: Bench, settings: Settings
) -> None:
    items = [bench.item() for _ in range(4)]
    second = pop(bench, settings, Silent)
    first = pop(
        bench,
        settings,
        lambda plain: Silent(plain, before_loss=lambda: lose(second)),
    )

    lose(first)
    popped = [need_lease(pop(bench, settings).claim()) for _ in range(3)]

    assert sorted(lease.item for lease in popped[:2]) == sorted(items[:2])
    assert popped[2].item == items[2]
    assert [bench.queue.views.show(item).item.attempts for item in items] == [
        1,
        1,
        1,
        0,
    ]


def test_only_first_call_repeats_a_request(
    bench: Bench, settings: Settings
) -> None:
    items = [bench.item() for _ in range(2)]
    lose(pop(bench, settings, Silent))
    run = pop(bench, settings)

    popped = [need_lease(run.claim()).item for _ in range(2)]

    assert popped == items


def test_second_script_of_a_run_keeps_no_request(
    bench: Bench, settings: Settings
) -> None:
    lease = bench.claimed()
    run = pop(bench, settings, lambda plain: Silent(plain, only="progress"))
    run.note(lease.item, "memo")

    with pytest.raises(errors.Unreachable):
        run.progress(lease, "half")

    assert not (settings.folder / "run").exists()


def test_repeated_pop_of_lost_item_claims_the_next(
    bench: Bench, settings: Settings
) -> None:
    first, second = bench.item(), bench.item()
    lose(pop(bench, settings, Silent))
    bench.queue.assign(first, "bob", force=True)

    assert need_lease(pop(bench, settings).claim()).item == second
    assert pop(bench, settings).claim() is None


def test_repeated_get_of_lost_item_has_no_lease(
    bench: Bench, settings: Settings
) -> None:
    item = Lease(item=bench.item())
    with pytest.raises(errors.Unreachable):
        pop(bench, settings, Silent).get(item)
    bench.agent(session="second").get(item, takeover=True)

    again = pop(bench, settings).get(item)

    assert (again.lease, again.package.item.token) == (None, 2)


def test_command_with_unread_file_keeps_no_request(
    bench: Bench, settings: Settings
) -> None:
    (settings.root / "plan").write_text(
        "what it holds may be another thing next time", encoding="utf-8"
    )

    plan = click.Argument(["plan"], type=click.File())
    apply = click.Command(
        "apply", params=[plan], callback=lambda **_: app.command_line()
    )

    command_line = apply.main(["plan"], standalone_mode=False)

    lose(pop(bench, settings, Silent, command_line))
    assert not (settings.folder / "run").exists()


def test_request_is_forgotten_before_its_reply_in_redis() -> None:
    kept_ms = re.search(r"REPLY_KEPT_MS = ([0-9]+)", load("claim").text)

    assert kept_ms is not None
    assert int(kept_ms[1]) - unanswered.KEPT_S * 1000 >= 60_000


@pytest.mark.parametrize(
    "file", sorted(SCRIPTS.glob("*.lua")), ids=lambda f: f.stem
)
def test_each_script_answers_repeats_or_only_reads(file: Path) -> None:
    answers_repeats = "return once(" in file.read_text(encoding="utf-8")

    assert load(file.stem).acts == answers_repeats
