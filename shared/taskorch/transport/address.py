"""Where Redis is: addresses of one server, of a deployment of several, and of the bundled server.

The patterns are plain text because compiling them takes longer than a short command
that uses the bundled server, and so never parses an address, can afford.
"""

import os
import re
from collections.abc import Mapping
from typing import Literal, cast

from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen

#: The options that configure TLS. Their names are those of redis-py.
TLS_OPTIONS = (
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_password",
    "ssl_cert_reqs",
    "ssl_check_hostname",
)
#: The options of an address of one server. The first three may also precede the `?`.
SERVER_OPTIONS = ("db", "username", "password", *TLS_OPTIONS)
CERTIFICATE_CHECKS = ("required", "optional", "none")
FILE_OPTIONS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
#: Options whose values may be shown. Any other value may be a secret.
PUBLIC_OPTIONS = ("db", *FILE_OPTIONS, "ssl_cert_reqs", "ssl_check_hostname")
#: Options whose names may be shown. An unknown name may be part of a password.
SECRET_OPTIONS = (
    "username",
    "password",
    "sentinel_username",
    "sentinel_password",
    "ssl_password",
)
DEFAULT_PORTS = {"sentinel": 26379, "cluster": 6379}
#: The path of a Unix socket may have 107 bytes on Linux and 103 on macOS.
LONGEST_SOCKET_PATH = 100

#: A host, port and database number, or the path of a socket. redis-py takes anything
#: else for database 0. An @ after the first / or ? belongs to a password that contains
#: one of these, so everything before that @ is secret.
_SERVER = (
    r"rediss?://([^\[\]/?#]*@)?(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/?#@\s]+)(:[0-9]{1,5})?"
    r"(/[0-9]*)?(\?[^#@]*)?"
    r"|unix://([^/?#@]*@/[^?#@]+|/[^?#]+)(\?[^#@]*)?"
)
_DEPLOYMENT = (
    r"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://(?P<user>[^/?#]*@)?"
    r"(?P<hosts>[^/?#@]+)(?P<path>/[^?#@]*)?(?P<options>\?[^#@]*)?"
)
_HOST = r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<name>[^\[\]:,\s]+))(?::(?P<port>[0-9]{1,5}))?"
_PATHS = {
    "sentinel": r"/(?P<service>[^/]+)(?:/(?P<db>[0-9]*))?",
    "cluster": r"(?P<service>)/?(?P<db>0?)",
}
_USER = r"^([a-z+]+://)([^/?#]*)@"
_SCHEME = r"(rediss?(\+(sentinel|cluster))?|unix|https?)://"
#: The address of a gateway, which has no secrets.
_GATEWAY = r"https?://[^/?#@\s]+(/[^?#@\s]*)?"
#: Python's message about a call into redis-py.
_UNKNOWN_ARGUMENT = r"[\w.]+\(\) got an unexpected keyword argument ('[^']*')"
_EXAMPLES = {
    "": (
        "redis://host:6379/0, rediss://host:6379/0, unix:///path/to/socket, "
        "redis+sentinel://… or redis+cluster://…"
    ),
    "sentinel": (
        "redis+sentinel://user:password@host:26379,host:26379/service/0 "
        "(or rediss+sentinel://…)"
    ),
    "cluster": (
        "redis+cluster://user:password@host:6379,host:6379 (or rediss+cluster://…)"
    ),
}


class ServerAddress(Frozen):
    """The address of one server, and how to greet it."""

    _secret = ("user", "password", "tls")

    #: The address without its secrets, for messages.
    redacted: str
    #: The path of a Unix socket; "" for a host.
    path: str = ""
    host: str = ""
    port: int = 6379
    db: int = 0
    #: "" for the default user.
    user: str = ""
    password: str = ""
    #: The TLS options; None for a connection without TLS.
    tls: Mapping[str, str] | None = None
    #: Whether this is the bundled server, which only its owner may run.
    is_bundled: bool = False


class DeploymentAddress(Frozen):
    """The address of several servers: sentinels, or nodes of a cluster."""

    _secret = ("server",)

    #: The address without its secrets, for messages.
    redacted: str
    kind: Literal["sentinel", "cluster"]
    hosts: tuple[tuple[str, int], ...]
    #: The sentinels' name for the primary and its replicas; "" for a cluster.
    service: str
    #: Credentials, database, TLS and options, as an address of one server.
    server: str


