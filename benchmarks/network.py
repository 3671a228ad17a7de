"""How many round trips does a command take? Each through a line that delays, and through the same without a delay."""

import asyncio
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from urllib.parse import unquote, urlsplit

from benchmarks.figures import Comparison, Figure, Round
from benchmarks.queues import rooted
from benchmarks.report import report
from benchmarks.workflow import environment, walk

DELAY_S = float(os.environ.get("BENCH_DELAY", "0.1"))
ROUNDS = 3
READ_BYTES = 65536
CLOSED_WITHIN_S = 10
FIGURES = {
    "trips": Figure(title="round trips", digits=2),
    "counted": Figure(title="counted by the line"),
}


class Line:
    """A line to a server that takes its time: half of the delay for each way, and all of it to connect.

    The machine itself answers who connects to a proxy, so what the handshake would take is waited for afterwards.
    """

    def __init__(self, socket: str, delay_s: float) -> None:
        """`socket` is the path of the server's."""
        self._socket = socket
        self.delay_s = delay_s
        #: Where clients find it.
        self.address = ""
        #: Connections, and times that a client said something.
        self.trips = 0

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry what one client and the server say to each other."""
        self.trips += 1
        await asyncio.sleep(self.delay_s)
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        try:
            await asyncio.gather(
                self._carry(reader, server_writer, 1),
                self._carry(server_reader, writer, 0),
            )
        finally:
            for each in (writer, server_writer):
                each.close()
                with suppress(OSError):
                    await each.wait_closed()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trips: int
    ) -> None:
        while said := await reader.read(READ_BYTES):
            self.trips += trips
            await asyncio.sleep(self.delay_s / 2)
            writer.write(said)
        writer.close()


def measure() -> Iterator[Comparison]:
    """Run the workflow through two lines at once, a command here and the same there: one delays, the other does not."""
    with rooted() as (root, url), ExitStack() as stack:
        socket = unquote(urlsplit(url).path)
        near, far = (
            stack.enter_context(lined(socket)),
            stack.enter_context(lined(socket, DELAY_S)),
        )
        list(walk(_variables(root, near)))  # Redis knows the scripts from here on
        rounds = [_round(root, near, far) for _ in range(ROUNDS)]
    told = (
        f"(Time with a delay of {DELAY_S * 1000:g} ms - time without it) / delay; {ROUNDS} rounds. One of them is the "
        "handshake of TCP. A script that this Redis has not seen yet takes one more, once."
    )
    yield Comparison(
        name="network", rows="command", figures=FIGURES, rounds=rounds, remarks=(told,)
    )


def _round(root: Path, near: Line, far: Line) -> Round:
    """Return for each command what the delay has cost it, and the round trips that the line saw."""
    seen: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    both = zip(walk(_variables(root, near)), walk(_variables(root, far)), strict=True)
    for (name, here), (_, there) in both:
        seen[name].append(((there.wall_s - here.wall_s) / DELAY_S, far.trips))
        far.trips = 0
    return {
        name: {
            "trips": median(trips for trips, _ in seen[name]),
            "counted": median(counted for _, counted in seen[name]),
        }
        for name in sorted(seen)
    }


def _variables(root: Path, line: Line) -> dict[str, str]:
    return environment(
        root,
        TASKORCH_REDIS_URL=line.address,
        TASKORCH_NAMESPACE=f"delayed-{line.delay_s:g}",
    )


@contextmanager
def lined(socket: str, delay_s: float = 0) -> Iterator[Line]:
    """Run a line on loopback, in a thread of its own."""
    line, loop = Line(socket, delay_s), asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(line.serve, "127.0.0.1", 0))
    host, port = server.sockets[0].getsockname()
    line.address = f"redis://{host}:{port}"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield line
    finally:
        asyncio.run_coroutine_threadsafe(_close(server), loop).result(CLOSED_WITHIN_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSED_WITHIN_S)
        loop.close()


async def _close(server: asyncio.Server) -> None:
    """Close a server, and end what it still carries."""
    server.close()
    carrying = asyncio.all_tasks() - {asyncio.current_task()}
    for task in carrying:
        task.cancel()
    await asyncio.gather(*carrying, return_exceptions=True)


if __name__ == "__main__":
    report(measure)
