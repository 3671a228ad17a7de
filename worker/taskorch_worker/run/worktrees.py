"""The git worktrees of `worker run --worktree`: one for each item that it works on.

.task-orchestrator/worktrees/<item>/         the worktree, with a branch of that name
.task-orchestrator/worktrees/.<item>.lock    locked by the attempt that works in it

An attempt continues in the worktree that an earlier one has left. If another process
works in it, or if it belongs to another repository, the name is <item>-2, and so on.
A worktree without changes and commits is removed with its branch. A lock file that is
not locked belongs to a killed run: the next run looks at its worktree.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from taskorch.config import files, root_folder
from taskorch.config.settings import Settings
from taskorch.domain import errors

from taskorch_worker.git import (
    BASE,
    GitFailed,
    Work,
    branch_ref,
    git,
    has_commits,
    keep_delivered,
    work_in,
)

#: Attempts at one item that are alive, and repositories that share a root.
MOST_PER_ITEM = 9
IGNORE_ALL = "*\n"
NO_CHECKOUT = "it is a bare repository, or a folder of git itself"
NO_COMMIT = "the repository has no commit yet"


class Worktree:
    """The worktree of one attempt, locked until it is closed."""

    def __init__(
        self,
        repository: "Repository",
        tree: Path,
        lock: "TreeLock",
        *,
        continues: bool,
    ) -> None:
        """`continues` tells whether an earlier attempt has left work in it."""
        self._repository = repository
        self._lock = lock
        self.tree = tree
        #: The name of the branch that was made for the item.
        self.branch = tree.name
        self.continues = continues

    @property
    def folder(self) -> Path:
        """Return the folder for the command: that of the run, within the worktree."""
        folder = self.tree / self._repository.prefix
        return folder if folder.is_dir() else self.tree

    def command(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Return the command; one that only the folder of the run has, by its path."""
        program, *rest = words
        is_path = os.sep in program
        if is_path and not (self.folder / program).exists():
            program = str(self._repository.folder / program)
        return (program, *rest)

    def close(self, deliverables: Mapping[str, str]) -> Work | None:
        """Return what is left in the worktree; without work, remove it and its branch.

        The command must have ended. Files among its `deliverables` are kept.
        """
        try:
            keep_delivered(self.tree, self.folder, deliverables)
            work = work_in(self.tree, self.branch)
            if work is None:
                self._repository.remove(self.tree)
        except (GitFailed, OSError):  # it cannot be removed
            return Work(tree=self.tree, branch=self.branch)
        else:
            return work
        finally:
            self._lock.release()


class Repository:
    """The repository of the folder in which the run was started."""

    def __init__(self, folder: Path) -> None:
        """Raise errors.NoWorktree if no worktree can be made of the folder's checkout."""
        self.folder = folder
        try:
            is_within = git(folder, "rev-parse", "--is-inside-work-tree")
            #: The path from the top of the checkout to the folder.
            self.prefix = git(folder, "rev-parse", "--show-prefix")
            common = git(folder, "rev-parse", "--git-common-dir")
        except GitFailed as error:
            raise _no_worktree(folder, str(error)) from None
        self._common = folder / common
        if is_within != "true":
            raise _no_worktree(folder, NO_CHECKOUT)
        try:
            self.head()
        except GitFailed:
            raise _no_worktree(folder, NO_COMMIT) from None

    def head(self) -> str:
        """Return the current commit of the run's checkout. Raises GitFailed."""
        return git(self.folder, "rev-parse", "--verify", "HEAD^{commit}")

    def has(self, tree: Path) -> bool:
        """Return whether a folder is a worktree of this repository."""
        found = root_folder.checkout(os.environ, str(tree))
        if found is None or found.top != str(tree) or not found.git:
            return False
        return Path(found.git).parent.parent.samefile(self._common)

    def was_interrupted(self, tree: Path) -> bool:
        """Return whether git was killed before it had filled a worktree."""
        found = root_folder.checkout(os.environ, str(tree))
        assert found  # noqa: S101  only worktrees get here
        lock = Path(found.git) / "locked"
        return lock.is_file() and lock.read_text() == "initializing"

    def add(self, tree: Path) -> bool:
        """Make a worktree, on the branch of its name. Raises GitFailed.

        A branch with commits that the run's checkout does not have is continued, unless
        it is checked out elsewhere: then return False. Nothing is left behind if it
        fails. Raises OSError, too.
        """
        with self._locked():
            return self._add(tree)

    def set_base(self, tree: Path) -> None:
        """Keep the commit from which the work in a worktree began. Raises GitFailed."""
        git(tree, "update-ref", BASE, self.head())

    def remove(self, tree: Path) -> None:
        """Remove a worktree without work, and its branch.

        The branch stays if it has commits, or is checked out elsewhere. Raises
        GitFailed and OSError.
        """
        with self._locked():
            self._remove(tree)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let no other attempt make or remove a worktree of the repository meanwhile.

        git lists all worktrees before it does that, and fails if it finds the record of
        one that another git has not finished.
        """
        folder = os.open(self._common, os.O_RDONLY | os.O_CLOEXEC)
        try:
            files.take_lock(folder, wait=True)
            yield
        finally:
            os.close(folder)

    def _add(self, tree: Path) -> bool:
        self._forget(tree)
        head = self.head()
        tip, _, place = self._branch(tree.name).partition(" ")
        if place:
            return False
        words = ("worktree", "add", "--quiet")
        try:
            if tip and not self._contains(head, tip):
                git(self.folder, *words, str(tree), tree.name)
            else:
                new = ("--no-track", "-B", tree.name)
                git(self.folder, *words, *new, str(tree), head)
            self.set_base(tree)
        except GitFailed:
            self._remove_tree(tree)
            if not tip:
                self._delete_branch(tree.name, head)
            raise
        return True

    def _remove(self, tree: Path) -> None:
        tip, _, place = self._branch(tree.name).partition(" ")
        is_ours = not place or os.path.realpath(place) == os.path.realpath(
            tree
        )
        try:
            is_ours = is_ours and not has_commits(tree, branch_ref(tree.name))
        except GitFailed:
            is_ours = False
        self._remove_tree(tree)
        if tip and is_ours:
            self._delete_branch(tree.name, tip)

    def _contains(self, commit: str, older: str) -> bool:
        try:
            git(self.folder, "merge-base", "--is-ancestor", older, commit)
        except GitFailed:
            return False
        return True

    def _branch(self, name: str) -> str:
        """Return the commit of a branch, and after a space where it is checked out."""
        form = "--format=%(objectname) %(worktreepath)"
        return git(self.folder, "for-each-ref", form, branch_ref(name)).strip()

    def _delete_branch(self, name: str, tip: str) -> None:
        """Delete a branch, unless it has moved."""
        with suppress(GitFailed):
            git(self.folder, "update-ref", "-d", branch_ref(name), tip)

    def _remove_tree(self, tree: Path) -> None:
        """Remove the folder of a worktree, and git's record of it.

        The folder is first renamed: half of a worktree would look like changes.
        """
        aside = tree.with_name(f".{tree.name}.{os.getpid()}.removed")
        with suppress(FileNotFoundError):
            tree.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
        self._forget(tree)

    def _forget(self, tree: Path) -> None:
        """Remove git's record of a worktree whose folder is gone."""
        if not tree.exists():
            with suppress(GitFailed):  # there is no record
                git(self.folder, "worktree", "remove", "-f", "-f", str(tree))


