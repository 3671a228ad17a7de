"""The account of a run: how much was done, which faults there were, and the verdict; for people and as JSON."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rich.console import Console
from rich.table import Table
from taskorch.domain.mirror_record import MirrorRecord

from chaos.api_agent import REPLY_LOST
from chaos.cli_agent import COMMAND_KILLED
from chaos.faults import ALONE_S, CLUSTERED_S, REPLICATED_S
from chaos.ledger import DONE, Call
from chaos.verdict import Line, is_poison

#: Offenders whose ledger lines are printed.
SHOWN = 5
FATES: Mapping[str, str] = {
    "killed": "kill -9 of a worker or producer",
    "poisoned": "kill -9 by a poison item",
    "asleep": "SIGSTOP of the scene",
}
#: What a call is told that was not answered because of a fault of its own.
WHYS: Mapping[str, str] = {
    "kill -9 of a command": COMMAND_KILLED,
    "reply lost on its way": REPLY_LOST,
}
#: The faults whose silences are measured, and how soon after them one begins.
SILENCING = (*ALONE_S, *REPLICATED_S, *CLUSTERED_S)
SILENT_WITHIN_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Account:
    """What one run was like."""

    redis: str
    seed: int
    #: How long it took, the drain included.
    seconds: float
    #: How many processes were started in each role.
    processes: Mapping[str, int]
    faults: Mapping[str, int]
    #: How many calls were acknowledged of each verb; under "…, no answer" and "…, refused" those that were not.
    calls: Mapping[str, int]
    #: How many items are in each state, poison items apart.
    items: Mapping[str, int]
    wait_replicas: str
    #: How long no call of anybody was acknowledged after a fault of a kind, at worst.
    silences_s: Mapping[str, float]
    stale_writes_refused: int
    verdict: Sequence[Line]

    @property
    def guilty(self) -> bool:
        """Return whether the queue has broken a promise."""
        return any(line.guilty for line in self.verdict)

    def document(self) -> dict[str, Any]:
        """Return all of it for `--json`."""
        charges = {
            line.charge: {"found": len(line.offenders), "of": line.of}
            for line in self.verdict
        }
        return {
            "redis": self.redis,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "processes": dict(self.processes),
            "faults": dict(self.faults),
            "calls": dict(self.calls),
            "items": dict(self.items),
            "wait_replicas": self.wait_replicas,
            "silences_s": dict(self.silences_s),
            "stale_writes_refused": self.stale_writes_refused,
            "verdict": charges,
            "guilty": self.guilty,
        }


def suffered(lines: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Return the faults that processes inflicted upon themselves."""
    found = Counter(FATES[line["fate"]] for line in lines if line["line"] == "fate")
    for fault, why in WHYS.items():
        found[fault] = sum(why in line.get("why", "") for line in lines)
    return found


def silences_s(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return how long nothing was acknowledged to anybody after the faults that no server outlives unharmed."""
    times = [float(line["at"]) for line in lines if line.get("answer") == DONE]
    worst: dict[str, float] = {}
    for fault in (
        line for line in lines if line["line"] == "fault" and line["kind"] in SILENCING
    ):
        began, ended = fault["at"] - SILENT_WITHIN_S / 10, fault["at"] + SILENT_WITHIN_S
        silences = [
            later - earlier
            for earlier, later in pairwise(times)
            if began <= earlier <= ended
        ]
        worst[fault["kind"]] = round(max([worst.get(fault["kind"], 0.0), *silences]), 1)
    return worst


def answers(calls: Iterable[Call]) -> Counter[str]:
    """Return how many calls of each verb were acknowledged, refused, or never answered."""
    found: Counter[str] = Counter()
    for call in calls:
        if call.verb == "claim":
            found[
                "claim" if call.got_token else "claim, nothing there or no answer"
            ] += 1
        elif call.verb != "look":
            found[f"{call.verb}{_outcome(call)}"] += 1
    return found


def states(records: Iterable[MirrorRecord]) -> Counter[str]:
    """Return how many items are in each state."""
    return Counter(
        f"{'poison, ' if is_poison(each.item) else ''}{each.item.state}"
        for each in records
    )


def show(account: Account, *, as_json: bool) -> None:
    """Print an account."""
    if as_json:
        sys.stdout.write(f"{json.dumps(account.document())}\n")
        return
    told = (
        f"{account.redis}, waiting for {account.wait_replicas} replicas, "
        f"seed {account.seed}, {account.seconds:.0f} s"
    )
    table = Table("what", "number", "of", title=f"Chaos: {told}")
    for part in (account.processes, account.calls, account.items, account.faults):
        for name, number in sorted(part.items()):
            table.add_row(name, str(number), "")
        table.add_section()
    for kind, seconds in account.silences_s.items():
        table.add_row(f"seconds of silence after: {kind}", str(seconds), "")
    table.add_row("stale writes refused", str(account.stale_writes_refused), "")
    for line in account.verdict:
        found = f"{len(line.offenders)}{' (by failover)' if line.offenders and line.excused else ''}"
        table.add_row(
            line.charge,
            f"[bold red]{found}[/]" if line.guilty else found,
            str(line.of or ""),
        )
    Console().print(table)


def accuse(account: Account, lines: Sequence[Mapping[str, Any]]) -> None:
    """Print on stderr who is guilty of what, with what the ledgers have on some of them."""
    for line in account.verdict:
        for offender in line.offenders[:SHOWN] if line.guilty else ():
            told = [
                json.dumps(entry) for entry in lines if entry.get("item") == offender
            ]
            sys.stderr.write("\n  ".join([f"{line.charge}: {offender}", *told]) + "\n")


def _outcome(call: Call) -> str:
    return (
        ""
        if call.answer == DONE
        else f", {call.answer.lower().replace('_', ' ') or 'killed'}"
    )
