"""The processes of the gateway."""

import errno
import logging
import resource
import socket
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address

import uvicorn
from starlette.applications import Starlette
from taskorch.config.settings import Settings, is_gateway
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch_orchestrator.board import gateway_record
from uvicorn.supervisors import Multiprocess

from taskorch_gateway import hosts
from taskorch_gateway.app import Options, create
from taskorch_gateway.bounded_http import BoundedHttp
from taskorch_gateway.metrics import counted_together

#: How long an idle connection stays open: longer than proxies keep theirs.
KEEP_ALIVE_S = 75
#: Timeout of running calls when the gateway stops, in seconds; waits are cut off.
STOP_S = 3
#: How long one of several processes may stand still before it is killed and replaced. One
#: that starts on a busy machine does not answer for seconds, and clients of a process that
#: gets no processor time only wait.
STILL_S = 60
#: Maximum number of connections of one process.
CONNECTIONS = 4096
#: Files that a process has open beside its connections.
OTHER_FILES = 128
BACKLOG = 512
UNENCRYPTED = (
    "Access tokens reach this gateway unencrypted, unless a proxy in front of it "
    "terminates TLS."
)


class Listener(Frozen):
    """Where the gateway listens, and for whom."""

    host: str
    port: int
    #: The number of processes.
    workers: int
    #: PEM files of a certificate and its key; "" for HTTP.
    certificate: str
    key: str
    #: The names by which clients reach this host.
    host_names: Sequence[str]
    #: Calls a second of one access token; 0 for any number.
    calls_per_second: int
    #: Whether clients without an access token may read the metrics.
    metrics_are_open: bool = False
    #: Whether a browser opens the board as soon as it serves.
    opens_board: bool = False
    #: The lowest level of what it logs to stderr.
    log_level: int = logging.INFO


def serve(
    settings: Settings,
    listener: Listener,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve the queue of the settings over HTTP until SIGTERM or Ctrl-C.

    `ready` is called with the address once a single process serves. Raises what `ready`
    does, errors.PortTaken, and errors.Usage for an address that cannot be listened on,
    for a certificate that cannot be used, and for a queue behind another gateway.
    """
    if is_gateway(settings.redis_url):
        raise errors.Usage(
            reason="A gateway needs Redis itself: unset TASKORCH_URL."
        )
    _log_to_stderr(listener.log_level)
    bound = _bind(listener)
    names = tuple(listener.host_names)
    if _is_loopback(listener.host):
        names += hosts.LOOPBACK
    elif not listener.certificate:
        logging.getLogger(__name__).warning(UNENCRYPTED)
    options = Options(
        hosts=names,
        calls_per_second=listener.calls_per_second,
        connections=_most_connections(),
        metrics_are_open=listener.metrics_are_open,
        opens_board=listener.opens_board,
    )
    config = uvicorn.Config(
        partial(_application, settings, options, listener.log_level),
        factory=True,
        host=listener.host,
        port=listener.port,
        workers=listener.workers,
        ssl_certfile=listener.certificate or None,
        ssl_keyfile=listener.key or None,
        http=BoundedHttp,
        loop="taskorch_gateway.event_loop:EventLoop",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=options.connections,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
        timeout_worker_healthcheck=STILL_S,
    )
    url = _address(listener, bound)
    logging.getLogger(__name__).info(
        "Serving the queue on %s until SIGTERM or Ctrl-C", url
    )
    with (
        gateway_record.recorded(settings, url),
        counted_together(listener.workers),
    ):
        if listener.workers > 1:
            Multiprocess(config, sockets=[bound]).run()
        else:
            _Server(config, partial(ready, url)).run([bound])
    logging.getLogger(__name__).info("The gateway has stopped")


class _Server(uvicorn.Server):
    """A server of one process, which reports when it serves."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(
        self, sockets: list[socket.socket] | None = None
    ) -> None:
        """Start to serve; signals stop it from here on."""
        await super().startup(sockets)
        if not self.started:
            return
        try:
            self._ready()
        except BaseException:
            # a loop that ends before the application does may wait a minute for its tasks
            await self.shutdown(sockets)
            raise


def _application(
    settings: Settings, options: Options, log_level: int
) -> Starlette:
    """Return the application, in the process that serves it."""
    _log_to_stderr(log_level)
    return create(settings, options)


def _log_to_stderr(level: int) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _most_connections() -> int:
    """Return how many connections a process may have; allow it the files for them."""
    wanted = CONNECTIONS + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(1, wanted - OTHER_FILES)


def _bind(listener: Listener) -> socket.socket:
    """Return a socket that listens. Raises errors.PortTaken and errors.Usage."""
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    # asyncio turns the delay of small packets off only for sockets that name TCP
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((listener.host, listener.port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise errors.PortTaken(
                host=listener.host, port=listener.port
            ) from None
        raise errors.Usage(
            reason=f"Cannot listen on {listener.host}:{listener.port}: "
            f"{error.strerror}"
        ) from None
    return bound


def _address(listener: Listener, bound: socket.socket) -> str:
    """Return the address that clients on this network use."""
    scheme = "https" if listener.certificate else "http"
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    return f"{scheme}://{host}:{bound.getsockname()[1]}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
