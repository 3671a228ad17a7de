"""The ledger of a process: a line before and after each call.

A line is one write, so that it survives a SIGKILL.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import time
from typing import Any

from taskorch.domain.frozen import Frozen, replace

#: The answer to an acknowledged call. Others are an error word, or "" without a reply.
DONE = "ok"


class Call(Frozen):
    """One call of one process, with all repeats under its id."""

    id: str
    who: str
    verb: str
    item: str = ""
    #: The token that was shown, and the id of its claim, "" if unknown.
    token: int = 0
    claim: str = ""
    answer: str = ""
    #: The token that was received.
    got_token: int = 0
    got_claim: str = ""
    remark: str = ""
    #: Times of Redis in ms: the end of the lease, and the start of the claim; 0 for
    #: unknown.
    expires_at: int = 0
    since: int = 0

    @property
    def done(self) -> bool:
        """Return whether the call was acknowledged."""
        return self.answer == DONE


class Ledger:
    """An append-only file, with one write for each line."""

    def __init__(self, file: Path) -> None:
        self._who = file.stem
        self._descriptor = os.open(
            file, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644
        )

    def write(self, line: str, **fields: object) -> None:
        """Write a line: `call`, `reply`, `fault` or `own fault`, with its non-empty fields."""
        filled = {name: value for name, value in fields.items() if value}
        text = json.dumps(
            {"at": round(time(), 3), "who": self._who, "line": line, **filled}
        )
        os.write(self._descriptor, f"{text}\n".encode())


def lines(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of all ledgers in a folder, the oldest first."""
    found = [
        line
        for file in sorted(folder.glob("*.ledger"))
        for line in _whole_lines(file)
    ]
    return sorted(found, key=lambda line: float(line["at"]))


def calls(written: Iterable[dict[str, Any]]) -> list[Call]:
    """Return the calls in the lines, in the order in which they were first made.

    A later answer does not replace an acknowledgement.
    """
    made: dict[str, Call] = {}
    for line in written:
        if line["line"] == "call":
            made.setdefault(line["call"], _new_call(line))
        elif line["line"] == "reply" and not made[line["call"]].done:
            made[line["call"]] = _with_reply(made[line["call"]], line)
    return list(made.values())


def _whole_lines(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def _new_call(line: dict[str, Any]) -> Call:
    known = {
        name: line[name] for name in ("item", "token", "claim") if name in line
    }
    return Call(id=line["call"], who=line["who"], verb=line["verb"], **known)


def _with_reply(call: Call, line: dict[str, Any]) -> Call:
    names = (
        "answer",
        "got_token",
        "got_claim",
        "remark",
        "expires_at",
        "since",
    )
    return replace(
        call,
        item=line.get("item", call.item),
        **{name: line[name] for name in names if name in line},
    )