class Worktrees:
    """The worktrees of one run, below its root."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Open the folder of the worktrees, and clean up after killed runs.

        `folder` is that of the run. Raises errors.NoWorktree and
        errors.RootNotWritable.
        """
        self._repository = Repository(folder)
        self._place = Path(settings.folder_path) / "worktrees"
        try:
            root_folder.create(settings.folder_path)
            self._place.mkdir(exist_ok=True)
            ignored = self._place / ".gitignore"
            if not ignored.exists():
                files.write_atomically(ignored, IGNORE_ALL.encode())
        except OSError as error:
            raise files.root_not_writable(settings.root_path, error) from None

    def clean_up(self) -> list[Work]:
        """Remove what killed runs have left without work; return what has work."""
        for removed in self._place.glob(".*.removed"):
            shutil.rmtree(removed, ignore_errors=True)
        kept = []
        for path in sorted(self._place.glob(".*.lock")):
            lock = TreeLock.take(path)
            if lock is None:
                continue
            tree = self._place / path.name.removeprefix(".").removesuffix(
                ".lock"
            )
            with suppress(GitFailed):
                if work := self._kept(tree):
                    kept.append(work)
            lock.release()
        return kept

    def open(self, item: str) -> Worktree:
        """Make or reuse the worktree of an item. Raises GitFailed and OSError."""
        for number in range(1, MOST_PER_ITEM + 1):
            name = item if number == 1 else f"{item}-{number}"
            lock = TreeLock.take(self._place / f".{name}.lock")
            if lock is None:
                continue
            worktree = None
            try:
                worktree = self._opened(self._place / name, lock)
            finally:
                if worktree is None:
                    lock.release()
            if worktree:
                return worktree
        raise GitFailed(f"{self._place} has {MOST_PER_ITEM} of this item")

    def _opened(self, tree: Path, lock: "TreeLock") -> Worktree | None:
        """Return a worktree at a path, or None if the path or branch is not ours."""
        with suppress(GitFailed):  # it is damaged
            if self._kept(tree):
                return Worktree(self._repository, tree, lock, continues=True)
        if tree.exists():
            return None
        if not self._repository.add(tree):
            return None
        continues = has_commits(tree, "HEAD")
        return Worktree(self._repository, tree, lock, continues=continues)

    def _kept(self, tree: Path) -> Work | None:
        """Return the work in an existing worktree; remove one without work.

        Commits that the run's checkout contains are merged, and do not count as work.
        Raises GitFailed.
        """
        repository = self._repository
        if not repository.has(tree):
            return None
        if repository.was_interrupted(tree):
            repository.remove(tree)
            return None
        try:
            git(tree, "rev-parse", "--verify", "--quiet", BASE)
        except GitFailed:
            repository.set_base(tree)
        work = work_in(tree, tree.name, repository.head())
        if work is None:
            repository.remove(tree)
        return work


class TreeLock:
    """A locked file for the name of a worktree. A killed process leaves it unlocked."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> "TreeLock | None":
        """Lock the file; return None if another attempt has it. Raises OSError."""
        while True:
            descriptor = files.open_private(path, os.O_RDWR | os.O_CREAT)
            if not files.take_lock(descriptor):
                os.close(descriptor)
                return None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return cls(path, descriptor)
            os.close(descriptor)  # the last holder has just removed it

    def release(self) -> None:
        """Remove the file and its lock."""
        with suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)


def _no_worktree(folder: Path, reason: str) -> errors.NoWorktree:
    return errors.NoWorktree(folder=str(folder), reason=reason)
