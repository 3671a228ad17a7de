"""A file-based worker like that of the predecessor: it knows only the files.

It is written from the contract of those files and shares no code with the project. As a
command it works on the items of one agent until it is stopped, and logs a line of JSON
for each report that it believes it has written:

    python file_worker.py --folder F --agent A --log L [--seed N] [--careless]
        [--until-file STOP] [--think SECONDS]

A test may conclude from the log: a progress report or a discovery exists exactly once,
unless a line with its text has `"torn": true`, because then it may be lost. A worker
that restarts and does not know that it has completed an item repeats it, so an item may
have several completions, of which the last has overwritten the others.
"""

import argparse
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from random import Random
from time import sleep
from typing import Any

COMPLETED = "✅ Work completed"
LOOK_AGAIN_S = 0.1
#: Time until a process that died is started again.
RESTART_S = 0.3
#: The share of files that a careless worker tears, and of these that it never repairs.
TORN, NEVER_REPAIRED = 0.1, 0.25
#: The share of completions after which it dies before it writes the update.
DIES_COMPLETING = 0.15
#: Errors that end a process of the predecessor. The next process may not meet them.
CRASHES = (json.JSONDecodeError, FileNotFoundError)
#: End of a file name -> the kind of report, and the fields with its text and time.
FORMS = {
    "progress": ("progress", "message", "timestamp"),
    "discoveries": ("discovery", "discovery", "timestamp"),
    "completion": ("completion", "summary", "completed_at"),
}


class FileWorker:
    """One agent in a `.task-orchestrator` folder, without locks, like the predecessor."""

    def __init__(self, folder: Path, agent: str) -> None:
        self.agent = agent
        self.handoffs = folder / "handoffs"
        self.workspace = folder / "workspace" / agent
        self.workspace.mkdir(parents=True, exist_ok=True)

    def check(self) -> list[str]:
        """Return the items of the agent and delete its pending file.

        An invalid handoff of any agent is fatal.
        """
        handoffs = [
            _read(path) for path in self.handoffs.glob("*_handoff.json")
        ]
        ours = [
            _valid(handoff)["item_id"]
            for handoff in handoffs
            if handoff["assigned_to"] == self.agent
        ]
        self.pending()
        return ours

    def pending(self) -> list[str]:
        """Return the items in the pending file, and delete it."""
        pending = self.handoffs / f"pending_{self.agent}.txt"
        if not pending.exists():
            return []
        lines = pending.read_text(encoding="utf-8").splitlines()
        pending.unlink()
        return lines

    def get(self, item: str) -> dict[str, Any]:
        """Return the handoff of an item."""
        return _valid(_read(self.handoffs / f"{item}_handoff.json"))

    def progress(
        self, item: str, text: str, percent: int | None = None
    ) -> None:
        """Add an update to the progress file."""
        path = self.handoffs / f"{item}_progress.json"
        report: dict[str, Any] = (
            _read(path)
            if path.exists()
            else {"item_id": item, "agent_id": self.agent, "updates": []}
        )
        report["updates"].append(
            {"timestamp": _now(), "message": text, "percentage": percent}
        )
        self._rewrite(path, report)

    def discover(
        self, item: str, text: str, impact: str | None = None
    ) -> None:
        """Add a discovery to the discoveries file."""
        path = self.handoffs / f"{item}_discoveries.json"
        discoveries = _read(path) if path.exists() else []
        entry = {
            "timestamp": _now(),
            "agent_id": self.agent,
            "discovery": text,
            "impact": impact,
            "item_id": item,
        }
        self._rewrite(path, [*discoveries, entry])

    def blocker(self, item: str, issue: str, needs: str | None = None) -> None:
        """Report a blocker, as a discovery and as an update."""
        self.discover(
            item,
            f"BLOCKER: {issue}",
            f"Needs: {needs}" if needs else "Blocking progress",
        )
        self.progress(item, f"⚠️ Blocked: {issue}")

    def complete(
        self,
        item: str,
        summary: str,
        deliverables: dict[str, str] | None = None,
    ) -> None:
        """Overwrite the completion, and only then add an update."""
        completion = {
            "item_id": item,
            "agent_id": self.agent,
            "completed_at": _now(),
            "summary": summary,
            "deliverables": deliverables or {},
            "final_status": "completed",
        }
        self._rewrite(self.handoffs / f"{item}_completion.json", completion)
        self.progress(item, COMPLETED, 100)

    def notes(self, item: str, text: str) -> None:
        """Add a note to the agent's workspace."""
        with (self.workspace / f"{item}_notes.md").open(
            "a", encoding="utf-8"
        ) as file:
            file.write(f"\n\n---\n{_now()}\n---\n{text}")

    def _rewrite(self, path: Path, document: Any) -> None:
        with path.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)


@dataclass(frozen=True)
class Orders:
    """The options of the command."""

    folder: Path
    agent: str
    log: Path
    careless: bool = False
    until: Path | None = None
    think_s: float = 0.05

    def ended(self) -> bool:
        """Return whether the worker must stop."""
        return self.until is not None and self.until.exists()


