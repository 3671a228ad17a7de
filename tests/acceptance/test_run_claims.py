"""What a command of `worker run` claims besides the item of its run."""

import json

import pytest
from support import tool_client
from support.builders import Bench
from support.commands import BIN, Shell, eventually
from support.runs import ONCE, running, sh
from support.tool_client import run_async
from taskorch.domain.item import State

IN_PATH = f"export PATH={BIN}:$PATH"
#: Programs may remove variables that they do not know.
WITHOUT_TOKEN = "unset TASKORCH_LEASE"


@pytest.mark.parametrize("before", ["true", WITHOUT_TOKEN])
def test_pop_in_a_run_is_refused(
    shell: Shell, bench: Bench, before: str
) -> None:
    item, other = bench.item(), bench.item()

    ran = shell.worker(
        *ONCE, *sh(f"{IN_PATH}; {before}; worker pop 2> said; echo $?")
    )

    said = (shell.folder / "said").read_text()
    assert bench.queue.views.show(item).item.summary == "5"
    assert f"This command works on {item}, for worker run" in said
    assert f"worker complete {item} SUMMARY" in said
    assert (ran.code, bench.state(other)) == (0, State.QUEUED)


def test_pop_after_completing_in_a_run_is_refused(
    shell: Shell, bench: Bench
) -> None:
    item, other = bench.item(), bench.item()
    script = f"worker complete {item} mine && worker pop --json > said; echo $? > code"

    shell.worker(*ONCE, *sh(f"{IN_PATH}; {script}"))

    error = json.loads((shell.folder / "said").read_text())["error"]
    assert (shell.folder / "code").read_text() == "5\n"
    assert (error["code"], error["details"]) == ("RUN_HOLDS", {"item": item})
    assert (bench.state(item), bench.state(other)) == (
        State.COMPLETED,
        State.QUEUED,
    )


@pytest.mark.parametrize("verb", ["complete", "ack", "fail"])
def test_settling_for_the_next_item_is_refused(
    shell: Shell, bench: Bench, verb: str
) -> None:
    item, other = bench.item(), bench.item()

    shell.worker(
        *ONCE, *sh(f"{IN_PATH}; worker {verb} {item} mine --next; echo $?")
    )

    assert bench.queue.views.show(item).item.summary == "5"
    assert bench.state(other) is State.QUEUED


def test_pop_tool_in_a_run_is_refused(shell: Shell, bench: Bench) -> None:
    item, other = bench.item(), bench.item()
    within = shell.having(TASKORCH_ITEM_ID=item, TASKORCH_LEASE="1:abc")

    async def test() -> None:
        async with tool_client.worker(within) as ada:
            error = await ada.error("pop")
            assert error["code"] == "RUN_HOLDS"
            error = await ada.error(
                "complete", item=item, next=True, summary="x"
            )
            assert error["code"] == "RUN_HOLDS"

    run_async(test)
    assert bench.state(other) is State.QUEUED


@pytest.mark.parametrize(
    "claims",
    [
        "worker get $OTHER",
        f"{WITHOUT_TOKEN}; worker get $OTHER",
        "worker progress $OTHER begun",
        "AGENT_SESSION=mine worker get $OTHER",
    ],
)
@pytest.mark.parametrize("ending", ["echo done", "exit 1", "exit 75"])
def test_claims_of_a_command_end_with_it(
    shell: Shell, bench: Bench, claims: str, ending: str
) -> None:
    item, other = bench.item(), bench.item()

    ran = shell.worker(
        *ONCE,
        *sh(f"{IN_PATH} OTHER={other}; {claims} > shown; {ending}"),
    )

    view = bench.queue.views.show(other)
    assert other in (shell.folder / "shown").read_text()
    assert (view.item.state, view.item.attempts) == (State.QUEUED, 0)
    assert view.history[-1].text == (
        f"the command of {item}, which claimed this item, has ended"
    )
    assert (
        f"{item}: its command also claimed {other}, which is released."
        in ran.stderr
    )
    assert list(shell.folder.rglob("*.lease")) == []


