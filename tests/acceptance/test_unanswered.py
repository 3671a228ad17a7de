"""A command that Redis did not answer can be rerun: it acts once and prints its result."""

import os
import re
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from time import time

import pytest
from support.builders import Bench
from support.commands import BIN, CommandResult, Shell, eventually, result_of
from support.proxy import ALWAYS, Proxy, proxied
from taskorch.domain.item import State

#: The user's workflow. {0} is the project, {1} and {2} are its items.
WORKFLOW = """
    orchestrate project Lost
    orchestrate create {0} First -r One Two
    orchestrate create {0} Second --depends-on {1}
    orchestrate assign {1} ada
    orchestrate assign {2} ada
    worker check
    worker get {1}
    worker progress {1} Half --percent 50
    worker notes {1} Mine
    worker notes {1}
    worker discover {1} Found --impact Much
    worker blocker {1} Stuck --needs Help
    orchestrate inbox
    orchestrate answer {1} Go
    worker complete {1} Done --deliverable file=a.txt
    worker pop
    worker renew {2}
    worker release {2}
    worker pop
    worker fail {2} Broken --no-retry
    orchestrate requeue {2}
    orchestrate cancel {2}
    orchestrate progress {0}
    orchestrate discoveries {0} --new
    orchestrate complete {0}
""".strip().splitlines()
#: The calls with which `assign` reads what it writes to the handoffs, and `complete`
#: what it prints of a project.
READS = 3
VARYING = r"(proj|item)_[0-9a-f]{8}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ|\d{13}-\d+"

#: Command -> the state of the item before it. {0} is a project, {1} an item of ada in
#: that state.
STEPS = {
    "orchestrate project Lost": State.PENDING,
    "orchestrate create {0} Lost --assign ada": State.PENDING,
    "orchestrate assign {1} bob": State.PENDING,
    "orchestrate answer {1} Go": State.BLOCKED,
    "orchestrate cancel {1}": State.QUEUED,
    "orchestrate requeue {1}": State.FAILED,
    "orchestrate complete {0} --force": State.QUEUED,
    "worker pop": State.QUEUED,
    "worker pop --count 3": State.QUEUED,
    "worker get {1}": State.QUEUED,
    "worker notes {1} Mine": State.QUEUED,
    "worker progress {1} Half": State.QUEUED,
    "worker discover {1} Found": State.QUEUED,
    "worker blocker {1} Stuck": State.QUEUED,
    "worker complete {1} Done": State.QUEUED,
}


@pytest.fixture
def proxy(shell: Shell) -> Iterator[Proxy]:
    with proxied(shell.variables["TASKORCH_REDIS_URL"]) as proxy:
        yield proxy


@pytest.fixture
def lossy(shell: Shell, proxy: Proxy) -> Shell:
    return shell.having(TASKORCH_REDIS_URL=proxy.url)


def run_line(
    shell: Shell, line: str, *ids: str, stdin: bytes = b""
) -> CommandResult:
    command, *words = line.format(*ids).split()
    return shell.run(BIN / command, *words, stdin=stdin)


def lose_replies(
    proxy: Proxy, shell: Shell, line: str, *ids: str, stdin: bytes = b""
) -> None:
    """Run a command whose replies are all lost."""
    proxy.replies_lost = ALWAYS
    ran = run_line(shell, line, *ids, stdin=stdin)
    proxy.replies_lost = 0
    assert (ran.code, ran.stdout) == (4, ""), ran


def kept_requests(shell: Shell) -> list[Path]:
    return [
        path
        for path in (shell.folder / ".task-orchestrator" / "run").rglob("*")
        if path.is_file()
    ]


def run_workflow(shell: Shell) -> list[str]:
    """Return the output of the whole workflow, without ids and times."""
    ids: list[str] = []
    screens = []
    for line in WORKFLOW:
        ran = run_line(shell, line, *ids, *["?"] * 3)
        assert ran.code == 0, (line, ran)
        screens.append(re.sub(VARYING, "…", ran.stdout + ran.stderr))
        if line.split()[1] in ("project", "create"):
            ids.append(ran.stdout.strip())
    return screens


