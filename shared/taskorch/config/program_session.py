"""The session of an agent program, which its hooks, shell and MCP server belong to.

Some programs put their session id into the environment of what they start. For the
others, the hook at the start of a session records the process of the program, and
everything that this process has started belongs to the session:

.task-orchestrator/run/sessions/<id>             the session name, and the process
.task-orchestrator/run/sessions/process-<process>    the names of its sessions
.task-orchestrator/run/sessions/briefed-<role>-<id>  the newest start that was briefed
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from time import time
from typing import NamedTuple

from taskorch.config import files, root_folder
from taskorch.domain import limits

#: The variables in which programs pass on the id of their session.
VARIABLES = ("CODEX_THREAD_ID", "CLAUDE_CODE_SESSION_ID", "GEMINI_SESSION_ID")
#: The names that programs have for that id in the JSON of their hooks.
PAYLOAD_IDS = ("session_id", "conversation_id")
#: A program that has cleared its context continues the session under another id.
CONTINUES = "clear"
#: Programs start a hook through a shell. Most shells then become the hook.
SHELLS = ("sh", "bash", "dash", "zsh", "fish", "ash", "busybox", "ksh")
#: What adopts a hook that its program has detached.
MANAGERS = ("systemd", "init")
#: Two hooks of one start begin together, and each takes less than two seconds.
ONE_START_S = 10
#: Records older than this are removed when a session starts.
KEPT_S = 14 * 86_400
RECORD_BYTES = 4096
#: The sessions that are recorded of one process.
MOST_SESSIONS = 20
#: The file that is locked while a start is recorded; no session has such a name.
LOCK = ".lock"
#: The folder with a folder for each process, on Linux.
PROCESSES = "/proc"
#: The states of a process that has ended, and the place of its start after its parent.
ENDED, STARTED = ("Z", "X"), 17


class Process(NamedTuple):
    """A process of this machine, and none that gets its number later."""

    pid: int
    started: str

    def __str__(self) -> str:
        """Return the text that identifies the process on this machine."""
        return f"{self.pid}-{self.started}"


class Start(NamedTuple):
    """The start of a program's session, as its hook reports it."""

    #: The id that the program has for the session; "" for a program without ids.
    id: str
    #: Why it starts: "startup", "resume", "clear", "compact".
    source: str


def start_of(payload: Mapping[str, object]) -> Start:
    """Return the start that the JSON of a hook reports."""
    ids = (payload.get(name) for name in PAYLOAD_IDS)
    found = next((str(each) for each in ids if each), "")
    return Start(found, str(payload.get("source") or ""))


def name_of(id_: str) -> str:
    """Return the name of the session for a program's id; "" for none."""
    if not id_ or limits.is_name(id_):
        return id_
    from binascii import crc32

    return f"program-{crc32(os.fsencode(id_)):08x}"