class AddressProblem(ValueError):
    """A problem of an address, in words that contain no part of a password."""


class UnknownOption(ValueError):
    """The quoted name of an option that addresses do not have."""


def url_of(settings: Settings) -> str:
    """Return the configured address, else that of the root's bundled server."""
    return settings.redis_url or socket_url(socket_path(settings.folder_path))


def socket_url(path: str) -> str:
    """Return the address of a Unix socket."""
    from urllib.parse import quote

    return f"unix://{quote(path)}"


def is_cluster(url: str) -> bool:
    """Return whether this is the address of a cluster."""
    return "+cluster://" in url.partition("?")[0]


def bundled(folder: str) -> ServerAddress:
    """Return the bundled server of the root whose `.task-orchestrator` is `folder`."""
    path = socket_path(folder)
    return ServerAddress(redacted=f"unix://{path}", path=path, is_bundled=True)


def socket_path(folder: str) -> str:
    """Return the socket of the root whose `.task-orchestrator` folder is `folder`.

    If that path is too long, the socket is in the user's private folder in /tmp. The
    environment is not consulted: all processes of a user must find the same socket.
    """
    path = f"{folder}/run/server.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    from hashlib import sha256

    name = sha256(os.fsencode(folder), usedforsecurity=False).hexdigest()[:16]
    return f"{temporary_folder()}/{name}.sock"


def temporary_folder() -> str:
    """Return the private folder of this user in /tmp, which may not exist."""
    return f"/tmp/taskorch-{os.getuid()}"  # noqa: S108  its owner is checked


def parse(url: str, password: str = "") -> ServerAddress | DeploymentAddress:
    """Parse any address; `password` is used if a server's address has none.

    Raises errors.Usage for an invalid address.
    """
    try:
        if match := _match_deployment(url):
            return _parse_deployment(url, match)
        return _parse_server(url, password)
    except ValueError as error:
        raise invalid(url, error) from None


def need_files(url: str, options: Mapping[str, str]) -> None:
    """Raise errors.Usage if a certificate or key named by the options is missing.

    Without this check, it would look like a failure of the connection.
    """
    for name in FILE_OPTIONS:
        file = options.get(name)
        if file and not os.path.exists(file):
            raise invalid(
                url, AddressProblem(f"{name}: {file} does not exist")
            )


def invalid(url: str, cause: Exception | None = None) -> errors.Usage:
    """Return the error for an invalid address, with an example of a valid one.

    A malformed address is not quoted, because any part of it may be a password. Nor is
    the text of a cause, unless it is an AddressProblem.
    """
    kind = ""
    for each in DEFAULT_PORTS:
        if f"+{each}:" in url:
            kind = each
    problem = ""
    if _is_well_formed(url):
        problem = _describe(cause, url)
    reason = f"{redacted(url)!r} is not a valid Redis address"
    if problem:
        reason += f" ({problem})"
    reason += f". Use {_EXAMPLES[kind]}."
    if "@" in url:
        reason += (
            " In a password, write @ as %40, / as %2F, # as %23 and ? as %3F."
        )
    return errors.Usage(reason=reason)


def redacted(url: str) -> str:
    """Return an address without its user, password and other secrets, for messages.

    The user is removed because a password without its colon takes the same place. Of a
    malformed address, only the scheme remains.
    """
    if re.fullmatch(_GATEWAY, url):
        return url
    if not _is_well_formed(url):
        scheme = re.match(_SCHEME, url)
        return f"{scheme[0]}…" if scheme else "…"
    place, mark, query = url.partition("?")
    place = re.sub(_USER, r"\1***@", place, count=1)
    options = [_redact_option(option) for option in query.split("&")]
    redacted_query = "&".join(options)
    return place + mark + redacted_query


def without_password(url: str) -> tuple[str, str]:
    """Return a valid address without its password, and that password or ""."""
    from urllib.parse import unquote, unquote_plus

    place, _, query = url.partition("?")
    password = ""
    if match := re.match(_USER, place):
        scheme, credentials = match.groups()
        user, _, encoded = credentials.partition(":")
        password = unquote(encoded)
        rest = place[match.end() :]
        place = f"{scheme}{user}@{rest}" if user else f"{scheme}{rest}"
    kept = []
    password_option = ""
    for option in query.split("&"):
        name, _, value = option.partition("=")
        if unquote_plus(name) != "password":
            if option:
                kept.append(option)
        elif not password_option:
            password_option = unquote_plus(value)
    if kept:
        options = "&".join(kept)
        place += f"?{options}"
    # The clients of the two kinds disagree about which one counts.
    if _match_deployment(url):
        return place, password or password_option
    return place, password_option or password


