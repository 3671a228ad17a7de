"""Acceptance checks as users meet them: created, run, refused, proved, and not evaded."""

import json
import signal
from pathlib import Path

import pytest
from support import tool_client
from support.api_client import ApiClient
from support.builders import Bench
from support.commands import BIN, Shell, eventually, result_of
from support.gateways import Gateway
from support.runs import ONCE, sh
from support.tool_client import run_async
from taskorch.domain.acceptance import (
    DeliverableCheck,
    FileCheck,
    RunCheck,
)
from taskorch.domain.item import Item, State

TEST = RunCheck(run=("test", "-s", "done.txt"))
IN_PATH = f"export PATH={BIN}:$PATH"


def item_of(bench: Bench, id_: str) -> Item:
    return bench.queue.views.show(id_).item


def test_create_and_edit_take_checks(shell: Shell, bench: Bench) -> None:
    made = shell.orchestrate(
        *("create", bench.project(), "It", "--accept", "It reads well"),
        *("--check", "make test", "--check", "ruff check 'my src'"),
        *("--check-timeout", "5m", "--check-file", "a.md", "./b.md"),
        *("--check-deliverable", "schema", "--review", "lead"),
    )
    item = made.stdout.strip()
    created = item_of(bench, item)

    edited = shell.orchestrate("edit", item, "--check", "make lint")
    cleared = shell.orchestrate("edit", item, "--clear", "check", "review")

    assert created.criteria == ("It reads well",)
    assert created.checks == (
        RunCheck(run=("make", "test"), timeout_ms=300_000),
        RunCheck(run=("ruff", "check", "my src"), timeout_ms=300_000),
        FileCheck(file="a.md"),
        FileCheck(file="b.md"),
        DeliverableCheck(deliverable="schema"),
    )
    assert created.reviewer == "lead"
    assert edited.stdout.splitlines()[1:] == [
        (
            "  acceptance checks: make test; ruff check my src; file a.md; "
            "file b.md; deliverable schema -> make lint"
        )
    ]
    assert cleared.code == 0
    assert (item_of(bench, item).checks, item_of(bench, item).reviewer) == (
        (),
        "",
    )


@pytest.mark.parametrize(
    "option",
    [
        ("--check", "true"),
        ("--check", ""),
        ("--check", "sh -c 'exit 0'"),
        ("--check", "echo done"),
        ("--check", "make 'unclosed"),
        ("--check-file", "../outside.md"),
        ("--check-file", "/etc/passwd"),
        ("--check-deliverable", ""),
        ("--check-timeout", "9h", "--check", "make test"),
    ],
)
def test_useless_check_is_refused_at_creation(
    shell: Shell, bench: Bench, option: tuple[str, ...]
) -> None:
    home = bench.project()

    ran = shell.orchestrate("create", home, "It", *option)

    assert ran.code == 5, ran.stdout
    assert bench.queue.views.progress(home).items == ()


def test_plan_names_checks_and_a_reviewer(shell: Shell, bench: Bench) -> None:
    plan = shell.folder / "plan.yaml"
    text = """project: Build it
key: k
items:
  - name: api
    title: Write the API
    accept:
      - It reads well
      - run: [make, test]
        timeout: 5m
      - file: docs/api.md
      - deliverable: schema
      - review: lead
"""
    plan.write_text(text, encoding="utf-8")

    applied = shell.orchestrate("apply", "plan.yaml", "--json").data()
    id_ = applied["items"][0]["id"]
    created = item_of(bench, id_)
    plan.write_text(
        text.replace("      - review: lead\n", ""), encoding="utf-8"
    )
    again = shell.orchestrate("apply", "plan.yaml", "--json").data()

    assert created.checks == (
        RunCheck(run=("make", "test"), timeout_ms=300_000),
        FileCheck(file="docs/api.md"),
        DeliverableCheck(deliverable="schema"),
    )
    assert (created.criteria, created.reviewer) == (("It reads well",), "lead")
    assert [each["field"] for each in again["items"][0]["changes"]] == [
        "reviewer"
    ]


