"""The leases and notes of an agent's sessions, kept in a private folder under the root.

.task-orchestrator/workspace/<agent>/<item>.lease       the lease: token, claim, session;
                        and the item of the `worker run` whose command claimed it
.task-orchestrator/workspace/<agent>/<item>_notes.md    the agent's private notes
.task-orchestrator/workspace/<agent>/.turn-<number>     the last turn of a session
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from threading import get_ident
from time import gmtime, strftime, time
from typing import Any

from taskorch.config import files, root_folder
from taskorch.domain import limits
from taskorch.domain.item import Lease

#: Disk space reserved for one lease: a full disk is found before the claim.
SLOT_BYTES = 512
#: Number of files for the last turns of all sessions. Sessions that share a file may be
#: reminded twice in a turn.
TURN_FILES = 256
#: Reservations older than this belong to processes that were killed.
SLOT_KEPT_S = 86_400


class LeaseFile:
    """Disk space reserved for one lease."""

    def __init__(
        self, workspace: "Workspace", file: str, run: Lease | None
    ) -> None:
        self._workspace = workspace
        self._file = file
        self._run = run

    def keep(self, lease: Lease) -> None:
        """Write the lease of a claim into the reserved space. Raises OSError."""
        content: dict[str, object] = {
            "token": lease.token,
            "claim": lease.claim,
            "session": self._workspace.session,
        }
        if self._run:
            content["run"] = {"item": self._run.item, "token": self._run.token}
        files.write_atomically(
            self._workspace.lease_file(lease.item),
            json.dumps(content).encode(),
            temporary=self._file,
        )


class Workspace:
    """The lease store in the agent's folder. Each session sees its own leases only."""

    inherited: Lease | None = None

    def __init__(self, home: files.PathLike, agent: str, session: str) -> None:
        """`home` is the folder `.task-orchestrator` of the root."""
        self._home = os.fspath(home)
        self._folder = os.path.join(home, "workspace", agent)
        self.agent = agent
        self.session = session

    def of_all_agents(self) -> Sequence["Workspace"]:
        """Return the workspaces of all agents in this root, for the same session."""
        try:
            names = sorted(os.listdir(os.path.dirname(self._folder)))
        except OSError:
            return []
        return [
            Workspace(self._home, name, self.session)
            for name in names
            if limits.is_name(name)
        ]

    def lease(self, item: str) -> Lease:
        """Return the lease on an item; one without a token for an item not held."""
        return self._lease(item, lambda kept: kept["session"] == self.session)

    def leases(self) -> Sequence[Lease]:
        """Return the newest leases of the session, at most 200."""
        held = (self.lease(item) for item in self._items())
        return list(islice(filter(_has_token, held), limits.LIST_VALUES))

    def claimed_in_run(self, run: Lease) -> Sequence[Lease]:
        """Return the newest leases that a command of `worker run` claimed itself.

        `run` is the lease on the item of the command. Those of earlier commands for
        the item are included: their run may have been killed. At most 200.
        """

        def is_claimed(kept: Mapping[str, Any]) -> bool:
            mark = kept["run"]
            return bool(
                mark["item"] == run.item and mark["token"] <= run.token
            )

        held = (self._lease(item, is_claimed) for item in self._items())
        return list(islice(filter(_has_token, held), limits.LIST_VALUES))

    def adopt(self, is_over: Callable[[str], bool]) -> None:
        """Make the leases of sessions that are over those of this session."""
        for item in self._items():
            file = self.lease_file(item)
            with suppress(OSError, ValueError, KeyError, TypeError):
                with open(file, "rb") as opened:
                    kept = json.loads(opened.read())
                owner = str(kept["session"])
                if owner != self.session and is_over(owner):
                    kept["session"] = self.session
                    files.write_atomically(file, json.dumps(kept).encode())

    @contextmanager
    def reserve(
        self, count: int = 1, *, run: Lease | None = None
    ) -> Iterator[Sequence[LeaseFile]]:
        """Reserve disk space for `count` leases, all or none, before they are claimed.

        In a command of `worker run`, `run` is the lease on its item. Raises
        errors.RootNotWritable if the disk is full or the folder is read-only.
        """
        prefix = f".{os.getpid()}.{get_ident()}"
        paths = [
            os.path.join(self._folder, f"{prefix}.{number}.tmp")
            for number in range(count)
        ]
        try:
            root_folder.create(self._home)
            files.make_private_folder(self._folder)
            self._remove_old_slots()
            for path in paths:
                flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY
                with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                    file.write(b" " * SLOT_BYTES)
        except OSError as error:
            _remove(paths)
            root = os.path.dirname(self._home)
            raise files.root_not_writable(root, error) from None
        try:
            yield [LeaseFile(self, path, run) for path in paths]
        finally:
            _remove(paths)

    def _items(self) -> Iterator[str]:
        """Yield the items of all leases in the folder, the newest lease first."""
        try:
            with os.scandir(self._folder) as entries:
                found = [
                    (entry.stat().st_mtime, entry.name)
                    for entry in entries
                    if entry.name.endswith(".lease")
                ]
        except OSError:
            return
        for _, name in sorted(found, reverse=True):
            yield name.removesuffix(".lease")

    def _lease(
        self, item: str, is_meant: Callable[[Mapping[str, Any]], bool]
    ) -> Lease:
        """Return a kept lease if it is meant, else one without a token."""
        try:
            with open(self.lease_file(item), "rb") as file:
                kept = json.loads(file.read())
            if is_meant(kept):
                return Lease(
                    item=item,
                    token=int(kept["token"]),
                    claim=str(kept["claim"]),
                )
        except (OSError, ValueError, KeyError, TypeError):
            pass  # a missing or damaged file holds no lease
        return Lease(item=item)

    def _remove_old_slots(self) -> None:
        """Remove the reservations of killed processes.

        If the process of an old reservation still runs, it writes its lease anyway.
        """
        oldest = time() - SLOT_KEPT_S
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if not entry.name.endswith(".tmp"):
                    continue
                with suppress(FileNotFoundError):
                    if entry.stat().st_mtime < oldest:
                        os.unlink(entry.path)

    def refuse_next_item(self) -> None:
        """Refuse nothing: this session is not a command of `worker run`."""

    def forget(self, item: str) -> None:
        """Remove the lease on an item, if there is one."""
        _remove([self.lease_file(item)])

    def lease_file(self, item: str) -> str:
        """Return the path of the lease on an item."""
        return os.path.join(self._folder, f"{item}.lease")

    def add_note(self, item: str, text: str) -> None:
        """Append a note to the notes file of an item. Raises OSError.

        The format is that of the file-based worker.
        """
        path = os.path.join(self._folder, f"{item}_notes.md")
        time_utc = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"\n\n---\n{time_utc}\n---\n{text}")

    def begin_turn(self, program_session: str, turn: str) -> bool:
        """Record the turn of an agent program; return whether it is a new one.

        `program_session` is the program's own session id: several programs may run
        under one session name in a root. Raises OSError.
        """
        from binascii import crc32

        owner = f"{self.session} {program_session} ".encode(errors="replace")
        content = owner + turn.encode(errors="replace")
        number = crc32(owner) % TURN_FILES
        path = os.path.join(self._folder, f".turn-{number}")
        with suppress(OSError), open(path, "rb") as file:
            if file.read() == content:
                return False
        temporary = f"{path}.{os.getpid()}.tmp"
        files.write_atomically(path, content, temporary=temporary)
        return True


def _has_token(lease: Lease) -> bool:
    return bool(lease.token)


def _remove(paths: Sequence[str]) -> None:
    for path in paths:
        with suppress(OSError):
            os.unlink(path)