class ProgramSessions:
    """The sessions of programs in one root."""

    def __init__(self, home: files.PathLike) -> None:
        """`home` is the folder `.task-orchestrator` of the root."""
        self._home = os.fspath(home)
        self._folder = os.path.join(home, "run", "sessions")

    def current(self, environment: Mapping[str, str]) -> str:
        """Return the session that this process belongs to; "" outside of a program.

        If a program was started by another one, the variables of both are set. Then the
        nearest process that is recorded decides.
        """
        ids = [
            environment[name] for name in VARIABLES if environment.get(name)
        ]
        if len(ids) == 1:
            return self.named(ids[0])
        return self._of_ancestors() or (self.named(ids[0]) if ids else "")

    def named(self, id_: str) -> str:
        """Return the name of the session that a program has an id for."""
        name = name_of(id_)
        return str(self._record(name).get("session") or name) if name else ""

    def begin(self, start: Start) -> str:
        """Record the start of a session and return its name. Raises OSError.

        A session whose context was cleared keeps its name, and so its items, although
        the program has another id for it from then on.
        """
        root_folder.create(self._home)
        files.make_private_folder(os.path.join(self._home, "run"))
        files.make_private_folder(self._folder)
        # A program may start several sessions at once.
        lock = files.open_private(
            os.path.join(self._folder, LOCK), os.O_RDWR | os.O_CREAT
        )
        with os.fdopen(lock, "r+b"):
            files.take_lock(lock, wait=True)
            os.utime(lock)  # it is no old record
            self._remove_old_records()
            return self._begin(start)

    def _begin(self, start: Start) -> str:
        name = name_of(start.id)
        process = _program()
        session = str(self._record(name).get("session") or name)
        earlier = self._sessions_of(process) if process else []
        # A server of several sessions does not tell which of them was cleared.
        if start.source == CONTINUES and len(earlier) == 1:
            (session,) = earlier
        record = {"session": session}
        if process:
            record["machine"], record["process"] = _machine(), str(process)
            others = [each for each in earlier if each != session]
            sessions = [*others, session][-MOST_SESSIONS:]
            self._write(f"process-{process}", {"sessions": sessions})
        self._write(name, record)
        if session != name:
            self._write(session, {**record, "session": session})
        return session

    def is_first(self, role: str, start: Start) -> bool:
        """Return whether no other hook has answered this start for a role.

        With a user's and a project's setup, a program calls each hook twice, both at
        the same time. Raises OSError.
        """
        file = os.path.join(
            self._folder, f"briefed-{role}-{name_of(start.id)}"
        )
        descriptor = files.open_private(file, os.O_RDWR | os.O_CREAT)
        with os.fdopen(descriptor, "r+b") as opened:
            files.take_lock(descriptor, wait=True)
            key = f"{start.source} {_program()}".encode()
            age_s = time() - os.fstat(descriptor).st_mtime
            if opened.read(RECORD_BYTES) == key and age_s < ONE_START_S:
                return False
            opened.seek(0)
            opened.write(key)
            opened.truncate()
            os.utime(descriptor)
        return True

    def is_over(self, session: str) -> bool:
        """Return whether the program of a session has ended, as far as it is known."""
        record = self._record(session)
        if not record.get("process") or record.get("machine") != _machine():
            return False
        pid, _, _ = str(record["process"]).partition("-")
        process = _process(int(pid)) if pid.isdecimal() else None
        return str(process) != record["process"]

    def _of_ancestors(self) -> str:
        if not os.path.isdir(self._folder):
            return ""
        for process, _ in _ancestors():
            sessions = self._sessions_of(process)
            if sessions:
                return sessions[-1]
        return ""

    def _sessions_of(self, process: Process) -> Sequence[str]:
        """Return the names of a process's sessions, the newest last."""
        sessions = self._record(f"process-{process}").get("sessions")
        return list(map(str, sessions)) if isinstance(sessions, list) else []

    def _record(self, name: str) -> Mapping[str, object]:
        file = os.path.join(self._folder, name)
        try:
            descriptor = files.open_private(file, os.O_RDONLY)
        except OSError:
            return {}
        import json  # most commands have no record to read

        try:
            with os.fdopen(descriptor, "rb") as opened:
                record = json.loads(opened.read(RECORD_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        return record if isinstance(record, dict) else {}

    def _write(self, name: str, record: Mapping[str, object]) -> None:
        import json

        file = os.path.join(self._folder, name)
        files.write_atomically(file, json.dumps(record).encode())

    def _remove_old_records(self) -> None:
        oldest = time() - KEPT_S
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < oldest:
                        os.unlink(entry.path)


def _program() -> Process | None:
    """Return the process that called this hook: the nearest that is not a shell."""
    for process, command in _ancestors():
        if command not in SHELLS:
            return None if command in MANAGERS else process
    return None


def _ancestors() -> Iterator[tuple[Process, str]]:
    """Yield the parent of this process and its parents, and the name of each command.

    Yields nothing on a system without a folder for each process.
    """
    pid = os.getppid()
    while pid > 1:
        fields = _fields(pid)
        if not fields:
            return
        command, parent, started = fields
        yield Process(pid, started), command
        pid = parent


def _process(pid: int) -> Process | None:
    fields = _fields(pid)
    return Process(pid, fields[2]) if fields else None


def _fields(pid: int) -> tuple[str, int, str] | None:
    """Return the command, the parent and the start of a process; None if it ended."""
    try:
        with open(f"{PROCESSES}/{pid}/stat", "rb") as file:
            content = file.read().decode(errors="replace")
    except OSError:
        return None
    before, _, after = content.rpartition(")")
    state, parent, *others = after.split()
    if state in ENDED:
        return None
    return before.partition("(")[2], int(parent), others[STARTED]


def _machine() -> str:
    """Return what distinguishes this boot and pid namespace from others."""
    boot = ""
    with suppress(OSError):
        with open(f"{PROCESSES}/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        boot += f" {os.readlink(f'{PROCESSES}/self/ns/pid')}"
    return boot