def test_plan_names_line_of_useless_check(shell: Shell) -> None:
    plan = shell.folder / "plan.yaml"
    plan.write_text(
        "project: Build it\nitems:\n  - name: api\n    title: API\n"
        "    accept:\n      - Fine\n      - run: [sh, -c, 'true']\n",
        encoding="utf-8",
    )

    ran = shell.orchestrate("apply", "plan.yaml")

    assert ran.code == 5
    assert "line 7" in ran.stderr
    assert "cannot fail" in ran.stderr


def test_failing_check_refuses_the_completion(
    shell: Shell, bench: Bench
) -> None:
    script = RunCheck(run=("sh", "-c", "echo 2 failed; exit 1"))
    item = bench.item(checks=(script, TEST, FileCheck(file="docs/api.md")))
    shell.worker("get", item)

    ran = shell.worker("complete", item, "Done")

    assert (ran.code, ran.stdout) == (5, "")
    assert "3 of its acceptance checks do not pass" in ran.stderr
    assert "sh -c 'echo 2 failed; exit 1': exit status 1" in ran.stderr
    assert "  2 failed" in ran.stderr
    assert "file docs/api.md: it does not exist" in ran.stderr
    assert "You still hold" in ran.stderr
    assert bench.state(item) is State.IN_PROGRESS


