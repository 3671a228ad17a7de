"""A worker that uses the `worker` command; some of its commands are killed."""

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

from chaos.call_recorder import ClaimedItem
from chaos.process_config import ProcessConfig, start
from chaos.worker import COST_MICROS, POOL, Worker

COMMAND = Path(sys.executable).parent / "worker"
TIMEOUT_S = 120
#: Every fifth command of a session is killed, if it has not ended within this time.
KILLED_EVERY, KILLED_WITHIN_S = 5, 0.1
COMMAND_KILLED = "the command was killed"
UNAVAILABLE, NOTHING_TO_DO = 4, 8

COST = ("--cost", f"{COST_MICROS / 1_000_000:f}")
WORDS: Mapping[str, tuple[str, ...]] = {
    "progress": ("progress", "{item}", "{text}", "--percent", "50", *COST),
    "renew": ("renew", "{item}"),
    "discover": ("discover", "{item}", "{text}"),
    "complete": ("complete", "{item}", "{text}", *COST),
    "fail": ("fail", "{item}", "{text}", *COST),
    "release": ("release", "{item}", "--reason", "{text}"),
}


class CommandClient:
    """The client of a worker that uses commands: each step is a process."""

    def __init__(self, config: ProcessConfig) -> None:
        self._config = config
        self._random = config.random()
        self._root = config.folder / f"{config.name}.root"
        self._root.mkdir()
        self._number = 0

    def claim(self, call: str) -> ClaimedItem | None:
        """Claim the next item; the command makes its own request id."""
        del call
        data = self._run("pop", "--wait", "1", "--lease", "4s")
        return (
            ClaimedItem(lease=_lease(data["lease"]), title=data["title"])
            if data
            else None
        )

    def step(self, verb: str, lease: Lease, call: str) -> Receipt:
        """Run a verb of the holder."""
        data = self._run(
            *(word.format(item=lease.item, text=call) for word in WORDS[verb])
        )
        assert data
        got = _lease(
            {
                "item": data["id"],
                "expires_at": data["lease_expires_at"],
                **data,
            }
        )
        return Receipt(
            id=got.item,
            state=State(data["state"]),
            token=got.token,
            claim=got.claim,
            lease_expires_at=got.expires_at,
            remark=data["remark"],
        )

    def _run(self, *words: str) -> dict[str, Any] | None:
        """Run a command and return its data; raise the error that it reports."""
        with subprocess.Popen(
            [COMMAND, *words, "--json"],
            cwd=self._root,
            env={**os.environ, **self._environment()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            printed = self._output(process)
        if process.returncode < 0:
            raise errors.Unreachable(url="", reason=COMMAND_KILLED)
        if process.returncode == NOTHING_TO_DO:
            return None
        document: dict[str, Any] = json.loads(printed)
        if process.returncode:
            raise _error(process.returncode, document["error"])
        data: dict[str, Any] = document["data"]
        return data

    def _output(self, process: subprocess.Popen[str]) -> str:
        self._number += 1
        if (
            self._number % KILLED_EVERY == 2
            and not self._config.faults_are_over()
        ):
            with suppress(subprocess.TimeoutExpired):
                return process.communicate(
                    timeout=self._random.uniform(0, KILLED_WITHIN_S)
                )[0]
            process.kill()
        return process.communicate(timeout=TIMEOUT_S)[0]

    def _environment(self) -> dict[str, str]:
        return {
            "TASKORCH_REDIS_URL": self._config.url,
            "TASKORCH_TOKEN": self._config.access_token,
            "TASKORCH_NAMESPACE": self._config.namespace,
            "TASKORCH_ROOT": str(self._root),
            "AGENT_ID": self._config.agent,
            "AGENT_POOLS": POOL,
            "AGENT_SESSION": self._config.name,
        }


def _lease(document: Mapping[str, Any]) -> Lease:
    expires = document["expires_at"]
    ends_at = (
        round(datetime.fromisoformat(expires).timestamp() * 1000)
        if expires
        else 0
    )
    return Lease(
        item=document["item"],
        token=document["token"],
        claim=document["claim"],
        expires_at=ends_at,
    )


def _error(
    code: int, document: Mapping[str, Any]
) -> errors.TaskOrchestratorError:
    if code == UNAVAILABLE:
        return errors.Unreachable(url="", reason=document["message"])
    kind = errors.BY_WORD.get(document["code"])
    return (
        kind(**document["details"])
        if kind
        else errors.TaskOrchestratorError(reason=str(document))
    )


def run(config: ProcessConfig) -> None:
    """Work until the driver stops the run."""
    start(config)
    Worker(config, CommandClient(config)).work()
