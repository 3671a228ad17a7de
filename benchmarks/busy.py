"""The time for which each call of a script keeps the server busy."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic
from urllib.parse import unquote, urlsplit

import redis
from taskorch.connections import connect
from taskorch.queue.port import Argument, ConnectionWrapper, Reply, Script

from benchmarks.queues import pid

#: The commands by which a script is called.
CALLS = ("eval", "evalsha", "fcall")
#: A script that takes about 1 ms where `import click` takes 41 ms of processor time.
FIXED_LOOP = (
    "local sum = 0 for i = 1, 100000 do sum = sum + i % 7 end return sum"
)
#: How often the fixed loop runs between calls, and how many of the last ones count: the
#: speed of a machine changes within seconds.
LOOP_EVERY_S, LOOPS = 0.05, 5
#: A main thread that is not idle by then has other work than the call.
IDLE_WITHIN_S = 0.05


@dataclass(frozen=True, kw_only=True)
class BusyCall:
    """One call of a script."""

    script: str
    #: The time of the command by the statistics of the server: it includes the time in
    #: which the server waited for a core.
    busy_ms: float
    #: The processor time of the main thread, which also reads the call and writes the
    #: reply and the file of appended changes; 0 if the kernel does not count it.
    cpu_ms: float
    #: The time of a fixed loop around then: how fast the machine was.
    loop_ms: float

    @property
    def loops(self) -> float:
        """The time in times of the fixed loop."""
        return self.busy_ms / self.loop_ms


class WatchedConnection(ConnectionWrapper):
    """A connection that keeps the time of each call. No other client may use the server."""

    def __init__(self, url: str) -> None:
        super().__init__(connect(url))
        self._server = redis.Redis(
            unix_socket_path=unquote(urlsplit(url).path)
        )
        # While Redis rewrites its file, a call copies the memory that it writes to.
        self._server.config_set("auto-aof-rewrite-percentage", 0)
        self._scheduled = Path(f"/proc/{pid(url)}/schedstat")
        self._state = self._scheduled.with_name("stat")
        self._loops_ms: deque[float] = deque(maxlen=LOOPS)
        self._looped_at = 0.0
        self.calls: list[BusyCall] = []

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script, and keep its time even if it refuses the call."""
        if monotonic() - self._looped_at > LOOP_EVERY_S:
            self._run_fixed_loop()
        busy_us, cpu_ns = self._busy_us(), self._cpu_ns()
        try:
            return self.connection.run_script(script, key, arguments)
        finally:
            cpu_ns = self._cpu_ns() - cpu_ns
            busy_us = self._busy_us() - busy_us
            self.calls.append(
                BusyCall(
                    script=script.name,
                    busy_ms=busy_us / 1000,
                    cpu_ms=cpu_ns / 1_000_000,
                    loop_ms=median(self._loops_ms),
                )
            )

    def close(self) -> None:
        """Close the sockets."""
        self._server.close()
        self.connection.close()

    def _run_fixed_loop(self) -> None:
        busy_us = self._busy_us()
        self._server.eval(FIXED_LOOP, 0)
        self._loops_ms.append((self._busy_us() - busy_us) / 1000)
        self._looped_at = monotonic()

    def _busy_us(self) -> int:
        """Return the time of all calls of scripts until now."""
        commands = self._server.info("commandstats")
        return sum(
            int(commands.get(f"cmdstat_{name}", {"usec": 0})["usec"])
            for name in CALLS
        )

    def _cpu_ns(self) -> int:
        """Return the processor time of the idle main thread until now."""
        try:
            deadline = monotonic() + IDLE_WITHIN_S
            while not self._is_idle() and monotonic() < deadline:
                pass
            return int(self._scheduled.read_text(encoding="utf-8").split()[0])
        except OSError:  # a kernel without these statistics
            return 0

    def _is_idle(self) -> bool:
        """Tell whether the main thread sleeps: only then its time is up to date."""
        status = self._state.read_text(encoding="utf-8")
        return status.rpartition(") ")[2].startswith("S")
