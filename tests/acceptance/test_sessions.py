"""The holder of an item is a session: a root, or an AGENT_SESSION in a root."""

import json
import stat
from pathlib import Path

import pytest
from support.builders import Bench
from support.commands import BIN, Shell
from taskorch.config.settings import Settings
from taskorch.domain.item import State


def lease_files(shell: Shell) -> list[Path]:
    return sorted(shell.folder.rglob("*.lease"))


def second_root(shell: Shell) -> Shell:
    folder = shell.folder.parent / "second"
    (folder / ".task-orchestrator").mkdir(parents=True)
    return shell.within(folder)


def test_processes_in_one_root_are_one_holder(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    steps = [
        shell.worker("get", item),
        shell.worker("progress", item, "half way"),
        shell.worker("get", item),
    ]
    steps += [
        shell.worker("renew", item),
        shell.worker("blocker", item, "Which?"),
        shell.worker("complete", item, "x"),
    ]

    view = bench.queue.views.show(item).item
    assert [step.code for step in steps] == [0] * len(steps)
    assert (view.state, view.token, view.attempts) == (State.COMPLETED, 1, 1)


@pytest.mark.parametrize("other", ["session", "root"])
def test_second_session_is_refused_with_the_holders_name(
    shell: Shell, bench: Bench, other: str
) -> None:
    item = bench.item()
    shell.worker("get", item)
    second = (
        shell.having(AGENT_SESSION="second")
        if other == "session"
        else second_root(shell)
    )
    holder = bench.queue.views.show(item).item.holder
    assert holder is not None
    before = bench.everything()

    refused = [
        second.worker(verb, item, "x") for verb in ("progress", "complete")
    ]
    refused += [second.worker(verb, item) for verb in ("get", "release")]

    assert [ran.code for ran in refused] == [6] * len(refused)
    for ran in refused:
        assert (
            f"{item} is held by another session of ada (host {holder.host}, pid {holder.pid})"
            in ran.stderr
        )
        assert f"worker get {item} --takeover" in ran.stderr
    assert bench.everything() == before
    assert second.worker("pop").code == 8


def test_takeover_ends_the_lease_of_first_session(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    shell.worker("get", item)
    second = second_root(shell)

    taken = second.worker("get", item, "--takeover")

    late = [
        shell.worker("progress", item, "x", "--json"),
        shell.worker("complete", item, "x", "--json"),
    ]
    assert taken.code == 0
    assert [(ran.code, ran.error()["code"]) for ran in late] == [
        (6, "LEASE_LOST")
    ] * 2
    assert second.worker("complete", item, "done").code == 0
    assert bench.queue.views.show(item).item.summary == "done"


def test_session_without_lease_may_claim_item_again(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    shell.worker("get", item)
    bench.queue.assign(item, "bob", force=True)
    bench.queue.assign(item, "ada")

    ran = shell.worker("get", item)

    assert ran.code == 0, ran.stderr
    assert shell.worker("complete", item, "x").code == 0


def test_lease_file_is_private(shell: Shell, bench: Bench) -> None:
    item = bench.item()

    shell.having(AGENT_SESSION="one").worker("pop")

    file = (
        shell.folder
        / ".task-orchestrator"
        / "workspace"
        / "ada"
        / f"{item}.lease"
    )
    assert lease_files(shell) == [file]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    kept = json.loads(file.read_text(encoding="utf-8"))
    assert (kept["token"], kept["session"]) == (1, "one")
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    "words",
    [
        ["complete", "{}", "x"],
        ["ack", "{}"],
        ["fail", "{}", "x"],
        ["fail", "{}", "x", "--no-retry"],
        ["release", "{}"],
    ],
)
def test_lease_file_is_removed_after_the_last_step(
    shell: Shell, bench: Bench, words: list[str]
) -> None:
    item = bench.item()
    shell.worker("get", item)
    assert lease_files(shell)

    ran = shell.worker(*(word.format(item) for word in words))

    assert ran.code == 0, ran.stderr
    assert lease_files(shell) == []


def test_lease_file_is_removed_after_reassignment(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    shell.worker("get", item)
    bench.queue.assign(item, "bob", force=True)

    steps = [
        shell.worker("progress", item, "x"),
        shell.worker("progress", item, "x"),
    ]

    assert [step.code for step in steps] == [7, 7]
    assert lease_files(shell) == []


@pytest.mark.parametrize("other", ["session", "root"])
def test_check_marks_items_held_by_another_session(
    shell: Shell, bench: Bench, other: str
) -> None:
    held, queued = bench.item(), bench.item()
    shell.worker("get", held)
    second = (
        shell.having(AGENT_SESSION="second")
        if other == "session"
        else second_root(shell)
    )

    mine, theirs = shell.worker("check").stdout, second.worker("check").stdout

    ids = f"You have 2 assigned work items:\n  - {held}\n  - {queued}\n"
    row = f"  - {held} (priority 2, in_progress, 0%, claimed just now"
    assert mine.startswith(f"{ids}You hold:\n{row}) An item\n")
    assert theirs.startswith(
        f"{ids}You hold:\n{row}, held by another session) An item\n"
    )


def test_damaged_lease_file_holds_no_lease(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    shell.worker("get", item)
    lease_files(shell)[0].write_bytes(b'{"token": ')

    refused, taken = (
        shell.worker("progress", item, "x"),
        shell.worker("get", item, "--takeover"),
    )

    assert (refused.code, taken.code) == (6, 0)
    assert shell.worker("complete", item, "x").code == 0


@pytest.mark.parametrize(
    "words",
    [["progress", "{}", "x"], ["discover", "{}", "x"], ["blocker", "{}", "x"]],
)
def test_report_on_queued_item_claims_it(
    shell: Shell, bench: Bench, words: list[str]
) -> None:
    item = bench.item()

    ran = shell.worker(*(word.format(item) for word in words))

    assert "claimed in this step" in ran.stdout
    assert len(lease_files(shell)) == 1
    assert shell.worker("complete", item, "x").code == 0


def test_holder_of_cancelled_item_is_told_to_stop(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    shell.worker("get", item)
    bench.queue.cancel(item)

    ran = shell.worker("progress", item, "x")

    assert ran.code == 6
    assert f"{item} was cancelled" in ran.stderr
    assert "take other work" in ran.stderr
    assert lease_files(shell) == []


def test_repeated_complete_changes_nothing(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    shell.worker("complete", item, "first")

    again = shell.worker("complete", item, "first")
    other = shell.worker("complete", item, "second")

    assert (again.code, again.stdout) == (
        0,
        f"{item} was completed already; nothing changed.\n",
    )
    assert other.code == 5
    assert f"{item} is already completed" in other.stderr
    assert bench.queue.views.show(item).item.summary == "first"


def test_late_complete_of_unclaimed_item_is_accepted(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    shell.worker("get", item)
    bench.expire_lease(item)
    bench.queue.reap()

    late = shell.worker("complete", item, "finished after all")

    assert late.code == 0, late.stderr
    assert bench.state(item) is State.COMPLETED


def test_late_complete_of_reclaimed_item_is_refused(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    shell.worker("get", item)
    bench.expire_lease(item)
    bench.queue.reap()
    bench.end_delay(item)
    assert bench.claimed(item, session="second").token == 2

    late = shell.worker("complete", item, "too late")

    assert late.code == 6
    assert "take other work" in late.stderr


def test_folder_below_root_uses_its_queue(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    (shell.folder / ".task-orchestrator").mkdir()
    below = shell.within(shell.folder / "src" / "deep")
    below.folder.mkdir(parents=True)

    taken, done = (
        below.worker("get", item),
        shell.worker("complete", item, "x"),
    )

    assert (taken.code, done.code) == (0, 0)
    assert list(below.folder.iterdir()) == []


@pytest.fixture
def tree(shell: Shell) -> Shell:
    """Return a shell in a git worktree of the folder."""
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org")
    shell.run(*git, "init", "--quiet")
    shell.run(*git, "commit", "--quiet", "--allow-empty", "-m", "first")
    assert shell.run(*git, "worktree", "add", "--quiet", "../tree").code == 0
    return shell.within(shell.folder.parent / "tree")


def test_git_worktree_uses_queue_of_main_checkout(
    shell: Shell, tree: Shell, bench: Bench
) -> None:
    item = bench.item()

    taken, done = tree.worker("get", item), tree.worker("complete", item, "x")

    assert (taken.code, done.code) == (0, 0)
    assert tree.worker("whoami", "--json").data()["root"] == str(shell.folder)
    assert sorted(entry.name for entry in tree.folder.iterdir()) == [".git"]


def test_worktrees_are_sessions_with_separate_leases(
    shell: Shell, tree: Shell, bench: Bench
) -> None:
    item = bench.item()
    shell.worker("get", item)

    ran, refused, who = (
        tree.worker("prime"),
        tree.worker("complete", item, "x"),
        tree.worker("whoami"),
    )

    assert "held by another session of yours" in ran.stdout
    assert (refused.code, bench.state(item)) == (6, State.IN_PROGRESS)
    assert "  (the git worktree)" in who.stdout
    assert shell.worker("complete", item, "x").code == 0


@pytest.mark.parametrize(
    "variables", [{"AGENT_SESSION": "mine"}, {"AGENT_SESSION": ""}], ids=str
)
def test_agent_session_joins_two_worktrees(
    shell: Shell, tree: Shell, bench: Bench, variables: dict[str, str]
) -> None:
    item = bench.item()

    taken = shell.having(**variables).worker("get", item)
    done = tree.having(**variables).worker("complete", item, "x")

    assert (taken.code, done.code) == (0, 0)


@pytest.mark.parametrize("starts_in", ["checkout", "tree"])
def test_run_command_keeps_its_session_in_any_worktree(
    shell: Shell, tree: Shell, bench: Bench, starts_in: str
) -> None:
    item = bench.item()
    (start, other) = (
        (shell, tree) if starts_in == "checkout" else (tree, shell)
    )
    script = f"cd '{other.folder}' && worker whoami --json > who && worker complete {item} done"

    ran = start.having(PATH=f"{BIN}:/usr/bin:/bin").worker(
        "run", "--once", "--", "sh", "-c", script
    )

    within = json.loads((other.folder / "who").read_bytes())["data"]["session"]
    assert ran.code == 0, ran.stderr
    assert bench.queue.views.show(item).item.summary == "done"
    assert within == start.worker("whoami", "--json").data()["session"]


def test_whoami_prints_source_of_each_setting(shell: Shell) -> None:
    elsewhere = shell.folder / "elsewhere"
    (elsewhere / ".task-orchestrator").mkdir(parents=True)
    (elsewhere / ".task-orchestrator" / "config.toml").write_text(
        "namespace = 'filed'\n", encoding="utf-8"
    )
    rooted = shell.lacking("AGENT_ID", "TASKORCH_NAMESPACE").having(
        TASKORCH_ROOT=str(elsewhere), TM_AGENT_ID="tim"
    )
    rooted.orchestrate("trust", "--yes")

    facts, flagged = (
        rooted.worker("whoami", "--json").data(),
        rooted.worker("--agent-id", "flo", "whoami"),
    )

    assert (facts["root"], facts["sources"]["root"]) == (
        str(elsewhere),
        "TASKORCH_ROOT",
    )
    assert (facts["agent"], facts["sources"]["agent"]) == (
        "tim",
        "TM_AGENT_ID",
    )
    assert (facts["namespace"], facts["sources"]["namespace"]) == (
        "filed",
        "config.toml",
    )
    assert facts["sources"]["redis_url"] == "TASKORCH_REDIS_URL"
    assert flagged.stdout.splitlines()[0].split() == [
        "agent:",
        "flo",
        "(--agent-id)",
    ]


def test_whoami_as_json_has_source_of_each_setting(shell: Shell) -> None:
    variables = {
        "TASKORCH_WAIT_TIMEOUT": "7s",
        "TASKORCH_SERVICE": "off",
        "ORCHESTRATOR_ID": "boss",
    }

    facts = shell.having(**variables).worker("whoami", "--json").data()

    # the role sets the command of its service, not the user
    fields = set(Settings.__annotations__) - {"sources", "service_command"}
    settings = {
        name.removesuffix("_path").removesuffix("_ms") for name in fields
    }
    assert (
        settings | {"host", "pid"}
        == set(facts) - {"sources"}
        == set(facts["sources"])
    )
    assert (facts["wait_timeout"], facts["sources"]["wait_timeout"]) == (
        "7000ms",
        "TASKORCH_WAIT_TIMEOUT",
    )
    assert (facts["service"], facts["sources"]["service"]) == (
        "off",
        "TASKORCH_SERVICE",
    )
    assert (facts["orchestrator"], facts["sources"]["orchestrator"]) == (
        "boss",
        "ORCHESTRATOR_ID",
    )


def test_nearest_source_of_a_setting_wins(shell: Shell) -> None:
    url = shell.variables["TASKORCH_REDIS_URL"]
    many = shell.having(
        AGENT_ID="variable",
        TM_AGENT_ID="older",
        REDIS_URL="redis://localhost:1",
    )

    facts = many.worker(
        "--agent-id", "flag", "whoami", "--namespace", "team", "--json"
    ).data()

    assert (facts["agent"], facts["namespace"], facts["redis_url"]) == (
        "flag",
        "team",
        url,
    )
