"""Repairs the end of the bundled server's append-only file, as a crash of the machine leaves it."""

import os
import re
import subprocess
from pathlib import Path
from time import gmtime, strftime

from taskorch.domain import errors

#: The bundled binary is a server, or this, by the name that it is called by.
CHECKER = "valkey-check-aof"
_SOUND = re.compile(rb"ok_up_to=(\d+)")
_LAST_PART = re.compile(r"^file (\S+) seq \d+ type i\b", re.MULTILINE)
_HEAD = re.compile(rb"[*$](\d+)\r\n")
_PIECE_BYTES = 1 << 20


def repair(appended: Path, binary: str, *, force: bool) -> str:
    """Cut damage off the end of the file that the server appends to; return a line that says so.

    What is cut off is kept beside it. Without `force` only zeros and an unfinished command are: what a crash leaves.
    Raises errors.DataDamaged for anything else, OSError.
    """
    file = _last_part(appended)
    size, sound = file.stat().st_size, _sound_bytes(file, binary)
    if sound >= size or not (force or _is_unfinished(file, sound)):
        raise errors.DataDamaged(
            file=str(file), sound=sound, size=size, repairable=int(sound < size)
        )
    copy = _keep(file, sound)
    os.truncate(file, sound)
    return (
        f"Repaired the data of the bundled server: the last {size - sound} of {size} bytes were damaged. "
        f"They are in {copy}."
    )


def _last_part(appended: Path) -> Path:
    """Return the newest part of the file, to which the server appends."""
    manifest = next(iter(appended.glob("*.manifest")), None)
    names = (
        _LAST_PART.findall(manifest.read_text(encoding="utf-8", errors="replace"))
        if manifest
        else []
    )
    if not names or not (appended / names[-1]).is_file():
        raise errors.DataDamaged(
            file=str(manifest or appended), sound=0, size=0, repairable=0
        )
    return appended / str(names[-1])


def _sound_bytes(file: Path, binary: str) -> int:
    """Return the number of bytes at the beginning that hold whole commands, and whole transactions."""
    told = subprocess.run(
        [CHECKER, str(file)], executable=binary, capture_output=True, check=False
    ).stdout
    sound = _SOUND.search(told)
    return int(sound[1]) if sound else 0


def _is_unfinished(file: Path, sound: int) -> bool:
    """Return whether all that follows is whole commands, then one that breaks off, then zeros."""
    with file.open("rb") as opened:
        opened.seek(sound)
        rest = opened.read().rstrip(b"\0")
    at = 0
    while at < len(rest):
        head = _HEAD.match(rest, at)
        if not head:
            return len(rest) - at < len(b"*1234567890\r\n") and bool(
                re.fullmatch(rb"[*$]\d*\r?", rest[at:])
            )
        at = head.end()
        if rest[head.start()] == ord("$"):
            at += int(head[1]) + 2
            if at <= len(rest) and rest[at - 2 : at] != b"\r\n":
                return False
    return True


def _keep(file: Path, sound: int) -> Path:
    """Copy what follows the sound part into a new file, which the disk keeps, and return its path."""
    copy = file.parent.with_name(
        f"damaged-{strftime('%Y%m%dT%H%M%SZ', gmtime())}-{file.name}"
    )
    with file.open("rb") as opened, copy.open("xb") as kept:
        opened.seek(sound)
        while piece := opened.read(_PIECE_BYTES):
            kept.write(piece)
        kept.flush()
        os.fsync(kept.fileno())
    return copy
