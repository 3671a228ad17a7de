"""How many round trips does a command take? Each through a line that delays, and through the same without a delay."""

import asyncio
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from statistics import median
from urllib.parse import unquote, urlsplit

from benchmarks.figures import Comparison, Figure, Round
from benchmarks.queues import rooted
from benchmarks.report import report
from benchmarks.workflow import environment, walk

DELAY_S = float(os.environ.get("BENCH_DELAY", "0.1"))
ROUNDS = 3
READ_BYTES = 65536
FIGURES = {
    "trips": Figure(title="round trips", digits=2),
    "counted": Figure(title="counted by the line"),
}


class Line:
    """A line to a server that takes its time: half of the delay for each way, and all of it to connect.

    The machine itself answers who connects to a proxy, so what the handshake would take is waited for afterwards.
    """

    def __init__(self, socket: str) -> None:
        """`socket` is the path of the server's."""
        self._socket = socket
        self.delay_s = 0.0
        #: Connections, and times that a client said something.
        self.trips = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry what one client and the server say to each other."""
        self.trips += 1
        await asyncio.sleep(self.delay_s)
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        with closing(writer), closing(server_writer):
            await asyncio.gather(self._carry(reader, server_writer, 1), self._carry(server_reader, writer, 0))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trips: int) -> None:
        while said := await reader.read(READ_BYTES):
            self.trips += trips
            await asyncio.sleep(self.delay_s / 2)
            writer.write(said)
        writer.close()


def measure() -> Iterator[Comparison]:
    """Run the workflow with and without the delay, in turns."""
    with rooted() as (root, url), lined(unquote(urlsplit(url).path)) as (line, address):
        variables = environment(root, TASKORCH_REDIS_URL=address)
        _walk(line, variables, 0)  # Redis knows the scripts from here on
        rounds = [_round(line, variables) for _ in range(ROUNDS)]
    told = (
        f"(Time with a delay of {DELAY_S * 1000:g} ms - time without it) / delay; {ROUNDS} rounds. One of them is the "
        "handshake of TCP. A script that this Redis has not seen yet takes one more, once."
    )
    yield Comparison(name="network", rows="command", figures=FIGURES, rounds=rounds, remarks=(told,))


def _round(line: Line, variables: dict[str, str]) -> Round:
    near, far = _walk(line, variables, 0), _walk(line, variables, DELAY_S)
    return {name: {"trips": (far[name][0] - near[name][0]) / DELAY_S, "counted": far[name][1]} for name in sorted(far)}


def _walk(line: Line, variables: dict[str, str], delay_s: float) -> dict[str, tuple[float, float]]:
    """Return the seconds of each command, and its round trips as the line counts them."""
    line.delay_s, line.trips = delay_s, 0
    times: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for name, done in walk(variables):
        times[name].append((done.wall_s, line.trips))
        line.trips = 0
    return {name: (median(t for t, _ in seen), median(n for _, n in seen)) for name, seen in times.items()}


@contextmanager
def lined(socket: str) -> Iterator[tuple[Line, str]]:
    """Run a line on loopback, in a thread of its own; give it and its address."""
    line, loop = Line(socket), asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(line.serve, "127.0.0.1", 0))
    host, port = server.sockets[0].getsockname()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield line, f"redis://{host}:{port}"
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


if __name__ == "__main__":
    report(measure)