def test_claim_as_another_agent_ends_with_command(
    shell: Shell, bench: Bench
) -> None:
    _, other = bench.item(), bench.item(agent="bob")

    ran = shell.worker(
        *ONCE, *sh(f"{IN_PATH}; AGENT_ID=bob worker get {other} > shown")
    )

    assert other in (shell.folder / "shown").read_text()
    assert bench.state(other) is State.QUEUED
    assert f"also claimed {other}, which is released" in ran.stderr


def test_question_on_another_item_stays_open(
    shell: Shell, bench: Bench
) -> None:
    _, other = bench.item(), bench.item()

    ran = shell.worker(
        *ONCE, *sh(f"{IN_PATH}; worker blocker {other} 'Which wood?' >&2")
    )

    assert ran.code == 0, ran.stderr
    assert bench.state(other) is State.BLOCKED
    bench.queue.answer(other, "Oak.")
    assert bench.state(other) is State.QUEUED


def test_items_of_other_sessions_are_not_released(
    shell: Shell, bench: Bench
) -> None:
    mine, _ = bench.item(), bench.item()
    shell.worker("get", mine)
    script = f"{IN_PATH}; worker complete {mine} stolen 2> said; echo $?"

    ran = shell.worker(*ONCE, *sh(script))

    assert json.loads(ran.stdout.splitlines()[-1])["text"] == "6"
    assert bench.state(mine) is State.IN_PROGRESS
    assert shell.worker("complete", mine, "done").code == 0


def test_item_that_a_command_completed_stays_completed(
    shell: Shell, bench: Bench
) -> None:
    _, other = bench.item(), bench.item()

    ran = shell.worker(
        *ONCE,
        *sh(f"{IN_PATH}; worker get {other}; worker complete {other} mine"),
    )

    assert bench.queue.views.show(other).item.summary == "mine"
    assert ran.stderr == ""


def test_next_run_releases_claims_of_killed_one(
    shell: Shell, bench: Bench
) -> None:
    item, other = bench.item(), bench.item()
    script = f"{IN_PATH}; worker get {other}; touch got; sleep 60"
    with running(shell, "--lease", "1s", *sh(script)) as run:
        run.wait_for("claimed")
        eventually((shell.folder / "got").exists)
    bench.expire_lease(item)
    bench.queue.reap()
    bench.end_delay(item)

    shell.worker(*ONCE, "--wait", "30", *sh("echo done"))

    assert bench.state(item) is State.COMPLETED
    assert bench.state(other) is State.QUEUED


def test_prime_in_a_run_suggests_no_pop(shell: Shell, bench: Bench) -> None:
    item, other = bench.item(), bench.item()
    script = f"worker prime > begun; worker complete {item} mine >&2; worker prime > ended"

    shell.worker(*ONCE, *sh(f"{IN_PATH}; {script}"))

    begun, ended = (
        (shell.folder / name).read_text() for name in ("begun", "ended")
    )
    assert f"a command of `worker run`, for `{item}` alone" in begun
    assert f"## Next step\n\n    worker get {item}\n" in begun
    assert other in ended
    assert "## Next step\n\n    exit\n" in ended
    assert "a command of `worker run`" not in shell.worker("prime").stdout


def test_stop_hook_lists_claims_of_the_command(
    shell: Shell, bench: Bench
) -> None:
    item, other = bench.item(), bench.item()
    stop = "echo '{}' | worker hook stop"
    script = f"{stop} > before; worker get {other}; {stop} > after"

    shell.worker(*ONCE, *sh(f"{IN_PATH}; {script}"))

    assert (shell.folder / "before").read_text() == ""
    reminder = (shell.folder / "after").read_text()
    assert f"You still hold {other}, in progress" in reminder
    assert item not in reminder
