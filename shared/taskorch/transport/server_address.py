"""The address of one server -> what a socket to it needs: where, as whom, and how its certificate is looked at."""

import os
from collections.abc import Mapping

from taskorch.domain.frozen import Frozen

#: The options of redis-py that mean something here; the first three say what can be said before the `?`, too.
TLS_OPTIONS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_cert_reqs",
               "ssl_check_hostname")  # fmt: skip
REQUIRED = ("required", "optional", "none")
OPTIONS = ("db", "username", "password", *TLS_OPTIONS)
#: A Unix socket's path has room for 107 bytes on Linux, 103 on macOS.
LONGEST_SOCKET_PATH = 100


class Server(Frozen):
    """Where a server is, and how it wants to be greeted."""

    _secret = ("user", "password", "tls")

    #: The address as it may stand in a message.
    shown: str
    #: Of a Unix socket; "" for a host.
    path: str = ""
    host: str = ""
    port: int = 6379
    db: int = 0
    #: "" for the default user.
    user: str = ""
    password: str = ""
    #: The options of TLS by their names in the address; None for a connection without.
    tls: Mapping[str, str] | None = None
    #: Whether it is the bundled server, which only its own user may run.
    is_bundled: bool = False


def bundled(folder: str) -> Server:
    """Return the bundled server of a root, whose `.task-orchestrator` folder this is."""
    path = socket_path(folder)
    return Server(shown=f"unix://{path}", path=path, is_bundled=True)


def socket_path(folder: str) -> str:
    """Return the socket of the bundled server of a root, whose `.task-orchestrator` folder this is.

    Where that path is too long it is a folder of the user's in /tmp, whatever the environment says: every process of
    the user must find the same one.
    """
    path = f"{folder}/run/server.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    from hashlib import sha256

    name = sha256(os.fsencode(folder), usedforsecurity=False).hexdigest()[:16]
    return f"{temporary_folder()}/{name}.sock"


def temporary_folder() -> str:
    """Return the private folder of this user in /tmp, whether or not it exists."""
    return f"/tmp/taskorch-{os.getuid()}"  # noqa: S108  its owner is checked


def of(url: str, password: str = "") -> Server:
    """Read `redis://`, `rediss://` or `unix://`; `password` serves an address that has none. Raises errors.Usage."""
    from taskorch.transport import address

    try:
        return _read(url, password)
    except ValueError as error:
        raise address.wrong(url, error) from None


def _read(url: str, password: str) -> Server:
    from urllib.parse import parse_qsl, unquote, urlsplit

    from taskorch.transport import address

    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    _check(parts.scheme, options)
    secret = options.get("password") or unquote(parts.password or "") or password
    return Server(
        shown=address.shown(url),
        path=unquote(parts.path) if parts.scheme == "unix" else "",
        host=unquote(parts.hostname or "localhost"),
        port=parts.port or 6379,
        db=int(
            options.get("db")
            or ("" if parts.scheme == "unix" else parts.path.strip("/"))
            or 0
        ),
        user=options.get("username") or unquote(parts.username or ""),
        password=secret,
        tls={name: options[name] for name in TLS_OPTIONS if name in options}
        if parts.scheme == "rediss"
        else None,
    )


def _check(scheme: str, options: Mapping[str, str]) -> None:
    from taskorch.transport import address

    for name in options:
        if name not in OPTIONS:
            raise address.UnknownOption(repr(name))
        if name in TLS_OPTIONS and scheme != "rediss":
            raise address.Unfit("TLS is what rediss:// stands for")
    if options.get("ssl_cert_reqs", REQUIRED[0]) not in REQUIRED:
        raise address.Unfit(f"ssl_cert_reqs is one of {', '.join(REQUIRED)}")
    address.need_files(options)