def test_passing_checks_are_shown_as_evidence(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(checks=(TEST, DeliverableCheck(deliverable="schema")))
    (shell.folder / "done.txt").write_text("text", encoding="utf-8")

    ran = shell.worker(
        "complete", item, "Done", "--deliverable", "schema=a.sql"
    )

    assert ran.code == 0, ran.stderr
    shown = shell.orchestrate("show", item)
    seen = shell.worker("get", item, "--peek").stdout
    data = shell.orchestrate("show", item, "--json").data()
    assert "run test -s done.txt: passed, exit status 0" in shown.stdout
    assert "deliverable schema: passed" in shown.stdout
    assert "run test -s done.txt: passed" in seen
    assert data["checks"] == [
        {"run": ["test", "-s", "done.txt"], "timeout_ms": 600_000},
        {"deliverable": "schema"},
    ]
    assert [
        (each["passed"], each["exit_code"], each["source"])
        for each in data["evidence"]
    ] == [(True, 0, "worker"), (True, None, "queue")]


def test_used_up_budget_refuses_no_checked_completion(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(checks=(RunCheck(run=("test", "-d", ".")),))
    bench.queue.set_budget("ada", period="total", limit_micros=0)

    done = shell.worker("complete", item, "Done")

    assert done.code == 0, done.stderr
    assert bench.state(item) is State.COMPLETED


def test_missing_deliverable_is_refused_before_checks_run(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(
        checks=(
            RunCheck(run=("touch", "ran")),
            DeliverableCheck(deliverable="schema"),
        )
    )

    ran = shell.worker("complete", item, "Done", "--json")

    assert ran.code == 5
    assert ran.error()["details"]["failed"] == [
        {
            "check": "deliverable schema",
            "problem": "it was not delivered",
        }
    ]
    assert not (shell.folder / "ran").exists()


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        (RunCheck(run=("no-such-command",)), "could not be started"),
        (RunCheck(run=("sleep", "600"), timeout_ms=200), "still running"),
        (
            RunCheck(run=("tail", "-f", "/dev/null"), timeout_ms=200),
            "it was still running after 0.2 s",
        ),
    ],
)
def test_inconclusive_check_is_not_a_pass(
    shell: Shell, bench: Bench, check: RunCheck, problem: str
) -> None:
    bench_item = bench.item(checks=(TEST,))
    raw = json.dumps(
        [{"run": list(check.run), "timeout_ms": check.timeout_ms}]
    )
    bench.raw.hset(
        f"taskorch:{{{bench.namespace}}}:item:{bench_item}", "checks", raw
    )

    ran = shell.worker("complete", bench_item, "Done")

    assert (ran.code, problem in ran.stderr) == (5, True)
    assert bench.state(bench_item) is State.IN_PROGRESS


def test_checks_run_in_the_root_from_any_folder(
    shell: Shell, bench: Bench
) -> None:
    (shell.folder / ".task-orchestrator").mkdir()
    (shell.folder / "done.txt").write_text("text", encoding="utf-8")
    below = shell.folder / "src"
    below.mkdir()
    item = bench.item(checks=(TEST,))

    ran = shell.within(below).worker("complete", item, "Done")

    assert ran.code == 0, ran.stderr


def git(shell: Shell, *words: str) -> None:
    """Run git in the folder of a shell."""
    named = ("-c", "user.name=a", "-c", "user.email=a@b")
    ran = shell.run("git", *named, *words)
    assert ran.code == 0, ran.stderr


def committed(shell: Shell) -> None:
    """Make the folder of a shell a checkout, with a commit of all its files."""
    git(shell, "init", "-q", ".")
    git(shell, "add", ".")
    git(shell, "commit", "-q", "--allow-empty", "-m", "first")


@pytest.mark.parametrize("below", [".", "src/deep"])
def test_checks_run_in_the_top_of_a_worktree(
    shell: Shell, bench: Bench, below: str
) -> None:
    (shell.folder / "src/deep").mkdir(parents=True)
    (shell.folder / "src/deep/app.py").touch()
    committed(shell)
    git(shell, "worktree", "add", "-q", "../tree")
    tree = shell.folder.parent / "tree"
    worker = shell.having(TASKORCH_ROOT=str(shell.folder)).within(tree / below)
    item = bench.item(checks=(TEST, FileCheck(file="src/deep/app.py")))
    worker.worker("get", item)

    (shell.folder / "done.txt").write_text("text", encoding="utf-8")
    (tree / "src/deep/app.py").write_text("text", encoding="utf-8")
    elsewhere = worker.worker("complete", item, "Done")
    (tree / "done.txt").write_text("text", encoding="utf-8")
    here = worker.worker("complete", item, "Done")

    assert elsewhere.code == 5
    assert "1 of its acceptance checks does not pass" in elsewhere.stderr
    assert f"in {tree}\n" in here.stderr
    assert here.code == 0, here.stderr


def test_checks_run_below_worktree_as_below_checkout(
    shell: Shell, bench: Bench
) -> None:
    root = shell.folder / "app"
    (root / ".task-orchestrator").mkdir(parents=True)
    (root / "main.py").touch()
    committed(shell)
    git(shell, "worktree", "add", "-q", "../tree")
    tree = shell.folder.parent / "tree"
    worker = shell.having(TASKORCH_ROOT=str(root)).within(tree)
    item = bench.item(checks=(TEST,))
    worker.worker("get", item)

    (tree / "done.txt").write_text("text", encoding="utf-8")
    at_top = worker.worker("complete", item, "Done")
    (tree / "app" / "done.txt").write_text("text", encoding="utf-8")
    in_app = worker.worker("complete", item, "Done")

    assert at_top.code == 5
    assert f"in {tree / 'app'}\n" in in_app.stderr
    assert in_app.code == 0, in_app.stderr


def test_worktree_finds_the_root_of_its_checkout(
    shell: Shell, bench: Bench
) -> None:
    committed(shell)
    git(shell, "worktree", "add", "-q", "../tree")
    tree = shell.folder.parent / "tree"
    item = bench.item(checks=(TEST,))
    (tree / "done.txt").write_text("text", encoding="utf-8")

    ran = shell.within(tree).worker("complete", item, "Done")

    assert ran.code == 0, ran.stderr
    assert (shell.folder / ".task-orchestrator").exists()
    assert not (tree / ".task-orchestrator").exists()


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_end_of_the_command_kills_the_check(
    shell: Shell, bench: Bench, number: signal.Signals, code: int
) -> None:
    script = "echo $$ > pid; exec tail -f /dev/null"
    item = bench.item(checks=(RunCheck(run=("sh", "-c", script)),))
    process = shell.start(BIN / "worker", "complete", item, "Done")
    pid = shell.folder / "pid"
    eventually(lambda: pid.exists() and bool(pid.read_text()))

    process.send_signal(number)
    ran = result_of(process)

    child = int(pid.read_text())
    assert ran.code == code
    eventually(lambda: not Path(f"/proc/{child}").exists())
    assert bench.state(item) is State.IN_PROGRESS


def test_second_ctrl_c_kills_a_stubborn_check(
    shell: Shell, bench: Bench
) -> None:
    script = (
        "trap 'touch told' TERM; echo $$ > pid; while :; do sleep 0.1; done"
    )
    item = bench.item(checks=(RunCheck(run=("sh", "-c", script)),))
    process = shell.start(BIN / "worker", "complete", item, "Done")
    pid = shell.folder / "pid"
    eventually(lambda: pid.exists() and bool(pid.read_text()))
    process.send_signal(signal.SIGINT)
    eventually((shell.folder / "told").exists)

    process.send_signal(signal.SIGINT)
    ran = result_of(process)

    child = int(pid.read_text())
    assert ran.code == 130
    eventually(lambda: not Path(f"/proc/{child}").exists())
    assert bench.state(item) is State.IN_PROGRESS


#: A check that says its pid, and does not end.
ENDLESS = RunCheck(
    run=(
        "sh",
        "-c",
        "echo $$ > pid.new; mv pid.new pid; exec tail -f /dev/null",
    )
)


@pytest.mark.parametrize("loss", ["takeover", "cancel"])
def test_lost_item_stops_the_checks(
    shell: Shell, bench: Bench, loss: str
) -> None:
    item = bench.item(checks=(ENDLESS,))
    process = shell.start(BIN / "worker", "complete", item, "Done")
    pid = shell.folder / "pid"
    eventually(pid.exists)

    if loss == "takeover":
        other = shell.having(AGENT_SESSION="other")
        other.worker("get", item, "--takeover")
    else:
        shell.orchestrate("cancel", item)
    ran = result_of(process)

    child = int(pid.read_text())
    leases = shell.folder.glob(".task-orchestrator/workspace/ada/*.lease")
    assert ran.code == 6, ran.stderr
    eventually(lambda: not Path(f"/proc/{child}").exists())
    assert item_of(bench, item).evidence == ()
    assert loss == "takeover" or not [*leases]


def test_stopped_run_ends_check_and_releases(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(checks=(ENDLESS,))
    process = shell.start(BIN / "worker", *ONCE, *sh("echo Done"))
    pid = shell.folder / "pid"
    eventually(pid.exists)

    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGHUP)
    result_of(process)

    child = int(pid.read_text())
    eventually(lambda: not Path(f"/proc/{child}").exists())
    assert bench.state(item) is State.QUEUED


def test_lease_is_renewed_while_checks_run(shell: Shell, bench: Bench) -> None:
    wait = "until test -e go; do sleep 0.05; done; echo ok"
    item = bench.item(
        checks=(RunCheck(run=("sh", "-c", wait + "; test -e go")),)
    )
    shell.worker("get", item)
    bench.shorten_lease(item, left_ms=20_000)
    before = item_of(bench, item).lease_expires_at
    process = shell.start(BIN / "worker", "complete", item, "Done")

    eventually(lambda: item_of(bench, item).lease_expires_at > before)
    (shell.folder / "go").touch()

    assert result_of(process).code == 0
    assert bench.state(item) is State.COMPLETED


def test_run_checks_after_its_command(shell: Shell, bench: Bench) -> None:
    item = bench.item(checks=(TEST,))

    ran = shell.worker(*ONCE, *sh("echo text > done.txt; echo Written"))

    found = item_of(bench, item)
    assert ran.code == 0, ran.stdout
    assert (found.state, found.summary) == (State.COMPLETED, "Written")
    assert [each.source for each in found.evidence] == ["run"]


def test_failed_check_fails_attempt_of_run(shell: Shell, bench: Bench) -> None:
    item = bench.item(checks=(TEST, DeliverableCheck(deliverable="schema")))

    ran = shell.worker(*ONCE, *sh("echo I am done"))

    view = bench.queue.views.show(item)
    assert ran.code == 5
    assert view.item.state is State.DELAYED
    reason = view.history[-1].text
    assert "test -s done.txt: exit status 1" in reason
    assert f"logs/{item}/1.log" in reason


def test_missing_deliverable_fails_attempt_of_run(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(checks=(DeliverableCheck(deliverable="schema"),))

    shell.worker(*ONCE, *sh("echo I am done"))

    view = bench.queue.views.show(item)
    assert view.item.state is State.DELAYED
    assert "deliverable schema: it was not delivered" in view.history[-1].text


def test_command_of_run_delivers_and_does_not_complete(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(checks=(TEST, DeliverableCheck(deliverable="schema")))
    script = (
        f"{IN_PATH}; echo text > done.txt; worker complete {item} Mine "
        "--deliverable schema=a.sql > said 2> why; echo $? > code; "
        f"worker get {item} --peek --json > seen"
    )

    ran = shell.worker(*ONCE, *sh(script))

    found = item_of(bench, item)
    seen = json.loads((shell.folder / "seen").read_text())["data"]
    assert ran.code == 0, (shell.folder / "why").read_text()
    assert (shell.folder / "code").read_text() == "0\n"
    assert "worker run repeats them" in (shell.folder / "why").read_text()
    assert seen["state"] == "in_progress"
    assert (found.summary, found.deliverables) == (
        "Mine",
        {"schema": "a.sql"},
    )
    assert [each.source for each in found.evidence] == ["run", "queue"]


#: Ways in which a command of a run may try to complete its item without the checks.
EVASIONS = [
    "worker complete {item} Mine",
    "worker ack {item}",
    "env -u TASKORCH_ITEM_ID -u TASKORCH_LEASE worker complete {item} Mine",
    "env -u TASKORCH_LEASE worker complete {item} Mine",
    "env -u TASKORCH_RESULT_FILE worker complete {item} Mine",
    "worker get {item} --takeover && worker complete {item} Mine",
]


@pytest.mark.parametrize("evasion", EVASIONS)
def test_command_of_run_cannot_skip_checks(
    shell: Shell, bench: Bench, evasion: str
) -> None:
    item = bench.item(checks=(TEST,))
    script = f"{IN_PATH}; {evasion.format(item=item)}; echo $? > code; exit 0"

    shell.worker(*ONCE, *sh(script))

    view = bench.queue.views.show(item)
    assert (shell.folder / "code").read_text() == "5\n"
    assert view.item.state is State.DELAYED
    assert view.item.evidence == ()


def test_forged_evidence_of_a_command_is_refused(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(checks=(TEST,))
    forger = shell.folder / "forge.py"
    forger.write_text(
        "import os\n"
        "from taskorch import Queue, errors\n"
        "from taskorch.domain.acceptance import CheckEvidence, RunCheck\n"
        "from taskorch.domain.item import Lease\n"
        "token, _, claim = os.environ['TASKORCH_LEASE'].partition(':')\n"
        "lease = Lease(item=os.environ['TASKORCH_ITEM_ID'], token=int(token), claim=claim)\n"
        "check = RunCheck(run=('test', '-s', 'done.txt'))\n"
        "forged = CheckEvidence(check=check, passed=True, exit_code=0, source='run')\n"
        "try:\n"
        "    Queue.open().agent('ada').queue.complete(lease, 'Mine', evidence=[forged])\n"
        "except errors.TaskOrchestratorError as error:\n"
        "    print(error.word)\n",
        encoding="utf-8",
    )

    shell.worker(*ONCE, *sh(f"{BIN}/python forge.py > said; exit 0"))

    assert (shell.folder / "said").read_text() == "RUN_COMPLETES\n"
    assert bench.state(item) is State.DELAYED


def test_job_files_do_not_have_the_token(shell: Shell, bench: Bench) -> None:
    item = bench.item(checks=(TEST,))

    shell.worker(
        *ONCE,
        *sh(
            "echo text > done.txt; env > seen; cat $TASKORCH_ITEM_FILE "
            "$TASKORCH_PROMPT_FILE .task-orchestrator/workspace/ada/*.lease >> seen"
        ),
    )

    key = f"taskorch:{{{bench.namespace}}}:item:{item}"
    claim = str(bench.raw.hget(key, "claim"))
    assert bench.state(item) is State.COMPLETED
    assert claim not in (shell.folder / "seen").read_text()


def test_run_in_worktree_checks_the_worktree(
    shell: Shell, bench: Bench
) -> None:
    git = (
        "git init -q . && git -c user.name=a -c user.email=a@b commit -q "
        "--allow-empty -m first"
    )
    shell.run("sh", "-c", git)
    item = bench.item(checks=(TEST,))

    ran = shell.worker(
        *("run", "--once", "--json", "--worktree"),
        *sh("echo text > done.txt"),
    )

    assert ran.code == 0, ran.stdout + ran.stderr
    assert not (shell.folder / "done.txt").exists()
    assert bench.state(item) is State.COMPLETED


def test_tool_complete_runs_the_checks(shell: Shell, bench: Bench) -> None:
    item = bench.item(checks=(TEST,))
    forged = [{"check": {"run": ["test", "-s", "done.txt"]}, "passed": True}]

    async def test() -> None:
        async with tool_client.worker(shell) as ada:
            await ada.data("pop")
            error = await ada.error("complete", item=item, summary="Done")
            assert error["code"] == "CHECKS_FAILED"
            assert error["details"]["failed"][0]["problem"] == "exit status 1"
            error = await ada.error(
                "complete", item=item, summary="Done", evidence=forged
            )
            assert error["code"] == "USAGE"
            (shell.folder / "done.txt").write_text("text", encoding="utf-8")
            done = await ada.data("complete", item=item, summary="Done")
            assert done["state"] == "completed"

    run_async(test)
    assert [each.source for each in item_of(bench, item).evidence] == [
        "worker"
    ]


def test_tools_of_orchestrator_take_rules(shell: Shell, bench: Bench) -> None:
    accept = ["Reads well", {"run": ["make", "test"]}, {"review": "lead"}]

    async def test() -> str:
        async with tool_client.orchestrate(shell) as planner:
            made = await planner.data(
                "plan",
                project="It",
                items=[{"name": "a", "title": "A", "accept": accept}],
            )
            id_ = str(made["items"][0]["id"])
            error = await planner.error(
                "edit", items=[id_], accept=[{"run": ["true"]}]
            )
            assert error["code"] == "INVALID"
            await planner.data("edit", items=[id_], accept=[{"file": "a.md"}])
            return id_

    found: list[str] = []

    async def kept() -> None:
        found.append(await test())

    run_async(kept)
    item = item_of(bench, found[0])
    assert (item.criteria, item.reviewer) == (("Reads well",), "lead")
    assert item.checks == (FileCheck(file="a.md"),)


def test_client_of_gateway_reports_its_own_evidence(
    bench: Bench, gateway: Gateway
) -> None:
    item = bench.item(checks=(TEST,))
    ada = gateway.client(gateway.token("ada", "worker"), AGENT_ID="ada")
    (ada.folder / "done.txt").write_text("text", encoding="utf-8")

    ran = ada.worker("complete", item, "Done")

    assert ran.code == 0, ran.stderr
    (kept,) = item_of(bench, item).evidence
    assert (kept.passed, kept.source) == (True, "client")


def test_api_takes_rules_and_evidence(bench: Bench, gateway: Gateway) -> None:
    planner = ApiClient(gateway, gateway.token("planner", "orchestrator"))
    ada = ApiClient(gateway, gateway.token("ada", "worker"))
    check = {"run": ["make", "test"]}
    item = planner.post(
        "orchestrator/create",
        project=bench.project(),
        title="It",
        assign="ada",
        accept=["Reads well", check, {"review": "lead"}],
    )["data"]["id"]
    planner.post("orchestrator/edit", items=[item], clear=["reviewer"])
    popped = ada.post("worker/pop")
    token = popped["meta"]["tokens"][item]
    stored = popped["data"]["checks"]

    bare = ada.refusal(
        "worker/complete", item=item, summary="Done", token=token
    )
    failed = ada.refusal(
        "worker/complete",
        item=item,
        summary="Done",
        token=token,
        evidence=[{"check": stored[0], "passed": False}],
    )
    wrong = ada.refusal(
        "worker/complete",
        item=item,
        summary="Done",
        token=token,
        evidence=[{"check": {"run": ["make"]}, "passed": True}],
    )
    done = ada.post(
        "worker/complete",
        item=item,
        summary="Done",
        token=token,
        evidence=[{"check": stored[0], "passed": True, "output": "3 passed"}],
    )

    assert (bare, failed, wrong) == (
        (422, "UNCHECKED"),
        (422, "CHECKS_FAILED"),
        (422, "UNCHECKED"),
    )
    assert done["data"]["state"] == "completed"
    (kept,) = item_of(bench, item).evidence
    assert (kept.source, kept.output) == ("client", "3 passed")
    for client in (planner, ada):
        client.close()


def test_worker_over_gateway_cannot_change_checks(
    bench: Bench, gateway: Gateway
) -> None:
    item = bench.item(checks=(TEST,))
    ada = ApiClient(gateway, gateway.token("ada", "worker"))

    refused = ada.refusal("orchestrator/edit", items=[item], clear=["checks"])

    assert refused == (403, "NOT_ALLOWED")
    assert item_of(bench, item).checks == (TEST,)
    ada.close()


def test_useless_check_is_refused_by_the_api(
    bench: Bench, gateway: Gateway
) -> None:
    planner = ApiClient(gateway, gateway.token("planner", "orchestrator"))

    refused = planner.refusal(
        "orchestrator/create",
        project=bench.project(),
        title="It",
        accept=[{"run": ["true"]}],
    )

    assert refused == (422, "INVALID")
    planner.close()


def test_export_keeps_checks_and_evidence(shell: Shell, bench: Bench) -> None:
    item = bench.item(checks=(TEST,), reviewer="")
    (shell.folder / "done.txt").write_text("text", encoding="utf-8")
    shell.worker("complete", item, "Done")
    before = item_of(bench, item)
    shell.orchestrate("export", "all.jsonl")
    other = shell.having(TASKORCH_NAMESPACE=f"{bench.namespace}-copy")

    imported = other.orchestrate("import", "all.jsonl")

    data = other.orchestrate("show", item, "--json").data()
    assert imported.code == 0, imported.stderr
    assert data["evidence"][0]["output"] == before.evidence[0].output
    assert data["checks"][0]["run"] == list(TEST.run)


def test_next_item_comes_with_a_checked_completion(
    shell: Shell, bench: Bench
) -> None:
    first, second = bench.item(checks=(TEST,)), bench.item()

    refused = shell.worker("complete", first, "Done", "--next")
    before = bench.state(second)
    (shell.folder / "done.txt").write_text("text", encoding="utf-8")
    ran = shell.worker("complete", first, "Done", "--next", "--json")

    assert (refused.code, before) == (5, State.QUEUED)
    assert ran.data()["next"]["id"] == second
    assert bench.state(first) is State.COMPLETED
