"""What a process was about to do and what came of it, line by line in a file of its own that outlives a kill -9."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import time
from typing import Any

from taskorch.domain.frozen import Frozen, replace

#: The answer to a call that was done. Another one is the word of an error, or "" when none ever came.
DONE = "ok"


class Call(Frozen):
    """One call of one process, however often it was repeated under its id."""

    id: str
    who: str
    verb: str
    item: str = ""
    #: What was shown: the number of the token, and the id of its claim ("" where the process does not learn it).
    token: int = 0
    claim: str = ""
    answer: str = ""
    #: What was received.
    got_token: int = 0
    got_claim: str = ""
    remark: str = ""
    #: Times of Redis in ms: the end of the lease that was received, and since when the claim is held; 0 for not known.
    expires_at: int = 0
    since: int = 0

    @property
    def done(self) -> bool:
        """Return whether Redis has acknowledged it."""
        return self.answer == DONE


class Ledger:
    """A file that only grows, by one write for each line."""

    def __init__(self, file: Path) -> None:
        self._who = file.stem
        self._descriptor = os.open(file, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)

    def write(self, line: str, **words: object) -> None:
        """Write `ask`, `told` or `fate`, and what belongs to it; what is empty is left out."""
        said = {name: word for name, word in words.items() if word}
        text = json.dumps(
            {"at": round(time(), 3), "who": self._who, "line": line, **said}
        )
        os.write(self._descriptor, f"{text}\n".encode())


def lines(folder: Path) -> list[dict[str, Any]]:
    """Return all lines of all ledgers in a folder, oldest first."""
    found = [
        line for file in sorted(folder.glob("*.ledger")) for line in _whole_lines(file)
    ]
    return sorted(found, key=lambda line: float(line["at"]))


def calls(written: Iterable[dict[str, Any]]) -> list[Call]:
    """Return the calls that lines tell of, by when each was first made; an acknowledgement outlives a later answer."""
    made: dict[str, Call] = {}
    for line in written:
        if line["line"] == "ask":
            made.setdefault(line["call"], _asked(line))
        elif line["line"] == "told" and not made[line["call"]].done:
            made[line["call"]] = _told(made[line["call"]], line)
    return list(made.values())


def _whole_lines(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def _asked(line: dict[str, Any]) -> Call:
    known = {name: line[name] for name in ("item", "token", "claim") if name in line}
    return Call(id=line["call"], who=line["who"], verb=line["verb"], **known)


def _told(call: Call, line: dict[str, Any]) -> Call:
    names = ("answer", "got_token", "got_claim", "remark", "expires_at", "since")
    return replace(
        call,
        item=line.get("item", call.item),
        **{name: line[name] for name in names if name in line},
    )
