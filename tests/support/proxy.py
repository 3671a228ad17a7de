"""A proxy before a real server that loses, delays or refuses what a test wants."""

import asyncio
import socket
from collections import Counter, deque
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterator,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager, suppress
from math import inf
from ssl import SSLContext
from urllib.parse import unquote, urlsplit

import hiredis
from support import tunnels

ALWAYS = inf
SCRIPTS = (b"FCALL", b"EVALSHA", b"EVAL")
#: Replies after which a client sends the script in another way.
UNKNOWN = (b"-ERR Function not found", b"-NOSCRIPT")


class Proxy:
    """A proxy. Its attributes may be changed at any time, from any thread.

    Only calls of scripts are lost, each identified by its request id. Other commands
    always pass.
    """

    def __init__(self, upstream: str) -> None:
        """`upstream` is the address of the server."""
        self._upstream = upstream
        #: Its own address, once it is listening.
        self.url = ""
        #: How many replies to each request are lost, after the server has acted.
        self.replies_lost: float = 0
        #: How many times each request is lost before the server receives it.
        self.requests_lost: float = 0
        self.delay_up_s = self.delay_down_s = 0.0
        self.refusing = False
        #: The caller whose scripts always pass.
        self.spared_caller = b""
        #: Called when a request or a reply is lost, before the client notices.
        self.on_lost_request: Callable[[], object] = lambda: None
        self.on_lost_reply: Callable[[], object] = lambda: None
        #: The lost and the delivered replies of scripts, as the server sent them.
        self.lost: list[bytes] = []
        self.passed: list[bytes] = []
        #: What clients sent up to each request that was lost.
        self.late: list[bytes] = []
        self._lost_replies: Counter[bytes] = Counter()
        self._lost_requests: Counter[bytes] = Counter()

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one client until either side closes, or something is lost."""
        async with _closed(writer):
            if self.refusing:
                return
            server_reader, server_writer = await self._connected()
            async with _closed(server_writer):
                client = Client(self, writer)
                pumps = [
                    client.forward_requests(reader, server_writer),
                    client.forward_replies(server_reader),
                ]
                tasks = [asyncio.ensure_future(pump) for pump in pumps]
                try:
                    await asyncio.wait(
                        tasks, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    await tunnels.cancelled(tasks)

    def deliver_late(self) -> list[object]:
        """Send the lost requests to the server after all; return its replies."""
        return [self._reply_to(text) for text in self.late]

    def _reply_to(self, text: bytes) -> object:
        commands, replies = hiredis.Reader(), hiredis.Reader()
        commands.feed(text)
        left = sum(1 for _ in iter(commands.gets, False))
        reply: object = None
        with _opened(self._upstream) as server:
            server.sendall(text)
            while left:
                replies.feed(server.recv(tunnels.READ_BYTES))
                while (found := replies.gets()) is not False:
                    reply, left = found, left - 1
        return reply

    async def _connected(
        self,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = urlsplit(self._upstream)
        if address.scheme == "unix":
            return await asyncio.open_unix_connection(unquote(address.path))
        return await asyncio.open_connection(
            address.hostname or "", address.port or 6379
        )

    def may_lose(self, words: Sequence[bytes]) -> bool:
        """Return whether a command is a script of a caller that is not spared."""
        return words[0].upper() in SCRIPTS and words[5] != self.spared_caller

    def loses_request(self, request: bytes) -> bool:
        """Return whether a request is lost this time."""
        self._lost_requests[request] += 1
        return self._lost_requests[request] <= self.requests_lost

    def loses_reply(self, request: bytes, reply: bytes) -> bool:
        """Return whether a reply is lost this time; one of UNKNOWN is delivered."""
        if reply.startswith(UNKNOWN):
            return False
        self._lost_replies[request] += 1
        if self._lost_replies[request] > self.replies_lost:
            self.passed.append(reply)
            return False
        self.on_lost_reply()
        self.lost.append(reply)
        return True


class Client:
    """One client's connection, and the scripts in it that await a reply."""

    def __init__(self, proxy: Proxy, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._writer = writer
        #: Unanswered requests: that of a script, b"" for any other command.
        self._awaited: deque[bytes] = deque()

    async def forward_requests(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter
    ) -> None:
        """Forward data of the client."""
        parser, text = hiredis.Reader(), b""
        while data := await reader.read(tunnels.READ_BYTES):
            text += data
            parser.feed(data)
            commands = list(iter(parser.gets, False))
            if not commands:
                continue
            for words in commands:
                is_script = self._proxy.may_lose(words)
                # a repeat has the number of the first copy, and a mark
                request = words[4].removesuffix(b"+") if is_script else b""
                self._awaited.append(request)
                if request and self._proxy.loses_request(request):
                    self._proxy.late.append(text)
                    self._proxy.on_lost_request()
                    return
            await asyncio.sleep(self._proxy.delay_up_s)
            server.write(text)
            await server.drain()
            text = b""

    async def forward_replies(self, reader: asyncio.StreamReader) -> None:
        """Forward data of the server."""
        parser = hiredis.Reader(notEnoughData=Ellipsis)
        text, whole = bytearray(), bytearray()
        while data := await reader.read(tunnels.READ_BYTES):
            for byte in data:  # the parser reports the end of a reply
                text += bytes([byte])
                parser.feed(bytes([byte]))
                if parser.gets() is ...:
                    continue
                request = self._awaited.popleft()
                if request and self._proxy.loses_reply(request, bytes(text)):
                    return
                whole += text
                text.clear()
            await asyncio.sleep(self._proxy.delay_down_s)
            self._writer.write(bytes(whole))
            await self._writer.drain()
            whole.clear()


def _opened(upstream: str) -> socket.socket:
    address = urlsplit(upstream)
    if address.scheme != "unix":
        place = (address.hostname or "", address.port or 6379)
        return socket.create_connection(place)
    server = socket.socket(socket.AF_UNIX)
    server.connect(unquote(address.path))
    return server


@contextmanager
def proxied(upstream: str, tls: SSLContext | None = None) -> Iterator[Proxy]:
    """Run a proxy before the server at this address, in a thread.

    Clients speak TLS to it where there is a context.
    """
    proxy = Proxy(upstream)
    with tunnels.serving(proxy.serve, tls=tls) as listening:
        proxy.url = f"redis://127.0.0.1:{tunnels.port_of(listening)}"
        yield proxy


@asynccontextmanager
async def _closed(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close a connection at the end of the block, and wait for its socket."""
    try:
        with suppress(OSError):  # the other side has closed it
            yield
            writer.close()
            await writer.wait_closed()
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
