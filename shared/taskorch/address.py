"""Where Redis is: the address of the bundled server, of a deployment of many servers, and how an address is shown."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast
from urllib.parse import quote, unquote

from taskorch import errors, server_address
from taskorch.frozen import Frozen
from taskorch.settings import Settings

PORTS = {"sentinel": 26379, "cluster": 6379}

#: A host, port and database number, or the path of a socket; redis-py takes other things for database 0.
#: A port is a number: where it is none, it may be a part of a password, which redis-py would quote.
_ONE = re.compile(
    r"rediss?://([^\[\]/?#]*@)?(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/?#@]+)(:[0-9]{1,5})?(/[0-9]*)?(\?.*)?$|unix://([^/@]*@)?/.+$"
)
#: A password whose `@` was forgotten: there are more colons than that before a port.
_NO_AT = re.compile(r"^(rediss?://[^:@/?\[]*):[^:@/]*:[^@/]*(?=/|$)")
_MANY = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://(?P<user>[^/?#]*@)?(?P<hosts>[^/?#@]+)"
    r"(?P<path>/[^?#]*)?(?P<options>\?[^#]*)?"
)
_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<name>[^\[\]:,\s]+))(?::(?P<port>[0-9]{1,5}))?")
#: How Python says it of redis-py.
_UNKNOWN_OPTION = re.compile(r"[\w.]+\(\) got an unexpected keyword argument ('[^']*')")
_PATHS = {
    "sentinel": re.compile(r"/(?P<service>[^/]+)(?:/(?P<db>[0-9]*))?"),
    "cluster": re.compile(r"(?P<service>)/?(?P<db>0?)"),
}
_SHAPES = {
    "": "redis://host:6379/0, rediss://host:6379/0, unix:///path/to/socket, redis+sentinel://… or redis+cluster://…",
    "sentinel": "redis+sentinel://user:password@host:26379,host:26379/service/0 (or rediss+sentinel://…)",
    "cluster": "redis+cluster://user:password@host:6379,host:6379 (or rediss+cluster://…)",
}


class Deployment(Frozen):
    """The address of many servers: sentinels that know the primary of a service, or nodes of a cluster."""

    _secret = ("server",)

    kind: Literal["sentinel", "cluster"]
    hosts: tuple[tuple[str, int], ...]
    #: The name that the sentinels have for the primary and its replicas; "" for a cluster.
    service: str
    #: Credentials, database, TLS and options, as the address of a single server has them; never shown.
    server: str


def parsed(url: str) -> Deployment | None:
    """Return the deployment that an address names; None for the address of one server. Raises errors.Usage."""
    match = _MANY.fullmatch(url)
    if not match:
        if not _ONE.match(url):
            raise wrong(url)
        return None
    kind = cast(Literal["sentinel", "cluster"], match["kind"])
    path = _PATHS[kind].fullmatch(match["path"] or "")
    hosts = [_HOST.fullmatch(host) for host in match["hosts"].split(",")]
    if not path or not all(hosts):
        raise wrong(url)
    return Deployment(
        kind=kind,
        hosts=tuple(_host(host, PORTS[kind], url) for host in hosts if host),
        service=unquote(path["service"]),
        server=f"{match['scheme']}://{match['user'] or ''}{kind}/{path['db'] or 0}{match['options'] or ''}",
    )


def _host(match: re.Match[str], default: int, url: str) -> tuple[str, int]:
    port = int(match["port"] or default)
    if not 0 < port < 2**16:
        raise wrong(url)
    return match["ipv6"] or match["name"], port


def need_files(options: Mapping[str, str]) -> None:
    """Refuse certificates that are not there (ValueError): the error would be one of the connection later on."""
    for name in ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"):
        if options.get(name) and not Path(options[name]).exists():
            raise ValueError(f"{name}: there is no {options[name]}")


def wrong(url: str, why: str = "") -> errors.Usage:
    """Return the error for an address that is none: it says how one looks."""
    kind = next((kind for kind in PORTS if f"+{kind}:" in url), "")
    said = _UNKNOWN_OPTION.sub(r"it has no option \1", why)
    return errors.Usage(reason=f"{shown(url)!r} is not the address of a Redis{said}. It looks like {_SHAPES[kind]}.")


def is_cluster(url: str) -> bool:
    """Return whether an address is the one of a cluster."""
    return "+cluster://" in url.partition("?")[0]


def of(settings: Settings) -> str:
    """Return the address that the settings name, else the one of the bundled server of their root."""
    return settings.redis_url or of_socket(server_address.socket_path(settings.folder_path))


def of_socket(path: str) -> str:
    """Return the address of a Unix socket."""
    return f"unix://{quote(path)}"


def shown(url: str) -> str:
    """Return an address without its passwords: what may stand in a message or a log."""
    options = re.sub(r"([?&])([^=&]*)=([^&]*)", _without_value, url)
    hidden = re.sub(r"(://[^:@/]*):.*@", r"\1:***@", options)
    return _NO_AT.sub(r"\1:***", hidden)


def _without_value(option: re.Match[str]) -> str:
    hidden = "password" in unquote(option[2]).lower()
    return f"{option[1]}{option[2]}=***" if hidden else option[0]
