"""An agent's private folder under the root: the tokens of its claims, and its notes.

.task-orchestrator/workspace/<agent>/<item>.lease       the token that makes the next command the same holder
.task-orchestrator/workspace/<agent>/<item>_notes.md    what `worker notes` keeps
.task-orchestrator/workspace/<agent>/.turn-<number>     the last turn whose agent was told not to leave items behind
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from threading import get_ident
from time import gmtime, strftime, time

from taskorch.config import files, root_folder
from taskorch.domain import limits
from taskorch.domain.item import Lease

#: Taken on the disk before a claim, so that a full disk is noticed while nothing has changed.
SLOT_BYTES = 512
#: So many files have the last turns of all sessions, dead ones too; who shares one may be told twice in a turn.
TURN_FILES = 256
#: Who waits for work has room for longer than most; nobody knows of a killed one when it was, or where.
SLOT_KEPT_S = 86_400


class LeaseSlot:
    """Space on the disk for one token, taken before the claim that brings it."""

    def __init__(self, workspace: "Workspace", file: str) -> None:
        self._workspace = workspace
        self._file = file

    def keep(self, lease: Lease) -> None:
        """Store the token of a claim, whole or not at all."""
        with os.fdopen(
            os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600), "wb"
        ) as file:
            file.write(self._workspace.written(lease))
            file.truncate()
            os.fsync(file.fileno())
        os.replace(self._file, self._workspace.lease_file(lease.item))


class Workspace:
    """The folder of one agent, as one of its sessions uses it."""

    def __init__(self, home: files.PathLike, agent: str, session: str) -> None:
        """`home` is the folder `.task-orchestrator` of the root."""
        self._home = os.fspath(home)
        self._folder = os.path.join(home, "workspace", agent)
        self._session = session

    def lease(self, item: str) -> Lease:
        """Return the lease that this session holds on an item, without a token if it holds none."""
        try:
            with open(self.lease_file(item), "rb") as file:
                kept = json.loads(file.read())
            mine = kept["session"] == self._session
            return (
                Lease(item=item, token=int(kept["token"]), claim=str(kept["claim"]))
                if mine
                else Lease(item=item)
            )
        except (OSError, ValueError, KeyError, TypeError):
            return Lease(item=item)

    def leases(self) -> tuple[Lease, ...]:
        """Return the newest leases that this session holds, as far as its tokens tell: at most 200."""
        try:
            with os.scandir(self._folder) as entries:
                files = [
                    (entry.stat().st_mtime, entry.name)
                    for entry in entries
                    if entry.name.endswith(".lease")
                ]
        except OSError:
            return ()
        kept = (
            self.lease(name.removesuffix(".lease"))
            for _, name in sorted(files, reverse=True)
        )
        return tuple(
            islice((lease for lease in kept if lease.token), limits.LIST_VALUES)
        )

    @contextmanager
    def reserve(self, count: int = 1) -> Iterator[Sequence[LeaseSlot]]:
        """Reserve disk space for `count` leases, all or none, before they are claimed.

        Raises errors.RootNotWritable if the disk is full or the folder is read-only.
        """
        mine = f".{os.getpid()}.{get_ident()}"
        paths = [
            os.path.join(self._folder, f"{mine}.{number}.tmp")
            for number in range(count)
        ]
        try:
            root_folder.create(self._home)
            files.make_private_folder(self._folder)
            self._clear()
            for path in paths:
                _fill(path)
        except OSError as error:
            _remove(paths)
            raise files.root_not_writable(os.path.dirname(self._home), error) from None
        try:
            yield [LeaseSlot(self, path) for path in paths]
        finally:
            _remove(paths)

    def _clear(self) -> None:
        """Remove the rooms of those who were killed; who still needs one that is so old makes it anew."""
        with os.scandir(self._folder) as entries:
            for room in entries:
                with suppress(FileNotFoundError):
                    if (
                        room.name.endswith(".tmp")
                        and time() - room.stat().st_mtime > SLOT_KEPT_S
                    ):
                        os.unlink(room.path)

    def forget(self, item: str) -> None:
        """Remove the token of an item that the agent does not hold any more."""
        with suppress(OSError):
            os.unlink(self.lease_file(item))

    def add_note(self, item: str, text: str) -> None:
        """Append a note to the item's notes, in the form that the file-based worker has."""
        with open(
            os.path.join(self._folder, f"{item}_notes.md"), "a", encoding="utf-8"
        ) as file:
            file.write(
                f"\n\n---\n{strftime('%Y-%m-%dT%H:%M:%SZ', gmtime())}\n---\n{text}"
            )

    def begins(self, session: str, turn: str) -> bool:
        """Return whether a turn is another one than the last of this session, and remember it. Raises OSError.

        `session` is what the program calls it: several may run under one name in one root.
        """
        from binascii import crc32

        whose, which = (
            text.encode(errors="replace")
            for text in (f"{self._session} {session} ", turn)
        )
        place = os.path.join(self._folder, f".turn-{crc32(whose) % TURN_FILES}")
        with suppress(OSError), open(place, "rb") as file:
            if file.read() == whose + which:
                return False
        fresh = f"{place}.{os.getpid()}.tmp"
        try:
            with open(fresh, "wb") as file:
                file.write(whose + which)
            os.replace(fresh, place)
        finally:
            _remove([fresh])
        return True

    def lease_file(self, item: str) -> str:
        """Return the file that keeps the token of an item."""
        return os.path.join(self._folder, f"{item}.lease")

    def written(self, lease: Lease) -> bytes:
        """Return what a lease file holds."""
        return json.dumps(
            {"token": lease.token, "claim": lease.claim, "session": self._session}
        ).encode()


def _fill(file: str) -> None:
    descriptor = os.open(file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(b" " * SLOT_BYTES)


def _remove(files: Sequence[str]) -> None:
    for file in files:
        with suppress(OSError):
            os.unlink(file)
