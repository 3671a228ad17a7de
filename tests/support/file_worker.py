"""A file-based worker such as the predecessor's: it knows the files under `.task-orchestrator/` and nothing else.

Written from the contract of those files alone; it shares no code with the project. As a command it works on what is
assigned to one agent until it is told to stop, and logs a line of JSON for each report it believes it has written:

    python file_worker.py --folder F --agent A --log L [--seed N] [--careless] [--until-file STOP] [--think SECONDS]

What a test may conclude from the log: a progress report or a discovery is somewhere exactly once, unless any line with
its text says `"torn": true`, for then it may be lost. An incarnation that does not know that the last one completed an
item does it over, so an item may have several completions, of which the last has overwritten the others.
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
#: How soon somebody notices that a process has died, and starts the next one.
RESTART_S = 0.3
#: Of the files that a careless worker writes, how many are torn at first, and how many of those it never mends.
TORN, NEVER_MENDED = 0.1, 0.25
#: How often it dies when it has written a completion and has not yet reported it as progress.
DIES_COMPLETING = 0.15
#: What ends a process of the predecessor, and is gone when another tries again.
CRASHES = (json.JSONDecodeError, FileNotFoundError)
#: By the end of a file's name: the kind of report, and where an entry of it has its text and its time.
FORMS = {
    "progress": ("progress", "message", "timestamp"),
    "discoveries": ("discovery", "discovery", "timestamp"),
    "completion": ("completion", "summary", "completed_at"),
}


class FileWorker:
    """One agent below one `.task-orchestrator` folder, with the predecessor's habits: no lock, no care."""

    def __init__(self, folder: Path, agent: str) -> None:
        self.agent = agent
        self.handoffs = folder / "handoffs"
        self.workspace = folder / "workspace" / agent
        self.workspace.mkdir(parents=True, exist_ok=True)

    def check(self) -> list[str]:
        """Return what is assigned to the agent, and silence the doorbell; one invalid handoff of anybody is fatal."""
        handoffs = [_read(path) for path in self.handoffs.glob("*_handoff.json")]
        ours = [
            _valid(handoff)["item_id"]
            for handoff in handoffs
            if handoff["assigned_to"] == self.agent
        ]
        self.pending()
        return ours

    def pending(self) -> list[str]:
        """Return what the doorbell says, and silence it."""
        doorbell = self.handoffs / f"pending_{self.agent}.txt"
        if not doorbell.exists():
            return []
        lines = doorbell.read_text(encoding="utf-8").splitlines()
        doorbell.unlink()
        return lines

    def get(self, item: str) -> dict[str, Any]:
        """Return the handoff of an item."""
        return _valid(_read(self.handoffs / f"{item}_handoff.json"))

    def progress(self, item: str, text: str, percent: int | None = None) -> None:
        """Add an update to the item's."""
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

    def discover(self, item: str, text: str, impact: str | None = None) -> None:
        """Add a discovery to the item's."""
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
        """Say what is in the way, as a discovery and as an update."""
        self.discover(
            item,
            f"BLOCKER: {issue}",
            f"Needs: {needs}" if needs else "Blocking progress",
        )
        self.progress(item, f"⚠️ Blocked: {issue}")

    def complete(
        self, item: str, summary: str, deliverables: dict[str, str] | None = None
    ) -> None:
        """Deliver, whatever was delivered before, and only then say so as an update."""
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
        """Add a note to the agent's own."""
        with (self.workspace / f"{item}_notes.md").open("a", encoding="utf-8") as file:
            file.write(f"\n\n---\n{_now()}\n---\n{text}")

    def _rewrite(self, path: Path, document: Any) -> None:
        with path.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)


@dataclass(frozen=True)
class Orders:
    """What the command was told."""

    folder: Path
    agent: str
    log: Path
    careless: bool = False
    until: Path | None = None
    think_s: float = 0.05

    def ended(self) -> bool:
        """Return whether it is time to stop."""
        return self.until is not None and self.until.exists()


class Incarnation(FileWorker):
    """One life of the command: it remembers what it did itself, no more, and its fate says when it is careless."""

    def __init__(self, orders: Orders, fate: Random, name: str) -> None:
        super().__init__(orders.folder, orders.agent)
        self.orders = orders
        self.fate = fate
        self.name = name
        self.counter = count(1)
        self.completed: set[str] = set()

    def live(self) -> None:
        """Do what is assigned to the agent until it is time to stop."""
        while not self.orders.ended():
            for item in self._listed():
                with suppress(*CRASHES):
                    self._work_on(item)
            sleep(LOOK_AGAIN_S)

    def progress(self, item: str, text: str, percent: int | None = None) -> None:
        """Add an update to the item's, unless death comes between a completion and its update."""
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
                item, self._thought(item), self.fate.choice([None, 20 * step + 10])
            )
        if self.fate.random() < 1 / 3:
            self.discover(item, self._thought(item), self.fate.choice([None, "some"]))
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
        if self._fated(NEVER_MENDED):
            for entry in _entries(document):
                if _unindented(json.dumps(entry, indent=2)) not in _unindented(half):
                    self._log(path, entry, torn=True)
            raise SystemExit
        sleep(RESTART_S)

    def _log(self, path: Path, entry: dict[str, Any], **torn: bool) -> None:
        item, _, form = path.stem.rpartition("_")
        kind, text, time = FORMS[form]
        if not entry[text].startswith(self._signature()):
            return  # the update of a completion, or a report of somebody else
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
    """Start one incarnation after the other until it is time to stop."""
    lives = count(1)
    while not orders.ended():
        try:
            Incarnation(orders, fate, f"{os.getpid()}.{next(lives)}").live()
        except SystemExit:
            sleep(RESTART_S)


def main() -> None:
    """Be the command."""
    parser = argparse.ArgumentParser(description="A file-based worker.")
    parser.add_argument(
        "--folder", type=Path, required=True, help="the .task-orchestrator folder"
    )
    parser.add_argument("--agent", required=True)
    parser.add_argument(
        "--log",
        type=Path,
        required=True,
        help="where each report is logged as a line of JSON",
    )
    parser.add_argument(
        "--careless", action="store_true", help="tear files and die, now and then"
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
        "--seed", type=int, help="make its choices those of another run with this seed"
    )
    told = vars(parser.parse_args())
    seed = told.pop("seed")
    supervise(Orders(**told), Random(seed))


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _valid(handoff: dict[str, Any]) -> dict[str, Any]:
    """Return a handoff that has all that the predecessor shows, and break at what it lacks."""
    task = handoff["task"]
    _ = (
        handoff["item_id"],
        handoff["assigned_to"],
        handoff["project_context"]["project_title"],
    )
    _ = task["title"], task["description"], task["requirements"]
    return handoff


def _now() -> str:
    """Return the local time that does not say which zone it is of."""
    return (
        datetime.now()
        .astimezone()
        .replace(tzinfo=None)
        .isoformat(timespec="microseconds")
    )


def _entries(document: Any) -> list[dict[str, Any]]:
    """Return the reports in a file of any form."""
    entries: list[dict[str, Any]] = (
        document if isinstance(document, list) else document.get("updates", [document])
    )
    return entries


def _unindented(text: str) -> str:
    return re.sub(r"\n *", "\n", text)


if __name__ == "__main__":
    main()