def texts(bench: Bench, item: str) -> list[str]:
    return [report.text for report in bench.queue.views.show(item).history]


def test_workflow_survives_the_loss_of_each_reply(
    shell: Shell, lossy: Shell, proxy: Proxy, bench: Bench
) -> None:
    (shell.folder / ".task-orchestrator").mkdir()
    bench.agent("ada").check()
    proxy.replies_lost = 1

    with_losses = run_workflow(lossy)

    events = [event["verb"] for event in bench.events()]
    assert len(proxy.passed) == len(WORKFLOW) + READS
    assert with_losses == run_workflow(shell)
    assert [event["verb"] for event in bench.events()] == events * 2
    assert kept_requests(shell) == []


def test_unanswered_plan_is_applied_once(
    lossy: Shell, proxy: Proxy, bench: Bench
) -> None:
    plan, other = (
        f"project: {title}\nitems: [{{name: a, title: A}}]".encode()
        for title in ("P", "Q")
    )

    lose_replies(proxy, lossy, "orchestrate apply -", stdin=plan)
    another = run_line(
        lossy, "orchestrate apply -", stdin=other
    ).stdout.strip()
    again = run_line(lossy, "orchestrate apply -", stdin=plan).stdout.strip()

    titles = {
        project.id: project.title for project in bench.queue.views.projects()
    }
    assert titles == {again: "P", another: "Q"}
    assert len(bench.queue.views.list().items) == 2


@pytest.mark.parametrize("line", STEPS)
def test_unanswered_command_acts_once_when_rerun(
    lossy: Shell, proxy: Proxy, bench: Bench, line: str
) -> None:
    project = bench.project()
    item = bench.item(
        project, agent="" if STEPS[line] is State.PENDING else "ada"
    )
    bench.bring_to(item, STEPS[line])
    before = bench.everything()

    lose_replies(proxy, lossy, line, project, item)
    acted = bench.everything()
    again = run_line(lossy, line, project, item)

    assert again.code == 0, again.stderr
    assert proxy.passed[0] == proxy.lost[0]
    # what is assigned is read again for its handoff, and a project to print it
    reads = 1 if "assign" in line or "complete {0}" in line else 0
    assert len(proxy.passed) == 1 + reads
    assert before != acted == bench.everything()
    assert kept_requests(lossy) == []
    assert bench.inconsistencies() == []


def test_rerun_prints_the_created_id(
    lossy: Shell, proxy: Proxy, bench: Bench
) -> None:
    lose_replies(proxy, lossy, "orchestrate project Lost")
    project = run_line(lossy, "orchestrate project Lost").stdout.strip()
    lose_replies(proxy, lossy, "orchestrate create {} Lost", project)
    item = run_line(
        lossy, "orchestrate create {} Lost", project
    ).stdout.strip()

    assert [view.id for view in bench.queue.views.projects()] == [project]
    assert [view.id for view in bench.queue.views.list().items] == [item]


@pytest.mark.parametrize(
    "line", ["worker pop", "worker get {1}", "worker progress {1} Half"]
)
def test_rerun_keeps_the_lease_of_a_claim(
    lossy: Shell, proxy: Proxy, bench: Bench, line: str
) -> None:
    first, second = bench.item(), bench.item()

    lose_replies(proxy, lossy, line, "", first)
    run_line(lossy, line, "", first)

    assert run_line(lossy, "worker complete {} Done", first).code == 0
    assert bench.queue.views.show(first).item.attempts == 1
    assert bench.state(second) is State.QUEUED


def test_third_run_is_a_new_step(
    lossy: Shell, proxy: Proxy, bench: Bench
) -> None:
    item = bench.item()
    lose_replies(proxy, lossy, "worker progress {} Half", item)

    run_line(lossy, "worker progress {} Half", item)
    run_line(lossy, "worker progress {} Half", item)

    assert texts(bench, item) == ["Half", "Half"]


def test_command_acts_once_after_several_lost_replies(
    lossy: Shell, proxy: Proxy, bench: Bench
) -> None:
    item = bench.item()

    for _ in range(3):
        lose_replies(proxy, lossy, "worker progress {} Half", item)
    again = run_line(lossy, "worker progress {} Half", item)

    assert again.code == 0
    assert texts(bench, item) == ["Half"]
    assert kept_requests(lossy) == []


