"""The requests that Redis did not answer, kept so that the rerun command acts once.

.task-orchestrator/run/unanswered/<command>/<request>    an empty file

<command> is a hash of the command line, the caller and the address of Redis.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING

from taskorch.config import files, root_folder
from taskorch.config.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

#: Redis keeps a first reply for 600 s. It may have acted up to a minute before the
#: command gave up.
KEPT_S = 540


class UnansweredRequests:
    """The unanswered requests of one command line in one root: a `RequestStore`."""

    def __init__(
        self,
        settings: Settings,
        command: str,
        address: Callable[[Settings], str],
    ) -> None:
        """`command` is the command line with all its values; if "", nothing is kept.

        `address` returns the address of Redis without its password.
        """
        self._settings = settings
        self._command = command
        self._address = address

    def take(self, step: tuple[str, ...]) -> str:
        """Remove and return the id of an unanswered request, or "".

        If several runs of a command start together, each takes another id.
        """
        # as a rule there is no folder, and a short command loads nothing more
        if not self._command or not os.path.isdir(self._everything()):
            return ""
        place = self._place(step)
        if place.is_symlink() or place.parent.is_symlink():
            return ""
        for file in place.glob("*"):
            with suppress(OSError):
                too_late = _is_old(file)
                file.unlink()  # fails if another run has taken it
                if not too_late:
                    return file.name
        return ""

    def keep(self, step: tuple[str, ...], request: str) -> None:
        """Keep an id for nine minutes; raises OSError or errors.RootNotWritable."""
        if not self._command:
            return
        root_folder.create(self._settings.folder)
        files.make_private_folder(self._settings.folder / "run")
        place = self._place(step)
        # a checkout may have brought a link, and old files in the folder are deleted
        files.make_private_folder(place.parent)
        _delete_old(place.parent)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        (place / request).touch(mode=0o600)

    def _everything(self) -> str:
        return os.path.join(self._settings.folder_path, "run", "unanswered")

    def _place(self, step: tuple[str, ...]) -> "Path":
        from hashlib import sha256
        from pathlib import Path

        words = repr((self._address(self._settings), self._command, step))
        command = sha256(words.encode(), usedforsecurity=False).hexdigest()[
            :32
        ]
        return Path(self._everything(), command)


def _delete_old(everything: "Path") -> None:
    for place in [
        path for path in everything.glob("*") if not path.is_symlink()
    ]:
        for path in (*place.glob("*"), place):
            # another command may have deleted it, or put a file into the folder
            with suppress(OSError):
                if _is_old(path):
                    path.rmdir() if path.is_dir() else path.unlink()


def _is_old(path: "Path") -> bool:
    return abs(time() - path.stat().st_mtime) > KEPT_S
