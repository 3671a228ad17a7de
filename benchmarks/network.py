"""Round trips of a command: through a proxy that delays, and through one that does not."""

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
    """A proxy that delays: half of the delay in each direction, and all of it to connect.

    The machine itself answers who connects to a proxy, so what the handshake would take
    is waited for afterwards.
    """

    def __init__(self, socket: str, delay_s: float) -> None:
        """`socket` is the path of the server's socket."""
        self._socket = socket
        self.delay_s = delay_s
        #: The address for clients.
        self.address = ""
        #: The number of connections and of requests.
        self.trips = 0
        #: Whether the last bytes were those of a request: one client calls at a time.
        self._is_asked = False

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Forward the bytes of one client and the server."""
        self.trips += 1
        await asyncio.sleep(self.delay_s)
        server_reader, server_writer = await asyncio.open_unix_connection(
            self._socket
        )
        try:
            await asyncio.gather(
                self._carry(reader, server_writer, is_request=True),
                self._carry(server_reader, writer, is_request=False),
            )
        finally:
            for each in (writer, server_writer):
                each.close()
                with suppress(OSError):
                    await each.wait_closed()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_request: bool,
    ) -> None:
        while said := await reader.read(READ_BYTES):
            # the text of the library arrives in several pieces
            if is_request and not self._is_asked:
                self.trips += 1
            self._is_asked = is_request
            await asyncio.sleep(self.delay_s / 2)
            writer.write(said)
        writer.close()


def measure() -> Iterator[Comparison]:
    """Run each command of the workflow through two proxies: one delays, the other does not."""
    with rooted() as (root, url), ExitStack() as stack:
        socket = unquote(urlsplit(url).path)
        near, far = (
            stack.enter_context(lined(socket)),
            stack.enter_context(lined(socket, DELAY_S)),
        )
        # Redis has the functions from here on
        list(walk(_variables(root, near)))
        rounds = [_round(root, near, far) for _ in range(ROUNDS)]
    remark = (
        f"(Time with a delay of {DELAY_S * 1000:g} ms - time without it) / delay; {ROUNDS} rounds. One of them is the "
        "handshake of TCP. The first call on a server takes two more: it installs the functions."
    )
    yield Comparison(
        name="network",
        rows="command",
        figures=FIGURES,
        rounds=rounds,
        remarks=(remark,),
    )


def _round(root: Path, near: Line, far: Line) -> Round:
    """Return the delay of each command in round trips, and the number that the proxy counted."""
    seen: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    both = zip(
        walk(_variables(root, near)), walk(_variables(root, far)), strict=True
    )
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
    """Run a proxy on loopback in a thread."""
    line, loop = Line(socket, delay_s), asyncio.new_event_loop()
    server = loop.run_until_complete(
        asyncio.start_server(line.serve, "127.0.0.1", 0)
    )
    host, port = server.sockets[0].getsockname()
    line.address = f"redis://{host}:{port}"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield line
    finally:
        asyncio.run_coroutine_threadsafe(_close(server), loop).result(
            CLOSED_WITHIN_S
        )
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSED_WITHIN_S)
        loop.close()


async def _close(server: asyncio.Server) -> None:
    """Close a server and its connections."""
    server.close()
    carrying = asyncio.all_tasks() - {asyncio.current_task()}
    for task in carrying:
        task.cancel()
    await asyncio.gather(*carrying, return_exceptions=True)


if __name__ == "__main__":
    report(measure)