def test_command_that_never_reached_redis_acts_when_rerun(
    lossy: Shell, proxy: Proxy, bench: Bench
) -> None:
    item = bench.item()
    proxy.requests_lost = ALWAYS
    away = run_line(lossy, "worker progress {} Half", item)
    proxy.requests_lost = 0

    there = run_line(lossy, "worker progress {} Half", item)

    assert (away.code, there.code) == (4, 0)
    assert texts(bench, item) == ["Half"]


@pytest.mark.parametrize(
    "line",
    [
        "worker progress {} Other",
        "worker progress {} Half --percent 5",
        "worker discover {} Half",
    ],
)
def test_different_command_is_a_new_step(
    lossy: Shell, proxy: Proxy, bench: Bench, line: str
) -> None:
    item = bench.item()
    run_line(lossy, "worker get {}", item)
    lose_replies(proxy, lossy, "worker progress {} Half", item)
    events = len(bench.events())

    ran = run_line(lossy, line, item)

    assert ran.code == 0, ran.stderr
    assert len(bench.events()) == events + 1
    assert len(kept_requests(lossy)) == 1


@pytest.mark.parametrize(
    "name", ["TASKORCH_NAMESPACE", "ORCHESTRATOR_ID", "AGENT_SESSION"]
)
def test_same_arguments_elsewhere_are_a_new_step(
    lossy: Shell, proxy: Proxy, bench: Bench, name: str
) -> None:
    lose_replies(proxy, lossy, "orchestrate project Lost")
    first = bench.queue.views.projects()[0].id

    ran = run_line(
        lossy.having(**{name: "another"}), "orchestrate project Lost"
    )

    assert ran.code == 0, ran.stderr
    assert ran.stdout.strip() != first
    assert len(kept_requests(lossy)) == 1


def test_different_spelling_is_the_same_command(
    lossy: Shell, proxy: Proxy, bench: Bench
) -> None:
    project = bench.project()
    lose_replies(
        proxy,
        lossy,
        "orchestrate create {} Lost -r One Two --priority 1",
        project,
    )

    again = run_line(
        lossy,
        "orchestrate create --priority=1 --json {} Lost -r One --requirement Two",
        project,
    )

    assert [view.id for view in bench.queue.views.list().items] == [
        again.data()["id"]
    ]


def test_standard_input_is_part_of_the_command(
    lossy: Shell, proxy: Proxy, bench: Bench
) -> None:
    item = bench.item()
    run_line(lossy, "worker get {}", item)
    lose_replies(proxy, lossy, "worker progress {} -", item, stdin=b"Half")

    run_line(lossy, "worker progress {} -", item, stdin=b"Other")
    run_line(lossy, "worker progress {} -", item, stdin=b"Half")

    assert sorted(texts(bench, item)) == ["Half", "Other"]


def test_refusal_counts_as_an_answer(
    lossy: Shell, proxy: Proxy, bench: Bench
) -> None:
    item = bench.item(agent="")
    proxy.requests_lost = ALWAYS
    run_line(lossy, "orchestrate assign {} ada", item)
    proxy.requests_lost = 0
    bench.queue.cancel(item)

    refused = run_line(lossy, "orchestrate assign {} ada", item)

    assert refused.code == 5
    assert kept_requests(lossy) == []


def test_rerun_after_nine_minutes_is_a_new_step(
    lossy: Shell, proxy: Proxy, bench: Bench
) -> None:
    item = bench.item()
    run_line(lossy, "worker get {}", item)
    lose_replies(proxy, lossy, "worker progress {} Half", item)
    (request,) = kept_requests(lossy)
    os.utime(request, (time() - 541, time() - 541))

    run_line(lossy, "worker progress {} Half", item)

    assert texts(bench, item) == ["Half", "Half"]
    assert kept_requests(lossy) == []