def _is_well_formed(url: str) -> bool:
    return bool(re.fullmatch(_SERVER, url) or _match_deployment(url))


def _match_deployment(url: str) -> re.Match[str] | None:
    """Return the parts of a well-formed address of a deployment, else None."""
    match = re.fullmatch(_DEPLOYMENT, url)
    if not match:
        return None
    path = match["path"] or ""
    if not re.fullmatch(_PATHS[match["kind"]], path):
        return None
    for host in match["hosts"].split(","):
        if not re.fullmatch(_HOST, host):
            return None
    return match


def _parse_deployment(url: str, match: re.Match[str]) -> DeploymentAddress:
    from urllib.parse import unquote

    parts = match.groupdict(default="")
    kind = cast(Literal["sentinel", "cluster"], parts["kind"])
    hosts = []
    for host in re.finditer(_HOST, parts["hosts"]):
        port = int(host["port"] or DEFAULT_PORTS[kind])
        if not 0 < port < 2**16:
            raise ValueError
        name = host["ipv6"] or host["name"]
        hosts.append((name, port))
    path = re.fullmatch(_PATHS[kind], parts["path"])
    assert path  # noqa: S101  the address is well formed
    db = path["db"] or 0
    user, options = parts["user"], parts["options"]
    return DeploymentAddress(
        redacted=redacted(url),
        kind=kind,
        hosts=tuple(hosts),
        service=unquote(path["service"]),
        server=f"{parts['scheme']}://{user}{kind}/{db}{options}",
    )


def _parse_server(url: str, password: str) -> ServerAddress:
    from urllib.parse import parse_qsl, unquote, urlsplit

    if not re.fullmatch(_SERVER, url):
        raise ValueError
    parts = urlsplit(url)
    options = {}
    if parts.query:
        options = dict(parse_qsl(parts.query, strict_parsing=True))
    for name in options:
        if name not in SERVER_OPTIONS:
            raise UnknownOption(repr(name))
        if name in TLS_OPTIONS and parts.scheme != "rediss":
            raise AddressProblem("TLS needs rediss://")
    if options.get("ssl_cert_reqs", "required") not in CERTIFICATE_CHECKS:
        choices = ", ".join(CERTIFICATE_CHECKS)
        raise AddressProblem(f"ssl_cert_reqs must be one of {choices}")
    path, db = unquote(parts.path), ""
    if parts.scheme != "unix":
        path, db = "", parts.path.strip("/")
    user = unquote(parts.username or "")
    own_password = unquote(parts.password or "")
    tls = None
    if parts.scheme == "rediss":
        tls = {name: options[name] for name in TLS_OPTIONS if name in options}
    return ServerAddress(
        redacted=redacted(url),
        path=path,
        host=unquote(parts.hostname or "localhost"),
        port=parts.port or 6379,
        db=int(options.get("db") or db or 0),
        user=options.get("username") or user,
        password=options.get("password") or own_password or password,
        tls=tls,
    )


def _describe(cause: Exception | None, url: str) -> str:
    """Return what is wrong with a well-formed address, "" if it is not known."""
    if isinstance(cause, AddressProblem):
        return str(cause)
    name = str(cause) if isinstance(cause, UnknownOption) else ""
    if isinstance(cause, TypeError):
        unknown = re.match(_UNKNOWN_ARGUMENT, str(cause))
        name = unknown[1] if unknown else ""
    if not name:
        return ""
    from urllib.parse import unquote

    # After a password, the name may be the rest of it: an & that is not encoded.
    if "password" in unquote(url.partition("?")[2]):
        return "unknown option"
    return f"unknown option {name}"


def _redact_option(option: str) -> str:
    name, mark, _ = option.partition("=")
    if name in PUBLIC_OPTIONS:
        return option
    if name in SECRET_OPTIONS:
        return f"{name}{mark}***"
    return "***" if option else ""
