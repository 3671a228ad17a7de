"""Who is the holder: one root is one session, `AGENT_SESSION` makes two of it, and a second root is another."""

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


def test_the_processes_of_one_root_are_one_holder(shell: Shell, bench: Bench) -> None:
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
def test_another_session_is_refused_and_told_who_holds_the_item(
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

    refused = [second.worker(verb, item, "x") for verb in ("progress", "complete")]
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


def test_a_takeover_makes_the_first_session_lose_its_lease(
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
    assert [(ran.code, ran.error()["code"]) for ran in late] == [(6, "LEASE_LOST")] * 2
    assert second.worker("complete", item, "done").code == 0
    assert bench.queue.views.show(item).item.summary == "done"


def test_a_session_that_lost_its_lease_may_take_the_item_again_when_it_is_queued(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    shell.worker("get", item)
    bench.queue.assign(item, "bob", force=True)
    bench.queue.assign(item, "ada")

    ran = shell.worker("get", item)

    assert ran.code == 0, ran.stderr
    assert shell.worker("complete", item, "x").code == 0


def test_the_token_is_kept_for_the_agent_alone(shell: Shell, bench: Bench) -> None:
    item = bench.item()

    shell.having(AGENT_SESSION="one").worker("pop")

    file = shell.folder / ".task-orchestrator" / "workspace" / "ada" / f"{item}.lease"
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
def test_the_token_goes_when_the_item_is_given_up(
    shell: Shell, bench: Bench, words: list[str]
) -> None:
    item = bench.item()
    shell.worker("get", item)
    assert lease_files(shell)

    ran = shell.worker(*(word.format(item) for word in words))

    assert ran.code == 0, ran.stderr
    assert lease_files(shell) == []


def test_the_token_goes_when_the_item_is_anothers(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    shell.worker("get", item)
    bench.queue.assign(item, "bob", force=True)

    steps = [shell.worker("progress", item, "x"), shell.worker("progress", item, "x")]

    assert [step.code for step in steps] == [7, 7]
    assert lease_files(shell) == []


@pytest.mark.parametrize("other", ["session", "root"])
def test_check_says_what_another_session_holds(
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

    assert mine == f"You have 2 assigned work items:\n  - {held}\n  - {queued}\n"
    assert (
        theirs
        == f"You have 2 assigned work items:\n  - {held} (held by another session)\n  - {queued}\n"
    )


def test_a_damaged_lease_file_is_a_token_that_is_lost(
    shell: Shell, bench: Bench
) -> None:
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
    "words", [["progress", "{}", "x"], ["discover", "{}", "x"], ["blocker", "{}", "x"]]
)
def test_a_report_on_a_queued_item_claims_it_and_keeps_its_token(
    shell: Shell, bench: Bench, words: list[str]
) -> None:
    item = bench.item()

    ran = shell.worker(*(word.format(item) for word in words))

    assert "claimed in this step" in ran.stdout
    assert len(lease_files(shell)) == 1
    assert shell.worker("complete", item, "x").code == 0


def test_the_holder_of_a_cancelled_item_is_told_to_stop(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    shell.worker("get", item)
    bench.queue.cancel(item)

    told = shell.worker("progress", item, "x")

    assert told.code == 6
    assert f"{item} was cancelled" in told.stderr
    assert "take other work" in told.stderr
    assert lease_files(shell) == []


def test_a_repeated_complete_is_harmless_and_says_so(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    shell.worker("complete", item, "first")

    again = shell.worker("complete", item, "second")

    assert (again.code, again.stdout) == (
        0,
        f"{item} was completed already; nothing changed.\n",
    )
    assert bench.queue.views.show(item).item.summary == "first"


def test_a_late_complete_is_taken_while_nobody_else_has_claimed_the_item(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    shell.worker("get", item)
    bench.let_lease_run_out(item)
    bench.queue.reap()

    late = shell.worker("complete", item, "finished after all")

    assert late.code == 0, late.stderr
    assert bench.state(item) is State.COMPLETED


def test_a_complete_is_too_late_once_another_session_has_claimed_the_item(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    shell.worker("get", item)
    bench.let_lease_run_out(item)
    bench.queue.reap()
    bench.let_delay_pass(item)
    assert bench.claimed(item, session="second").token == 2

    late = shell.worker("complete", item, "too late")

    assert late.code == 6
    assert "take other work" in late.stderr


def test_a_folder_below_the_root_belongs_to_it(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    (shell.folder / ".task-orchestrator").mkdir()
    below = shell.within(shell.folder / "src" / "deep")
    below.folder.mkdir(parents=True)

    taken, done = below.worker("get", item), shell.worker("complete", item, "x")

    assert (taken.code, done.code) == (0, 0)
    assert list(below.folder.iterdir()) == []


@pytest.fixture
def tree(shell: Shell) -> Shell:
    """A git worktree of the folder."""
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org")
    shell.run(*git, "init", "--quiet")
    shell.run(*git, "commit", "--quiet", "--allow-empty", "-m", "first")
    assert shell.run(*git, "worktree", "add", "--quiet", "../tree").code == 0
    return shell.within(shell.folder.parent / "tree")


def test_a_git_worktree_belongs_to_its_main_checkout(
    shell: Shell, tree: Shell, bench: Bench
) -> None:
    item = bench.item()

    taken, done = tree.worker("get", item), tree.worker("complete", item, "x")

    assert (taken.code, done.code) == (0, 0)
    assert tree.worker("whoami", "--json").data()["root"] == str(shell.folder)
    assert sorted(entry.name for entry in tree.folder.iterdir()) == [".git"]


def test_two_worktrees_are_two_sessions_and_neither_completes_what_the_other_holds(
    shell: Shell, tree: Shell, bench: Bench
) -> None:
    item = bench.item()
    shell.worker("get", item)

    told, refused, who = (
        tree.worker("prime"),
        tree.worker("complete", item, "x"),
        tree.worker("whoami"),
    )

    assert "held by another session of yours" in told.stdout
    assert (refused.code, bench.state(item)) == (6, State.IN_PROGRESS)
    assert "  (the git worktree)" in who.stdout
    assert shell.worker("complete", item, "x").code == 0


@pytest.mark.parametrize(
    "variables", [{"AGENT_SESSION": "mine"}, {"AGENT_SESSION": ""}], ids=str
)
def test_one_session_in_two_worktrees_says_so(
    shell: Shell, tree: Shell, bench: Bench, variables: dict[str, str]
) -> None:
    item = bench.item()

    taken = shell.having(**variables).worker("get", item)
    done = tree.having(**variables).worker("complete", item, "x")

    assert (taken.code, done.code) == (0, 0)


@pytest.mark.parametrize("starts_in", ["checkout", "tree"])
def test_a_command_of_run_is_the_session_of_its_run_in_any_worktree(
    shell: Shell, tree: Shell, bench: Bench, starts_in: str
) -> None:
    item = bench.item()
    (start, other) = (shell, tree) if starts_in == "checkout" else (tree, shell)
    script = f"cd '{other.folder}' && worker whoami --json > who && worker complete {item} done"

    ran = start.having(PATH=f"{BIN}:/usr/bin:/bin").worker(
        "run", "--once", "--", "sh", "-c", script
    )

    within = json.loads((other.folder / "who").read_bytes())["data"]["session"]
    assert ran.code == 0, ran.stderr
    assert bench.queue.views.show(item).item.summary == "done"
    assert within == start.worker("whoami", "--json").data()["session"]


def test_whoami_says_where_each_setting_comes_from(shell: Shell) -> None:
    elsewhere = shell.folder / "elsewhere"
    (elsewhere / ".task-orchestrator").mkdir(parents=True)
    (elsewhere / ".task-orchestrator" / "config.toml").write_text(
        "namespace = 'filed'\n", encoding="utf-8"
    )
    rooted = shell.lacking("AGENT_ID", "TASKORCH_NAMESPACE").having(
        TASKORCH_ROOT=str(elsewhere), TM_AGENT_ID="tim"
    )
    rooted.orchestrate("trust", "--yes")

    told, flagged = (
        rooted.worker("whoami", "--json").data(),
        rooted.worker("--agent-id", "flo", "whoami"),
    )

    assert (told["root"], told["sources"]["root"]) == (str(elsewhere), "TASKORCH_ROOT")
    assert (told["agent"], told["sources"]["agent"]) == ("tim", "TM_AGENT_ID")
    assert (told["namespace"], told["sources"]["namespace"]) == ("filed", "config.toml")
    assert told["sources"]["redis_url"] == "TASKORCH_REDIS_URL"
    assert flagged.stdout.splitlines()[0].split() == ["agent:", "flo", "(--agent-id)"]


def test_whoami_shows_every_setting_with_its_source(shell: Shell) -> None:
    said = {
        "TASKORCH_WAIT_TIMEOUT": "7s",
        "TASKORCH_SERVICE": "off",
        "ORCHESTRATOR_ID": "boss",
    }

    told = shell.having(**said).worker("whoami", "--json").data()

    settings = {
        name.removesuffix("_path").removesuffix("_ms")
        for name in Settings.__annotations__
    } - {"sources"}
    assert settings | {"host", "pid"} == set(told) - {"sources"} == set(told["sources"])
    assert (told["wait_timeout"], told["sources"]["wait_timeout"]) == (
        "7000ms",
        "TASKORCH_WAIT_TIMEOUT",
    )
    assert (told["service"], told["sources"]["service"]) == ("off", "TASKORCH_SERVICE")
    assert (told["orchestrator"], told["sources"]["orchestrator"]) == (
        "boss",
        "ORCHESTRATOR_ID",
    )


def test_the_nearer_setting_wins(shell: Shell) -> None:
    url = shell.variables["TASKORCH_REDIS_URL"]
    many = shell.having(
        AGENT_ID="variable", TM_AGENT_ID="older", REDIS_URL="redis://localhost:1"
    )

    told = many.worker(
        "--agent-id", "flag", "whoami", "--namespace", "team", "--json"
    ).data()

    assert (told["agent"], told["namespace"], told["redis_url"]) == (
        "flag",
        "team",
        url,
    )
