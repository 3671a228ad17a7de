"""`worker run --worktree`: a git worktree and a branch for each item."""

import json
import shlex
import shutil
import signal
from pathlib import Path

import pytest
from support.builders import Bench
from support.commands import BIN, Shell, eventually
from support.runs import ONCE, UNTIL_GO, running, sh
from taskorch.domain.item import State

COMMITTER = {
    "GIT_AUTHOR_NAME": "x",
    "GIT_AUTHOR_EMAIL": "x@example.org",
    "GIT_COMMITTER_NAME": "x",
    "GIT_COMMITTER_EMAIL": "x@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}
IN_PATH = f"export PATH={BIN}:$PATH"
IN_TREES = (*ONCE, "--worktree")
COMMIT = "echo new > new && git add new && git commit --quiet -m new"


def git(shell: Shell, *words: str) -> str:
    """Run git, and return its output."""
    done = shell.run("git", *words)
    assert done.code == 0, done.stderr
    return done.stdout.removesuffix("\n")


def checkout(shell: Shell) -> Shell:
    """Make the folder of a shell a checkout with a commit, on branch main."""
    shell.folder.mkdir(exist_ok=True)
    git(shell, "init", "--quiet", "--initial-branch=main")
    (shell.folder / "src").mkdir()
    (shell.folder / "src" / "code").write_text("first\n", encoding="utf-8")
    git(shell, "add", "src")
    git(shell, "commit", "--quiet", "-m", "first")
    return shell


@pytest.fixture
def repo(shell: Shell) -> Shell:
    """Return a shell in a git checkout."""
    return checkout(shell.having(**COMMITTER))


def trees(shell: Shell) -> Path:
    """Return the folder of the worktrees."""
    return shell.folder / ".task-orchestrator" / "worktrees"


def names(shell: Shell) -> list[str]:
    """Return what is in that folder."""
    return sorted(path.name for path in trees(shell).iterdir())


def branches(shell: Shell) -> list[str]:
    """Return the local branches."""
    return git(shell, "branch", "--format=%(refname:short)").splitlines()


def is_untouched(shell: Shell) -> bool:
    """Return whether git knows no worktree, branch or file of ours."""
    return (
        git(shell, "worktree", "list", "--porcelain").count("worktree ") == 1
        and branches(shell) == ["main"]
        and git(shell, "status", "--porcelain") == ""
        and names(shell) == [".gitignore"]
    )


def test_item_gets_worktree_and_branch(repo: Shell, bench: Bench) -> None:
    item = bench.item()
    place = trees(repo) / item
    asks = "pwd; git branch --show-current; git rev-parse HEAD; echo $PWD; echo $TASKORCH_WORKTREE $TASKORCH_BRANCH"

    ran = repo.worker(*IN_TREES, *sh(f"({asks}) > $TASKORCH_ROOT/.git/said"))

    said = (repo.folder / ".git" / "said").read_text().splitlines()
    assert ran.code == 0, ran.stderr
    assert said == [
        str(place),
        item,
        git(repo, "rev-parse", "main"),
        str(place),
        f"{place} {item}",
    ]


@pytest.mark.parametrize("ending", ["echo done", "exit 1", "exit 75"])
def test_worktree_without_work_is_removed(
    repo: Shell, bench: Bench, ending: str
) -> None:
    item = bench.item()

    ran = repo.worker(*IN_TREES, *sh(ending))

    assert is_untouched(repo)
    assert bench.queue.views.show(item).item.deliverables == {}
    assert ran.stderr == ""


@pytest.mark.parametrize("change", ["echo new > new", COMMIT])
def test_work_is_kept_and_delivered(
    repo: Shell, bench: Bench, change: str
) -> None:
    item = bench.item()
    place = trees(repo) / item

    ran = repo.worker(*IN_TREES, *sh(f"{change}; echo done"))

    view = bench.queue.views.show(item).item
    ended = json.loads(ran.stdout.splitlines()[-1])
    assert view.deliverables == {"branch": item, "worktree": str(place)}
    assert (ended["branch"], ended["worktree"]) == (item, str(place))
    assert (place / "new").read_text() == "new\n"
    assert branches(repo) == [item, "main"]
    assert git(repo, "status", "--porcelain") == ""
    assert ran.stderr == (
        f"{item}: The work is in the git worktree {place}, branch {item}.\n"
    )


def test_given_deliverables_stay(repo: Shell, bench: Bench) -> None:
    item = bench.item()
    result = '{"deliverables": {"branch": "mine", "file": "new"}}'

    repo.worker(
        *IN_TREES, *sh(f"echo > new; echo '{result}' > $TASKORCH_RESULT_FILE")
    )

    assert bench.queue.views.show(item).item.deliverables == {
        "branch": "mine",
        "file": "new",
        "worktree": str(trees(repo) / item),
    }


def test_command_that_completes_delivers_its_worktree(
    repo: Shell, bench: Bench
) -> None:
    item, idle = bench.item(), bench.item()
    own = f"{IN_PATH}; worker complete $TASKORCH_ITEM_ID mine --deliverable file=new"
    script = f"test $TASKORCH_ITEM_ID = {idle} || echo > new; {own}"

    repo.worker("run", "--wait", "0", "--worktree", *sh(script))

    assert bench.queue.views.show(item).item.deliverables == {
        "branch": item,
        "file": "new",
        "worktree": str(trees(repo) / item),
    }
    assert bench.queue.views.show(idle).item.deliverables == {"file": "new"}
    assert branches(repo) == [item, "main"]


@pytest.mark.parametrize(
    "delivers",
    [
        """echo '{"deliverables": {"app": "app.bin"}}' > $TASKORCH_RESULT_FILE""",
        "worker complete $TASKORCH_ITEM_ID mine --deliverable app=app.bin",
    ],
    ids=["result file", "complete"],
)
@pytest.mark.parametrize("is_delivered", [True, False])
def test_ignored_file_is_kept_if_delivered(
    repo: Shell, bench: Bench, delivers: str, *, is_delivered: bool
) -> None:
    item = bench.item()
    (repo.folder / ".gitignore").write_text("*.bin\n", encoding="utf-8")
    git(repo, "add", ".gitignore")
    git(repo, "commit", "--quiet", "-m", "ignored")
    file = "app.bin" if is_delivered else "cache.bin"

    repo.worker(*IN_TREES, *sh(f"{IN_PATH}; echo > {file}; {delivers}"))

    view = bench.queue.views.show(item).item
    assert (trees(repo) / item / file).exists() is is_delivered
    assert ("worktree" in view.deliverables) is is_delivered


@pytest.mark.parametrize(
    "ending",
    [
        "exit 3",
        "exit 75",
        f"{IN_PATH}; worker fail $TASKORCH_ITEM_ID why",
    ],
)
def test_report_of_a_failure_names_the_work(
    repo: Shell, bench: Bench, ending: str
) -> None:
    item = bench.item()

    ran = repo.worker(*IN_TREES, *sh(f"echo > new; {ending}"))

    last = bench.queue.views.show(item).history[-1]
    assert last.kind in ("fail", "release")
    assert last.text.endswith(
        f"The work is in the git worktree {trees(repo) / item}, branch {item}."
    )
    assert json.loads(ran.stdout.splitlines()[-1])["text"] == last.text
    assert ran.stderr == ""


def test_failure_without_a_reason_is_still_refused(
    repo: Shell, bench: Bench
) -> None:
    item = bench.item()

    repo.worker(
        *IN_TREES,
        *sh(f"{IN_PATH}; echo > new; worker fail {item} ''; echo code $?"),
    )

    assert bench.queue.views.show(item).item.summary == "code 5"


def test_next_attempt_continues_the_work(repo: Shell, bench: Bench) -> None:
    item = bench.item()
    repo.worker(*IN_TREES, *sh(f"{COMMIT}; echo more >> new; exit 75"))

    repo.worker(*IN_TREES, *sh("git log --format=%s | head -1"))

    view = bench.queue.views.show(item).item
    assert (trees(repo) / item / "new").read_text() == "new\nmore\n"
    assert view.summary == "new"
    assert view.deliverables["branch"] == item
    assert names(repo) == [".gitignore", item]


def test_branch_is_continued_without_its_worktree(
    repo: Shell, bench: Bench
) -> None:
    item = bench.item()
    repo.worker(*IN_TREES, *sh(f"{COMMIT}; exit 75"))
    git(repo, "worktree", "remove", str(trees(repo) / item))

    repo.worker(*IN_TREES, *sh("cat new"))

    assert bench.queue.views.show(item).item.summary == "new"


def test_deleted_worktree_is_made_again(repo: Shell, bench: Bench) -> None:
    item = bench.item()
    repo.worker(*IN_TREES, *sh("echo > new; exit 75"))
    repo.run("rm", "-r", str(trees(repo) / item))

    ran = repo.worker(*IN_TREES, *sh("test ! -e new; echo $?"))

    assert ran.code == 0, ran.stderr
    assert is_untouched(repo)


def test_merged_work_is_not_continued(repo: Shell, bench: Bench) -> None:
    item = bench.item()
    repo.worker(*IN_TREES, *sh(f"{COMMIT}; echo done"))
    git(repo, "merge", "--quiet", item)
    (repo.folder / "src" / "code").write_text("second\n", encoding="utf-8")
    git(repo, "commit", "--quiet", "--all", "-m", "second")
    bench.queue.requeue(item)

    repo.worker(*IN_TREES, *sh("cat src/code"))

    assert bench.queue.views.show(item).item.summary == "second"
    assert is_untouched(repo)


def test_worktree_begins_at_the_current_commit(
    repo: Shell, bench: Bench
) -> None:
    item = bench.item()
    git(repo, "checkout", "--quiet", "--detach")
    (repo.folder / "src" / "code").write_text("detached\n", encoding="utf-8")
    git(repo, "commit", "--quiet", "--all", "-m", "detached")

    ran = repo.worker(*IN_TREES, *sh("git branch | grep '*'; cat src/code"))

    assert ran.code == 0, ran.stderr
    assert bench.queue.views.show(item).item.summary == f"* {item}\ndetached"


def test_branch_checked_out_elsewhere_is_left_alone(
    repo: Shell, bench: Bench
) -> None:
    item = bench.item()
    git(repo, "checkout", "--quiet", "-b", item)

    ran = repo.worker(*IN_TREES, *sh("git branch --show-current"))

    assert ran.code == 0, ran.stderr
    assert bench.queue.views.show(item).item.summary == f"{item}-2"
    assert branches(repo) == [item, "main"]


def test_branch_with_commits_of_a_user_stays(
    repo: Shell, bench: Bench
) -> None:
    item = bench.item()
    git(repo, "checkout", "--quiet", "-b", item)
    git(repo, "commit", "--quiet", "--allow-empty", "-m", "theirs")
    git(repo, "checkout", "--quiet", "main")

    repo.worker(*IN_TREES, *sh("git log --format=%s | head -1"))

    assert bench.queue.views.show(item).item.summary == "theirs"
    assert branches(repo) == [item, "main"]


def test_foreign_folder_is_left_alone(repo: Shell, bench: Bench) -> None:
    item = bench.item()
    foreign = trees(repo) / item
    foreign.mkdir(parents=True)
    (foreign / "file").write_text("theirs", encoding="utf-8")

    repo.worker(*IN_TREES, *sh("pwd"))

    assert bench.queue.views.show(item).item.summary == f"{foreign}-2"
    assert (foreign / "file").read_text() == "theirs"


def test_command_starts_in_its_folder_of_worktree(
    repo: Shell, bench: Bench
) -> None:
    item = bench.item()
    below = repo.within(repo.folder / "src").having(
        TASKORCH_ROOT=str(repo.folder)
    )
    (repo.folder / "src" / "agent.sh").write_text("#!/bin/sh\ncat code")
    (repo.folder / "src" / "agent.sh").chmod(0o755)

    ran = below.worker("run", "--once", "--worktree", "--", "./agent.sh")

    assert ran.code == 0, ran.stderr
    assert bench.queue.views.show(item).item.summary == "first"


def test_slots_have_worktrees_of_their_own(repo: Shell, bench: Bench) -> None:
    items = [bench.item() for _ in range(6)]
    script = "pwd > where; cat where"

    ran = repo.worker(
        "run", "--pool", "3", "--wait", "0", "--worktree", *sh(script)
    )

    assert ran.code == 0, ran.stderr
    assert [bench.queue.views.show(item).item.summary for item in items] == [
        str(trees(repo) / item) for item in items
    ]
    assert git(repo, "status", "--porcelain") == ""


def having_git(shell: Shell, folder: Path, script: str) -> Shell:
    """Return a shell in which git is a script; `{git}` in it is the real one."""
    folder.mkdir()
    program = folder / "git"
    program.write_text(
        script.format(folder=folder, git=shutil.which("git")), encoding="utf-8"
    )
    program.chmod(0o755)
    return shell.having(PATH=f"{folder}:{shell.environment()['PATH']}")


#: A git that takes long to make a worktree, and fails if another one lists them then, as
#: git does if it finds an unfinished record.
SLOW_GIT = """#!/bin/sh
making="{folder}/making"
case "$*" in
*"worktree add"*)
  mkdir "$making" || exit 128
  sleep 0.3
  "{git}" "$@"
  status=$?
  rmdir "$making"
  exit $status;;
*worktreepath* | *"worktree remove"*) test ! -e "$making" || exit 128;;
esac
exec "{git}" "$@"
"""
#: A git that lists no worktrees once an attempt has begun.
FAILING_GIT = """#!/bin/sh
case "$*" in
*worktreepath*) test ! -e "{folder}/begun" || exit 128;;
esac
exec "{git}" "$@"
"""


def test_slots_make_their_worktrees_in_turn(
    repo: Shell, bench: Bench, tmp_path: Path
) -> None:
    items = [bench.item() for _ in range(3)]
    shell = having_git(repo, tmp_path / "programs", SLOW_GIT)

    ran = shell.worker(*IN_TREES, "--pool", "3", "--", "true")

    assert ran.code == 0, ran.stdout
    assert {bench.state(item) for item in items} == {State.COMPLETED}
    assert is_untouched(repo)


def test_item_is_completed_if_git_fails_afterwards(
    repo: Shell, bench: Bench, tmp_path: Path
) -> None:
    item = bench.item()
    shell = having_git(repo, tmp_path / "programs", FAILING_GIT)

    ran = shell.worker(*IN_TREES, *sh(f"touch {tmp_path}/programs/begun"))

    done = bench.queue.views.show(item).item
    assert (ran.code, done.state) == (0, State.COMPLETED)
    assert done.deliverables["worktree"] == str(trees(repo) / item)


def test_lost_item_gets_another_worktree(repo: Shell, bench: Bench) -> None:
    item = bench.item()
    with running(
        repo, "--worktree", "--lease", "1s", "--grace", "1m", *sh(UNTIL_GO)
    ) as run:
        eventually((repo.folder / "begun").exists)
        run.suspend(bench)
        bench.expire_lease(item)
        bench.queue.reap()
        bench.end_delay(item)

        repo.worker(*IN_TREES, *sh("pwd"))

        (repo.folder / "go").touch()
        run.send(signal.SIGCONT)
        run.wait_for("lost")

    assert (
        bench.queue.views.show(item).item.summary == f"{trees(repo) / item}-2"
    )


@pytest.mark.parametrize("change", ["", "echo new > new; "])
def test_next_run_cleans_up_after_a_killed_one(
    repo: Shell, bench: Bench, change: str
) -> None:
    item = bench.item()
    with running(repo, "--worktree", *sh(f"{change}{UNTIL_GO}")):
        eventually((repo.folder / "begun").exists)
    (repo.folder / "begun").unlink()
    bench.queue.assign(item, "bob", force=True)

    ran = repo.worker("run", "--worktree", "--once", "--", "true")

    assert (ran.code, names(repo)) == (
        8,
        [".gitignore", item] if change else [".gitignore"],
    )
    if change:
        assert (
            f"An earlier run was killed. The work is in the git worktree {trees(repo) / item}"
            in ran.stderr
        )
    else:
        assert is_untouched(repo)


def test_unfilled_worktree_is_made_again(repo: Shell, bench: Bench) -> None:
    item = bench.item()
    place = trees(repo) / item
    place.parent.mkdir(parents=True)
    (place.parent.parent / ".gitignore").write_text("*")
    git(repo, "worktree", "add", "--quiet", "-b", item, str(place))
    (repo.folder / ".git" / "worktrees" / item / "locked").write_text(
        "initializing"
    )
    (place / "src" / "code").unlink()

    repo.worker(*IN_TREES, *sh("cat src/code"))

    assert bench.queue.views.show(item).item.summary == "first"
    assert is_untouched(repo)


def test_hooks_of_the_repository_do_not_run(repo: Shell, bench: Bench) -> None:
    bench.item()
    monitor = repo.folder / ".git" / "monitor"
    for hook in (repo.folder / ".git" / "hooks" / "post-checkout", monitor):
        hook.write_text(f"#!/bin/sh\necho >> {repo.folder}/.git/ran\n")
        hook.chmod(0o755)
    git(repo, "config", "core.fsmonitor", str(monitor))

    ran = repo.worker(*IN_TREES, *sh("echo > new; echo done"))

    assert ran.code == 0, ran.stderr
    assert not (repo.folder / ".git" / "ran").exists()


def test_run_in_git_hook_uses_own_checkout(
    repo: Shell, bench: Bench, tmp_path: Path
) -> None:
    item = bench.item()
    other = checkout(repo.within(tmp_path / "other"))
    within_hook = repo.having(
        GIT_DIR=str(other.folder / ".git"), GIT_INDEX_FILE="index"
    )

    ran = within_hook.worker(*IN_TREES, *sh(COMMIT))

    assert ran.code == 0, ran.stderr
    assert branches(repo) == [item, "main"]
    assert branches(other) == ["main"]


def test_worktree_uses_queue_and_session_of_the_run(
    repo: Shell, bench: Bench
) -> None:
    item = bench.item()
    script = (
        f"{IN_PATH}; worker whoami --json; worker progress {item} half >&2"
    )

    ran = repo.having(AGENT_SESSION="mine").worker(*IN_TREES, *sh(script))

    view = bench.queue.views.show(item)
    who = json.loads(view.item.summary)["data"]
    assert ran.code == 0, ran.stderr
    assert (who["root"], who["session"]) == (str(repo.folder), "mine")
    assert view.history[0].text == "half"


def test_run_in_worktree_uses_main_root(repo: Shell, bench: Bench) -> None:
    item = bench.item()
    git(repo, "worktree", "add", "--quiet", "-b", "users", "../users")
    users = repo.within(repo.folder.parent / "users")
    git(users, "commit", "--quiet", "--allow-empty", "-m", "theirs")

    users.worker(*IN_TREES, *sh("pwd > where; git log --format=%s | head -1"))

    assert bench.queue.views.show(item).item.summary == "theirs"
    assert (trees(repo) / item / "where").read_text() == (
        f"{trees(repo) / item}\n"
    )


def test_paths_with_spaces_are_fine(
    shell: Shell, bench: Bench, tmp_path: Path
) -> None:
    item = bench.item()
    repo = checkout(
        shell.having(**COMMITTER).within(tmp_path / "a 'b' \"c\" ünd")
    )

    ran = repo.worker(*IN_TREES, *sh("pwd > where; echo done"))

    assert ran.code == 0, ran.stderr
    assert bench.queue.views.show(item).item.deliverables == {
        "branch": item,
        "worktree": str(trees(repo) / item),
    }


def test_link_for_the_worktrees_is_refused(
    repo: Shell, bench: Bench, tmp_path: Path
) -> None:
    item = bench.item()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    trees(repo).parent.mkdir()
    trees(repo).symlink_to(elsewhere)

    ran = repo.worker(*IN_TREES, "--", "true")

    assert (ran.code, ran.error()["code"]) == (5, "ROOT_NOT_WRITABLE")
    assert bench.state(item) is State.QUEUED
    assert list(elsewhere.iterdir()) == []


def test_stopped_run_keeps_the_work(repo: Shell, bench: Bench) -> None:
    item = bench.item()
    with running(repo, "--worktree", *sh(f"echo > new; {UNTIL_GO}")) as run:
        eventually((repo.folder / "begun").exists)
        run.send(signal.SIGINT)
        eventually(lambda: "Stopping" in run.stderr())
        run.send(signal.SIGINT)
        run.exit_code()

        assert run.last_entry()["event"] == "released"
    last = bench.queue.views.show(item).history[-1]
    assert last.text == (
        "the worker was stopped\n"
        f"The work is in the git worktree {trees(repo) / item}, branch {item}."
    )


def _unborn(shell: Shell) -> None:
    git(shell, "init", "--quiet")


def _bare(shell: Shell) -> None:
    git(shell, "init", "--quiet", "--bare")


def _nothing(shell: Shell) -> None:
    pass


@pytest.mark.parametrize(
    "case",
    [
        (_nothing, "/usr/bin:/bin", "not a git repository"),
        (_unborn, "/usr/bin:/bin", "the repository has no commit yet"),
        (_bare, "/usr/bin:/bin", "it is a bare repository"),
        (_unborn, "", "git is not installed"),
    ],
    ids=["no checkout", "no commit", "bare", "no git"],
)
def test_folder_without_worktrees_is_refused(
    shell: Shell, bench: Bench, case: tuple[object, str, str]
) -> None:
    prepare, path, reason = case
    item = bench.item()
    prepare(shell.having(**COMMITTER))  # type: ignore[operator]

    ran = shell.having(PATH=path).worker(*IN_TREES, "--", "/bin/echo", "never")

    error = ran.error()
    assert (ran.code, error["code"]) == (5, "NO_WORKTREE")
    assert reason in error["message"]
    assert bench.state(item) is State.QUEUED
    assert not (shell.folder / ".task-orchestrator" / "worktrees").exists()


def test_worktree_that_cannot_be_made_releases_the_item(
    repo: Shell, bench: Bench
) -> None:
    item = bench.item()
    git(repo, "branch", f"{item}/in-the-way")

    ran = repo.worker(*IN_TREES, *sh("echo never"))

    view = bench.queue.views.show(item)
    assert (ran.code, view.item.state, view.item.attempts) == (
        8,
        State.QUEUED,
        0,
    )
    assert "the git worktree could not be made: " in view.history[-1].text
    assert branches(repo) == [f"{item}/in-the-way", "main"]
    assert names(repo) == [".gitignore"]


def test_several_slots_in_a_checkout_are_refused(
    repo: Shell, bench: Bench
) -> None:
    item = bench.item()

    ran = repo.worker(*ONCE, "--pool", "2", "--", "true")

    error = ran.error()
    assert (ran.code, error["code"]) == (2, "SHARED_CHECKOUT")
    assert str(repo.folder) in error["message"]
    assert "--worktree" in error["hint"]
    assert "--shared" in error["hint"]
    assert bench.state(item) is State.QUEUED


@pytest.mark.parametrize(
    "options", [("--pool", "2", "--shared"), ("--pool", "1"), ("--shared",)]
)
def test_slots_may_share_a_checkout(
    repo: Shell, bench: Bench, options: tuple[str, ...]
) -> None:
    item = bench.item()

    ran = repo.worker(*ONCE, *options, *sh("pwd"))

    assert ran.code == 0, ran.stderr
    assert bench.queue.views.show(item).item.summary == str(repo.folder)


def test_worktree_and_shared_exclude_each_other(shell: Shell) -> None:
    ran = shell.worker("run", "--worktree", "--shared", "--", "true")

    assert (ran.code, ran.stderr.splitlines()[0]) == (
        2,
        "Error: --worktree and --shared exclude each other.",
    )


def test_nested_run_is_not_in_the_outer_worktree(
    repo: Shell, bench: Bench
) -> None:
    bench.item(title="outer")
    inner = "printf '%s' \"[$TASKORCH_WORKTREE]\" > $TASKORCH_ROOT/.git/said"
    command = f"{IN_PATH}; worker run --once -- sh -c {shlex.quote(inner)}"
    bench.item(title="inner")

    ran = repo.worker(*IN_TREES, *sh(command))

    assert ran.code == 0, ran.stderr
    assert (repo.folder / ".git" / "said").read_text() == "[]"