class Incarnation(FileWorker):
    """One process of the command, which only knows what it did itself.

    `fate` decides when it is careless.
    """

    def __init__(self, orders: Orders, fate: Random, name: str) -> None:
        super().__init__(orders.folder, orders.agent)
        self.orders = orders
        self.fate = fate
        self.name = name
        self.counter = count(1)
        self.completed: set[str] = set()

    def live(self) -> None:
        """Work on the items of the agent until the worker must stop."""
        while not self.orders.ended():
            for item in self._listed():
                with suppress(*CRASHES):
                    self._work_on(item)
            sleep(LOOK_AGAIN_S)

    def progress(
        self, item: str, text: str, percent: int | None = None
    ) -> None:
        """Add an update to the progress file, or die before the one of a completion."""
        if text == COMPLETED and self._fated(DIES_COMPLETING):
            raise SystemExit
        super().progress(item, text, percent)

    def _listed(self) -> Iterator[str]:
        listed: list[str] = []
        with suppress(*CRASHES):
            listed = self.check()
        for item in listed:
            if item not in self.completed and not self.orders.ended():
                yield item

    def _work_on(self, item: str) -> None:
        self.get(item)
        for step in range(self.fate.randint(1, 3)):
            self.progress(
                item,
                self._thought(item),
                self.fate.choice([None, 20 * step + 10]),
            )
        if self.fate.random() < 1 / 3:
            self.discover(
                item, self._thought(item), self.fate.choice([None, "some"])
            )
        self.complete(item, self._thought(item), {"report": f"{item}.md"})
        self.completed.add(item)

    def _thought(self, item: str) -> str:
        sleep(self.orders.think_s)
        return f"{self._signature()} {item}, report {next(self.counter)} of {self.name}"

    def _signature(self) -> str:
        return f"File worker {self.agent} on"

    def _fated(self, share: float) -> bool:
        return self.orders.careless and self.fate.random() < share

    def _rewrite(self, path: Path, document: Any) -> None:
        if self._fated(TORN):
            self._tear(path, document)
        super()._rewrite(path, document)
        self._log(path, _entries(document)[-1])

    def _tear(self, path: Path, document: Any) -> None:
        whole = json.dumps(document, indent=2)
        half = whole[: len(whole) // 2]
        path.write_text(half, encoding="utf-8")
        if self._fated(NEVER_REPAIRED):
            for entry in _entries(document):
                if _unindented(json.dumps(entry, indent=2)) not in _unindented(
                    half
                ):
                    self._log(path, entry, torn=True)
            raise SystemExit
        sleep(RESTART_S)

    def _log(self, path: Path, entry: dict[str, Any], **torn: bool) -> None:
        item, _, form = path.stem.rpartition("_")
        kind, text, time = FORMS[form]
        if not entry[text].startswith(self._signature()):
            return  # the update of a completion, or a report of another agent
        line = {
            "item": item,
            "agent": self.agent,
            "kind": kind,
            "text": entry[text],
            "percent": entry.get("percentage"),
            "timestamp": entry[time],
            **torn,
        }
        with self.orders.log.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")


def supervise(orders: Orders, fate: Random) -> None:
    """Start one incarnation after another until the worker must stop."""
    lives = count(1)
    while not orders.ended():
        try:
            Incarnation(orders, fate, f"{os.getpid()}.{next(lives)}").live()
        except SystemExit:
            sleep(RESTART_S)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="A file-based worker.")
    parser.add_argument(
        "--folder",
        type=Path,
        required=True,
        help="the .task-orchestrator folder",
    )
    parser.add_argument("--agent", required=True)
    parser.add_argument(
        "--log",
        type=Path,
        required=True,
        help="where each report is logged as a line of JSON",
    )
    parser.add_argument(
        "--careless",
        action="store_true",
        help="tear files and die, now and then",
    )
    parser.add_argument(
        "--until-file",
        type=Path,
        dest="until",
        metavar="STOP",
        help="end when this file exists",
    )
    parser.add_argument(
        "--think",
        type=float,
        default=0.05,
        dest="think_s",
        metavar="SECONDS",
        help="before a report",
    )
    parser.add_argument(
        "--seed",
        type=int,
        help="make its choices those of another run with this seed",
    )
    options = vars(parser.parse_args())
    seed = options.pop("seed")
    supervise(Orders(**options), Random(seed))


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _valid(handoff: dict[str, Any]) -> dict[str, Any]:
    """Return a handoff. Raises KeyError without a field that the predecessor prints."""
    task = handoff["task"]
    _ = (
        handoff["item_id"],
        handoff["assigned_to"],
        handoff["project_context"]["project_title"],
    )
    _ = task["title"], task["description"], task["requirements"]
    return handoff


def _now() -> str:
    """Return the local time without a zone."""
    return (
        datetime.now()
        .astimezone()
        .replace(tzinfo=None)
        .isoformat(timespec="microseconds")
    )


def _entries(document: Any) -> list[dict[str, Any]]:
    """Return the reports in a file of any kind."""
    entries: list[dict[str, Any]] = (
        document
        if isinstance(document, list)
        else document.get("updates", [document])
    )
    return entries


def _unindented(text: str) -> str:
    return re.sub(r"\n *", "\n", text)


if __name__ == "__main__":
    main()
