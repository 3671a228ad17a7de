"""The summary of a run: its calls, faults and violations, as a table or as JSON."""

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
from chaos.faults import ALONE_S, CLUSTERED_S, GATEWAY_S, REPLICATED_S
from chaos.ledger import DONE, Call
from chaos.verdict import Violations, is_poison

#: Violations whose ledger lines are printed.
MAX_SHOWN = 5
OWN_FAULTS: Mapping[str, str] = {
    "killed": "kill -9 of a worker or producer",
    "poisoned": "kill -9 by a poison item",
    "suspended": "SIGSTOP of the stale holder",
}
#: Faults of a call, by the reason in the error of the call.
REASONS: Mapping[str, str] = {
    "kill -9 of a command": COMMAND_KILLED,
    "reply lost": REPLY_LOST,
}
#: Faults after which the time without replies is measured, and how soon it begins.
OUTAGE_FAULTS = (*ALONE_S, *GATEWAY_S, *REPLICATED_S, *CLUSTERED_S)
OUTAGE_WITHIN_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The results of one run."""

    redis: str
    seed: int
    #: Its duration, including the time to finish the remaining items.
    seconds: float
    #: The number of processes started, by role.
    processes: Mapping[str, int]
    faults: Mapping[str, int]
    #: The number of calls by verb, and by reply if they were not acknowledged.
    calls: Mapping[str, int]
    #: The number of items by state; poison items are counted separately.
    items: Mapping[str, int]
    wait_replicas: str
    #: The longest time without an acknowledged call after each kind of fault.
    outages_s: Mapping[str, float]
    stale_writes_refused: int
    verdict: Sequence[Violations]

    @property
    def is_failure(self) -> bool:
        """Return whether the queue has broken a guarantee."""
        return any(each.is_failure for each in self.verdict)

    def document(self) -> dict[str, Any]:
        """Return the document of `--json`."""
        verdict = {
            each.invariant: {"found": len(each.found), "of": each.of}
            for each in self.verdict
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
            "outages_s": dict(self.outages_s),
            "stale_writes_refused": self.stale_writes_refused,
            "verdict": verdict,
            "failed": self.is_failure,
        }


def own_faults(lines: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Return the number of faults that processes caused themselves, by kind."""
    found = Counter(
        OWN_FAULTS[line["fault"]]
        for line in lines
        if line["line"] == "own fault"
    )
    for fault, reason in REASONS.items():
        found[fault] = sum(reason in line.get("reason", "") for line in lines)
    return found


def outages_s(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the longest time without an acknowledged call after faults of servers."""
    times = [float(line["at"]) for line in lines if line.get("answer") == DONE]
    worst: dict[str, float] = {}
    for fault in (
        line
        for line in lines
        if line["line"] == "fault" and line["kind"] in OUTAGE_FAULTS
    ):
        began, ended = (
            fault["at"] - OUTAGE_WITHIN_S / 10,
            fault["at"] + OUTAGE_WITHIN_S,
        )
        outages = [
            later - earlier
            for earlier, later in pairwise(times)
            if began <= earlier <= ended
        ]
        worst[fault["kind"]] = round(
            max([worst.get(fault["kind"], 0.0), *outages]), 1
        )
    return worst


def answers(calls: Iterable[Call]) -> Counter[str]:
    """Return the number of calls by verb and reply."""
    found: Counter[str] = Counter()
    for call in calls:
        if call.verb == "claim":
            found[
                "claim" if call.got_token else "claim, no item or no reply"
            ] += 1
        elif call.verb != "count":
            found[f"{call.verb}{_outcome(call)}"] += 1
    return found


def states(records: Iterable[MirrorRecord]) -> Counter[str]:
    """Return the number of items by state."""
    return Counter(
        f"{'poison, ' if is_poison(each.item) else ''}{each.item.state}"
        for each in records
    )


def show(summary: Summary, *, as_json: bool) -> None:
    """Print a summary."""
    if as_json:
        sys.stdout.write(f"{json.dumps(summary.document())}\n")
        return
    title = (
        f"{summary.redis}, waiting for {summary.wait_replicas} replicas, "
        f"seed {summary.seed}, {summary.seconds:.0f} s"
    )
    table = Table("what", "number", "of", title=f"Chaos: {title}")
    for part in (
        summary.processes,
        summary.calls,
        summary.items,
        summary.faults,
    ):
        for name, number in sorted(part.items()):
            table.add_row(name, str(number), "")
        table.add_section()
    for kind, seconds in summary.outages_s.items():
        table.add_row(
            f"seconds without a reply after: {kind}", str(seconds), ""
        )
    table.add_row(
        "stale writes refused", str(summary.stale_writes_refused), ""
    )
    for each in summary.verdict:
        found = str(len(each.found))
        if each.found and each.is_tolerated:
            found += " (by failover)"
        if each.is_failure:
            found = f"[bold red]{found}[/]"
        table.add_row(each.invariant, found, str(each.of or ""))
    Console().print(table)


def show_failures(
    summary: Summary, lines: Sequence[Mapping[str, Any]]
) -> None:
    """Print the failures to stderr, with ledger lines of some of the items."""
    failures = [each for each in summary.verdict if each.is_failure]
    for failure in failures:
        for item in failure.found[:MAX_SHOWN]:
            entries = [
                json.dumps(line) for line in lines if line.get("item") == item
            ]
            heading = f"{failure.invariant}: {item}"
            sys.stderr.write("\n  ".join([heading, *entries]) + "\n")


def _outcome(call: Call) -> str:
    if call.answer == DONE:
        return ""
    return f", {call.answer.lower().replace('_', ' ') or 'killed'}"
