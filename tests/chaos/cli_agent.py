"""A worker through the `worker` command: each step is a process of its own, and some are killed half way."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from taskorch.domain import errors
from taskorch.domain.item import Lease, Receipt, State

from chaos.call_recorder import Taken
from chaos.process_config import Duty, begin
from chaos.worker import Worker

COMMAND = Path(sys.executable).parent / "worker"
LONGEST_S = 120
#: Which of a session's commands are killed, the second first, and when; some are done before that.
KILLED_EVERY, KILLED_WITHIN_S = 5, 0.1
COMMAND_KILLED = "the command was killed"
UNAVAILABLE, NOTHING_TO_DO = 4, 8

WORDS: Mapping[str, tuple[str, ...]] = {
    "progress": ("progress", "{item}", "{text}", "--percent", "50"),
    "renew": ("renew", "{item}"),
    "discover": ("discover", "{item}", "{text}"),
    "complete": ("complete", "{item}", "{text}"),
    "fail": ("fail", "{item}", "{text}"),
    "release": ("release", "{item}", "--reason", "{text}"),
}


class Commands:
    """The command line: no process lives between two steps, the token lies in a file."""

    def __init__(self, duty: Duty) -> None:
        self._duty = duty
        self._fate = duty.fate()
        self._root = duty.folder / f"{duty.name}.root"
        self._root.mkdir()
        self._number = 0

    def claim(self, call: str) -> Taken | None:
        """Take the next item; the call's id is of no use to a command that makes its own."""
        del call
        data = self._ran("pop", "--wait", "1", "--lease", "4s")
        return Taken(lease=_lease(data["lease"]), title=data["title"]) if data else None

    def step(self, verb: str, lease: Lease, call: str) -> Receipt:
        """Do a holder's verb."""
        data = self._ran(
            *(word.format(item=lease.item, text=call) for word in WORDS[verb])
        )
        assert data
        got = _lease(
            {"item": data["id"], "expires_at": data["lease_expires_at"], **data}
        )
        return Receipt(
            id=got.item,
            state=State(data["state"]),
            token=got.token,
            claim=got.claim,
            lease_expires_at=got.expires_at,
            remark=data["remark"],
        )

    def _ran(self, *words: str) -> dict[str, Any] | None:
        """Run a command and return what it tells; raises the error that it told."""
        with subprocess.Popen(
            [COMMAND, *words, "--json"],
            cwd=self._root,
            env={**os.environ, **self._environment()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            printed = self._awaited(process)
        if process.returncode < 0:
            raise errors.Unreachable(url="", reason=COMMAND_KILLED)
        if process.returncode == NOTHING_TO_DO:
            return None
        document: dict[str, Any] = json.loads(printed)
        if process.returncode:
            raise _error(process.returncode, document["error"])
        data: dict[str, Any] = document["data"]
        return data

    def _awaited(self, process: subprocess.Popen[str]) -> str:
        self._number += 1
        if self._number % KILLED_EVERY == 2 and not self._duty.is_calm():
            with suppress(subprocess.TimeoutExpired):
                return process.communicate(
                    timeout=self._fate.uniform(0, KILLED_WITHIN_S)
                )[0]
            process.kill()
        return process.communicate(timeout=LONGEST_S)[0]

    def _environment(self) -> dict[str, str]:
        return {
            "TASKORCH_REDIS_URL": self._duty.url,
            "TASKORCH_NAMESPACE": self._duty.namespace,
            "TASKORCH_ROOT": str(self._root),
            "AGENT_ID": self._duty.agent,
            "AGENT_SESSION": self._duty.name,
        }


def _lease(told: Mapping[str, Any]) -> Lease:
    expires = told["expires_at"]
    ends_at = (
        round(datetime.fromisoformat(expires).timestamp() * 1000) if expires else 0
    )
    return Lease(
        item=told["item"], token=told["token"], claim=told["claim"], expires_at=ends_at
    )


def _error(code: int, told: Mapping[str, Any]) -> errors.TaskOrchestratorError:
    if code == UNAVAILABLE:
        return errors.Unreachable(url="", reason=told["message"])
    kind = errors.BY_WORD.get(told["code"])
    return (
        kind(**told["details"])
        if kind
        else errors.TaskOrchestratorError(reason=str(told))
    )


def run(duty: Duty) -> None:
    """Work until the driver says stop."""
    begin(duty)
    Worker(duty, Commands(duty)).work()