def test_old_requests_are_removed_with_the_next_one(
    lossy: Shell, proxy: Proxy
) -> None:
    lose_replies(proxy, lossy, "orchestrate project First")
    (old,) = kept_requests(lossy)
    for path in (old, old.parent):
        os.utime(path, (time() - 541, time() - 541))

    lose_replies(proxy, lossy, "orchestrate project Second")

    assert len(kept_requests(lossy)) == 1
    assert not old.exists()


def test_kept_requests_are_private(lossy: Shell, proxy: Proxy) -> None:
    lose_replies(proxy, lossy, "orchestrate project Lost")

    (request,) = kept_requests(lossy)
    assert stat.S_IMODE(request.stat().st_mode) == 0o600
    assert (
        stat.S_IMODE(
            (lossy.folder / ".task-orchestrator" / "run").stat().st_mode
        )
        == 0o700
    )
    assert "Lost" not in str(request)


def test_read_only_root_adds_no_message(lossy: Shell, proxy: Proxy) -> None:
    proxy.replies_lost = ALWAYS
    usual = run_line(lossy, "orchestrate project Lost")
    in_the_way = lossy.folder.parent / "second"
    (in_the_way / ".task-orchestrator").mkdir(parents=True)
    (in_the_way / ".task-orchestrator" / "run").write_text("a file")

    ran = run_line(lossy.within(in_the_way), "orchestrate project Lost")

    assert (ran.code, ran.stdout, ran.stderr) == (
        usual.code,
        usual.stdout,
        usual.stderr,
    )


@pytest.mark.parametrize(
    "line", ["orchestrate list", "orchestrate sync", "worker notes {}"]
)
def test_command_without_a_step_keeps_nothing(
    lossy: Shell, proxy: Proxy, bench: Bench, line: str
) -> None:
    item = bench.item()

    lose_replies(proxy, lossy, line, item)

    assert kept_requests(lossy) == []


def test_answered_command_keeps_nothing(lossy: Shell, bench: Bench) -> None:
    item = bench.item()

    run_line(lossy, "worker progress {} Half", item)
    run_line(lossy, "orchestrate project Answered")

    assert not (lossy.folder / ".task-orchestrator" / "run").exists()


def test_interrupted_command_acts_once_when_rerun(
    lossy: Shell, proxy: Proxy, bench: Bench
) -> None:
    item = bench.item()
    over = threading.Event()
    proxy.on_lost_reply, proxy.replies_lost = over.wait, 1
    hanging = lossy.start(BIN / "worker", "progress", item, "Half")
    eventually(lambda: texts(bench, item))
    hanging.send_signal(signal.SIGINT)
    interrupted = result_of(hanging)
    over.set()

    again = run_line(lossy, "worker progress {} Half", item)

    assert (interrupted.code, again.code) == (130, 0)
    assert texts(bench, item) == ["Half"]
    assert kept_requests(lossy) == []


def test_waiting_pop_repeats_its_unanswered_request(
    lossy: Shell, proxy: Proxy, bench: Bench
) -> None:
    waiting = lossy.start(BIN / "worker", "pop", "--wait", "20")
    eventually(lambda: proxy.passed)
    proxy.replies_lost = ALWAYS
    first, second = bench.item(), bench.item()
    away = result_of(waiting)
    proxy.replies_lost = 0

    again = run_line(lossy, "worker pop --wait 20")

    assert (away.code, again.code) == (4, 0)
    assert first in again.stdout
    assert [bench.state(item) for item in (first, second)] == [
        State.IN_PROGRESS,
        State.QUEUED,
    ]
    assert run_line(lossy, "worker complete {} Done", first).code == 0


def test_rerun_of_token_create_leaves_one_token(
    lossy: Shell, proxy: Proxy, bench: Bench
) -> None:
    line, tokens = "orchestrate token create eve --role viewer", bench.queue
    lose_replies(proxy, lossy, line)
    (first,) = tokens.access_tokens().list()

    token = run_line(lossy, line).stdout.strip()

    (only,) = tokens.access_tokens().list()
    assert only.id == first.id
    assert tokens.access_tokens().use(token, "192.0.2.7")
    assert token.rpartition("_")[2] not in str(bench.everything())
    assert kept_requests(lossy) == []
