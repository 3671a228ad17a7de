"""Repairs the end of the bundled server's append-only file after a system crash."""

import os
import re
import subprocess
from pathlib import Path
from time import gmtime, strftime

from taskorch.domain import errors

#: The name that makes the bundled binary a checker of such files instead of a server.
CHECKER = "valkey-check-aof"
CHUNK_BYTES = 1 << 20

_SOUND = re.compile(rb"ok_up_to=(\d+)")
_LAST_PART = re.compile(r"^file (\S+) seq \d+ type i\b", re.MULTILINE)
#: The head of a command (*) or of an argument ($), and a head that breaks off.
_HEAD = re.compile(rb"[*$](\d+)\r\n")
_PARTIAL_HEAD = re.compile(rb"[*$]\d*\r?")
_LINE_END = b"\r\n"
_LONGEST_HEAD = len(b"*1234567890\r\n")


def repair(appended: Path, binary: str, *, force: bool) -> str:
    """Cut damage off the end of the append-only file, and return a sentence about it.

    `appended` is the folder of the file; a copy of the damaged end is kept beside it.
    Without `force`, only zeros and an unfinished command are cut off, which a crash
    leaves. Raises errors.DataDamaged for any other damage, and OSError.
    """
    file = _last_part(appended)
    size = file.stat().st_size
    sound = _sound_bytes(file, binary)
    is_damaged = sound < size
    if not is_damaged or not (force or _is_unfinished(file, sound)):
        raise errors.DataDamaged(
            file=str(file), sound=sound, size=size, repairable=int(is_damaged)
        )
    copy = _keep_end(file, sound)
    os.truncate(file, sound)
    return (
        f"Repaired the data of the bundled server: the last {size - sound} of {size} "
        f"bytes were damaged. They are in {copy}."
    )


def _last_part(appended: Path) -> Path:
    """Return the newest part of the file, to which the server appends."""
    manifest = next(iter(appended.glob("*.manifest")), None)
    if manifest:
        text = manifest.read_text(encoding="utf-8", errors="replace")
        if names := _LAST_PART.findall(text):
            part = appended / str(names[-1])
            if part.is_file():
                return part
    damaged = manifest or appended
    raise errors.DataDamaged(file=str(damaged), sound=0, size=0, repairable=0)


def _sound_bytes(file: Path, binary: str) -> int:
    """Return the size of the beginning that consists of complete transactions."""
    output = subprocess.run(
        [CHECKER, str(file)],
        executable=binary,
        capture_output=True,
        check=False,
    ).stdout
    sound = _SOUND.search(output)
    return int(sound[1]) if sound else 0


def _is_unfinished(file: Path, sound: int) -> bool:
    """Return whether the rest is complete commands, a partial one and then zeros."""
    with file.open("rb") as opened:
        opened.seek(sound)
        rest = opened.read().rstrip(b"\0")
    at = 0
    while at < len(rest):
        head = _HEAD.match(rest, at)
        if not head:
            end = rest[at:]
            is_head = _PARTIAL_HEAD.fullmatch(end) is not None
            return is_head and len(end) < _LONGEST_HEAD
        at = head.end()
        if head[0].startswith(b"$"):
            at += int(head[1]) + len(_LINE_END)
            if at <= len(rest) and not rest.endswith(_LINE_END, 0, at):
                return False
    return True


def _keep_end(file: Path, sound: int) -> Path:
    """Copy the end into a new file, synced to disk, and return its path."""
    now = strftime("%Y%m%dT%H%M%SZ", gmtime())
    copy = file.parent.with_name(f"damaged-{now}-{file.name}")
    with file.open("rb") as opened, copy.open("xb") as kept:
        opened.seek(sound)
        while chunk := opened.read(CHUNK_BYTES):
            kept.write(chunk)
        kept.flush()
        os.fsync(kept.fileno())
    return copy
