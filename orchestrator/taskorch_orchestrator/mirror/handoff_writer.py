"""Writes the handoffs of items that a command has just assigned.

The user finds the file when the command returns, and also where no service runs. The
mirror writes the same content, so it takes over such a file as its own.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from taskorch.config import files
from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.domain.mirror_record import MirrorRecord
from taskorch.queue.queue import Queue
from taskorch.transport import address

from taskorch_orchestrator.mirror import (
    file_names,
    handoff_file,
    handoff_folder,
)
from taskorch_orchestrator.mirror.handoff_folder import FolderNotWritable

#: A pass of the mirror is usually shorter. If it is not, the mirror writes the files.
LOCK_S = 1.0
#: Each file takes a sync to disk.
MOST = 100
#: Items that are read together: an item may have a thousand reports.
BATCH = 10
NOT_YET = "The items are assigned, but their handoff files are not written yet: {reason}"
#: The queue that the mirror of the root reads, in the folder `sync`.
SOURCE = "source"


class WrittenHandoffs(Frozen):
    """The handoffs that were written."""

    #: Item -> the path of its handoff, for each file that is there.
    paths: Mapping[str, str] = {}
    #: Why files could not be written; "" if nothing went wrong.
    trouble: str = ""


class HandoffWriter:
    """The handoffs of the root that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def write(self, queue: Queue, items: Sequence[str]) -> WrittenHandoffs:
        """Write or remove the handoffs of items, as their state in Redis is now.

        Nothing is written in a root without a `.task-orchestrator`, in one whose mirror
        reads another queue or belongs to another user, and while another process writes
        there. After the first MOST items, the rest is left to the mirror.
        """
        if not items or not self._is_of_this_queue():
            return WrittenHandoffs()
        home = self._settings.folder_path
        try:
            with handoff_folder.locked(home, wait_s=LOCK_S) as has_lock:
                if not has_lock:
                    return WrittenHandoffs()
                return WrittenHandoffs(
                    paths=self._write_locked(queue, items[:MOST])
                )
        except errors.Unavailable as outage:
            return WrittenHandoffs(trouble=NOT_YET.format(reason=outage))
        except FolderNotWritable as error:
            cause = error.cause
        except OSError as error:
            cause = error
        refusal = files.root_not_writable(self._settings.root_path, cause)
        return WrittenHandoffs(trouble=NOT_YET.format(reason=refusal))

    def _write_locked(
        self, queue: Queue, items: Sequence[str]
    ) -> dict[str, str]:
        paths = {}
        with handoff_folder.opened(self._settings.folder_path) as folder:
            for record in _records(queue, items):
                signature, _ = handoff_file.write(folder, record)
                if signature:
                    item = record.item.id
                    paths[item] = self._path(item)
        return paths

    def _path(self, item: str) -> str:
        """Return the path of a handoff, relative in the root itself."""
        folder = self._settings.folder_path
        path = f"{folder}/handoffs/{file_names.handoff(item)}"
        is_in_root = self._settings.root_path == os.getcwd()
        return os.path.relpath(path) if is_in_root else path

    def _is_of_this_queue(self) -> bool:
        home = self._settings.folder_path
        if not self._settings.has_folder or _is_of_another_user(home):
            return False
        return _read_source(home) in ("", source_of(self._settings))


class NoHandoffs(HandoffWriter):
    """Writes nothing: the caller is on another machine, and the mirror writes the files."""

    def __init__(self) -> None:
        """Need no root."""

    def write(
        self,
        queue: Queue,  # noqa: ARG002
        items: Sequence[str],  # noqa: ARG002
    ) -> WrittenHandoffs:
        """Write nothing."""
        return WrittenHandoffs()


def writer(root: Settings | None) -> HandoffWriter:
    """Return the writer of a root, or for None one that writes nothing."""
    return HandoffWriter(root) if root else NoHandoffs()


def _records(queue: Queue, items: Sequence[str]) -> Iterator[MirrorRecord]:
    for start in range(0, len(items), BATCH):
        yield from queue.views.records(items[start : start + BATCH])


def source_of(settings: Settings) -> str:
    """Return the name of the queue of the settings: its namespace and address."""
    if not settings.redis_url:
        return f"{settings.namespace} bundled"
    return f"{settings.namespace} {address.redacted(settings.redis_url)}"


def save_source(home: files.PathLike, source: str) -> None:
    """Save which queue the mirror in `home` reads. Raises OSError."""
    if _read_source(home) != source:
        files.write_atomically(_source_file(home), source.encode())


def _is_of_another_user(home: files.PathLike) -> bool:
    """Return whether the mirror in a root that a group shares is that of another user."""
    try:
        return os.stat(os.path.join(home, "sync")).st_uid != os.getuid()
    except OSError:  # it does not exist, or `locked` reports the reason
        return False


def _read_source(home: files.PathLike) -> str:
    """Return the queue that the mirror reads; "" if that is not known."""
    with suppress(OSError):
        descriptor = files.open_private(_source_file(home), os.O_RDONLY)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(4096).decode(errors="replace")
    return ""


def _source_file(home: files.PathLike) -> str:
    return os.path.join(home, "sync", SOURCE)
