"""The request that Redis left unanswered: the same command, typed again, makes it again, and so acts once.

.task-orchestrator/run/unanswered/<command>/<request>    empty; <command> is a hash of who typed what, and where to
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING

from taskorch.config import files, root_folder
from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.queue.port import Argument, Connection, ConnectionWrapper, Reply, Script

if TYPE_CHECKING:
    from pathlib import Path

#: A minute less than Redis keeps a first reply: it may have acted that long before the command gave up.
KEPT_S = 540


class StepConnection(ConnectionWrapper):
    """The connection of a command that makes one step, which it may repeat until it succeeds, as `pop --wait` does.

    When Redis does not answer, or the wait for it is interrupted, the id of the request is kept. The command's next run
    takes it for its first request. A command of many steps must be safe to repeat as it is, without this.
    """

    def __init__(self, connection: Connection, settings: Settings, typed: str) -> None:
        """`typed` is the command with all that it was given; "" keeps nothing."""
        super().__init__(connection)
        self._settings = settings
        self._typed = typed
        #: The name of the script that makes the step, once it is called.
        self._step = ""

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script; the step's first call has the request that was left unanswered, where there is one."""
        if not self._typed or not script.acts or self._step not in ("", script.name):
            return super().run_script(script, key, arguments)
        request, agent, _, _, session, *_ = arguments
        words = (script.name, key, agent, session)
        if not self._step:
            request = self._taken(words) or request
        self._step = script.name
        try:
            return super().run_script(script, key, (request, *arguments[1:]))
        except (errors.Unavailable, KeyboardInterrupt):
            with suppress(
                OSError, errors.RootNotWritable
            ):  # a root that cannot be written remembers nothing
                self._keep(words, str(request))
            raise

    def _taken(self, words: Sequence[Argument]) -> str:
        """Return a request that was left unanswered, or ""; of commands that run at once, each takes another one."""
        if not os.path.isdir(
            self._everything()
        ):  # as a rule: nothing more is loaded then
            return ""
        place = self._place(words)
        if place.is_symlink() or place.parent.is_symlink():
            return ""
        for file in place.glob("*"):
            with suppress(OSError):
                too_late = _is_old(file)
                file.unlink()  # whoever removes it has it
                if not too_late:
                    return file.name
        return ""

    def _keep(self, words: Sequence[Argument], request: str) -> None:
        root_folder.create(self._settings.folder)
        files.make_private_folder(self._settings.folder / "run")
        place = self._place(words)
        # no link that a checkout may have brought: what is old in it is deleted
        files.make_private_folder(place.parent)
        _sweep(place.parent)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        (place / request).touch(mode=0o600)

    def _everything(self) -> str:
        return os.path.join(self._settings.folder_path, "run", "unanswered")

    def _place(self, words: Sequence[Argument]) -> "Path":
        from hashlib import sha256
        from pathlib import Path

        from taskorch.transport import address

        url = address.shown(address.of(self._settings))
        command = sha256(
            repr((url, self._typed, words)).encode(), usedforsecurity=False
        ).hexdigest()[:32]
        return Path(self._everything(), command)


def _sweep(everything: "Path") -> None:
    for place in [path for path in everything.glob("*") if not path.is_symlink()]:
        for path in (*place.glob("*"), place):
            with suppress(
                OSError
            ):  # another command was faster, or has put something in
                if _is_old(path):
                    path.rmdir() if path.is_dir() else path.unlink()


def _is_old(path: "Path") -> bool:
    return abs(time() - path.stat().st_mtime) > KEPT_S
