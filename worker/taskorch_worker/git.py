"""Runs git for `worker run --worktree`, without the hooks of the repository."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen

#: A checkout may come from a stranger, with programs that git would start.
WITHOUT_PROGRAMS = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
)
#: Variables that lead git to another repository than that of its folder. A hook of git
#: has them.
PLACES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
)
#: The ref of a worktree, not of its repository, for the commit it began with.
BASE = "refs/worktree/taskorch-base"
#: The same for a worktree with a file that was delivered: git may ignore the file.
DELIVERED = "refs/worktree/taskorch-delivered"


class GitFailed(Exception):
    """A git command failed; the message is the reason."""


class Work(Frozen):
    """The work that an attempt has left in its worktree."""

    tree: Path
    #: The branch that is checked out, "" for a detached HEAD.
    branch: str

    def deliverables(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """Return deliverables with the branch and the worktree.

        Given ones with these names stay, and so does everything without room for more.
        """
        named = {"branch": self.branch, "worktree": str(self.tree)}
        ours = {name: _text(value) for name, value in named.items() if value}
        deliverables = {**ours, **given}
        try:
            limits.pairs(deliverables, "deliverables", "deliverables")
        except errors.Invalid:
            return given
        return deliverables

    def added_to(self, reason: str) -> str:
        """Return a reason with the sentence, if it is a valid one with room for it."""
        text = f"{reason}\n{self.sentence()}"
        try:
            limits.text(reason, "reason", required=True)
            return limits.text(text, "reason")
        except errors.Invalid:
            return reason

    def sentence(self) -> str:
        """Return where the work is."""
        places = [f"git worktree {self.tree}"]
        if self.branch:
            places.append(f"branch {self.branch}")
        return _text(f"The work is in the {', '.join(places)}.")


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, and return its output without the last line break.

    Raises GitFailed, also if git is not installed.
    """
    environment = {
        name: value for name, value in os.environ.items() if name not in PLACES
    }
    environment |= {
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
    }
    try:
        done = subprocess.run(
            ["git", *WITHOUT_PROGRAMS, *words],  # noqa: S607  the user's git
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            # Ctrl-C is for the run, which lets its attempts finish.
            start_new_session=True,
        )
    except OSError as error:
        if isinstance(error, FileNotFoundError) and folder.is_dir():
            raise GitFailed("git is not installed") from None
        raise GitFailed(f"git cannot be started: {error}") from None
    if done.returncode:
        raise GitFailed(_reason(done))
    return os.fsdecode(done.stdout).removesuffix("\n")


def work_in(tree: Path, branch: str, *merged: str) -> Work | None:
    """Return the changes and commits in a worktree, None if there are none.

    `branch` was made for it. Commits of its base, and of `merged`, do not count.
    Untracked files are changes, ignored files only if they were delivered.
    """
    if not _has_work(tree, branch, merged):
        return None
    return Work(tree=tree, branch=branch_of(tree))


def keep_delivered(
    tree: Path, folder: Path, deliverables: Mapping[str, str]
) -> None:
    """Have a worktree kept if a deliverable is the path of a file in it.

    A relative path begins at `folder` or at the top of the worktree.
    """
    paths = deliverables.values()
    if any(
        _is_file_in(tree, place / path)
        for path in paths
        for place in (folder, tree)
    ):
        with suppress(GitFailed):
            git(tree, "update-ref", DELIVERED, "HEAD")


def _is_file_in(tree: Path, path: Path) -> bool:
    try:
        real = path.resolve()
        return real.is_file() and real.is_relative_to(tree.resolve())
    except (OSError, ValueError):  # it is not a path: too long, or with NUL
        return False


def _has_work(tree: Path, branch: str, merged: Sequence[str]) -> bool:
    """Return whether a worktree has work. In doubt, it has."""
    try:
        status = git(
            tree,
            "status",
            "--porcelain",
            "--untracked-files=normal",
            "--ignore-submodules=none",
        )
        tips = ("HEAD", branch_ref(branch))
        return bool(
            status
            or git(tree, "for-each-ref", DELIVERED)
            or has_commits(tree, *tips, without=merged)
        )
    except GitFailed:
        return True


def has_commits(tree: Path, *tips: str, without: Sequence[str] = ()) -> bool:
    """Return whether commits or refs, those that exist, are ahead of the base.

    Raises GitFailed, also if the worktree has no base.
    """
    ahead = git(
        tree,
        "rev-list",
        "--max-count=1",
        "--ignore-missing",
        *tips,
        "--not",
        BASE,
        *without,
        "--",
    )
    return bool(ahead)


def branch_of(tree: Path) -> str:
    """Return the branch that is checked out, "" for a detached HEAD."""
    try:
        return git(tree, "symbolic-ref", "--quiet", "--short", "HEAD")
    except GitFailed:
        return ""


def branch_ref(branch: str) -> str:
    """Return the full name of a branch."""
    return f"refs/heads/{branch}"


def _text(value: str) -> str:
    """Return text in which other bytes than UTF-8 are replaced."""
    return os.fsencode(value).decode(errors="replace")


def _reason(done: "subprocess.CompletedProcess[bytes]") -> str:
    """Return the last line of git that says why it failed."""
    lines = done.stderr.decode(errors="replace").splitlines()
    for line in reversed(lines):
        for mark in ("fatal: ", "error: "):
            if line.startswith(mark):
                return line.removeprefix(mark)
    return lines[-1] if lines else f"git ended with status {done.returncode}"
