"""Where Redis is: the address of the bundled server, of a deployment of many servers, and how an address is shown."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast
from urllib.parse import quote, unquote, unquote_plus

from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.transport import server_address

#: The options whose values may be shown; any other may be a secret.
SHOWN_OPTIONS = ("db", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs",
                 "ssl_check_hostname")  # fmt: skip
#: The options whose names may be shown, too.
SECRET_OPTIONS = (
    "username",
    "password",
    "sentinel_username",
    "sentinel_password",
    "ssl_password",
)
PORTS = {"sentinel": 26379, "cluster": 6379}

#: A host, port and database number, or the path of a socket; redis-py takes other things for database 0.
#: An @ after the first / or ? belongs to a password with one of these in it, so that everything before it is a secret.
_ONE = re.compile(
    r"rediss?://([^\[\]/?#]*@)?(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/?#@\s]+)(:[0-9]{1,5})?(/[0-9]*)?(\?[^#@]*)?"
    r"|unix://([^/?#@]*@/[^?#@]+|/[^?#]+)(\?[^#@]*)?"
)
_MANY = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://(?P<user>[^/?#]*@)?(?P<hosts>[^/?#@]+)"
    r"(?P<path>/[^?#@]*)?(?P<options>\?[^#@]*)?"
)
_USER = re.compile(r"^([a-z+]+://)([^/?#]*)@")
_SCHEME = re.compile(r"(rediss?(\+(sentinel|cluster))?|unix)://")
_HOST = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<name>[^\[\]:,\s]+))(?::(?P<port>[0-9]{1,5}))?"
)
#: Python's message about a call of redis-py.
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
    match = _many(url)
    if not match:
        if not _ONE.fullmatch(url):
            raise wrong(url)
        return None
    kind = cast(Literal["sentinel", "cluster"], match["kind"])
    path = cast("re.Match[str]", _PATHS[kind].fullmatch(match["path"] or ""))
    hosts = [_HOST.fullmatch(host) for host in match["hosts"].split(",")]
    return Deployment(
        kind=kind,
        hosts=tuple(_host(host, PORTS[kind], url) for host in hosts if host),
        service=unquote(path["service"]),
        server=f"{match['scheme']}://{match['user'] or ''}{kind}/{path['db'] or 0}{match['options'] or ''}",
    )


def _is_well_formed(url: str) -> bool:
    return bool(_ONE.fullmatch(url) or _many(url))


def _many(url: str) -> re.Match[str] | None:
    """Return the parts of a well-formed address of many servers; None for any other text."""
    match = _MANY.fullmatch(url)
    if match and _PATHS[match["kind"]].fullmatch(match["path"] or ""):
        return (
            match
            if all(_HOST.fullmatch(host) for host in match["hosts"].split(","))
            else None
        )
    return None


def _host(match: re.Match[str], default: int, url: str) -> tuple[str, int]:
    port = int(match["port"] or default)
    if not 0 < port < 2**16:
        raise wrong(url)
    return match["ipv6"] or match["name"], port


class Unfit(ValueError):
    """What is wrong with an address, in words that hold no part of a password."""


class UnknownOption(ValueError):
    """The name of an option that addresses do not have, quoted."""


def need_files(options: Mapping[str, str]) -> None:
    """Refuse certificates that do not exist: the error would be one of the connection later on. Raises Unfit."""
    for name in ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"):
        if options.get(name) and not Path(options[name]).exists():
            raise Unfit(f"{name}: there is no {options[name]}")


def wrong(url: str, cause: Exception | None = None) -> errors.Usage:
    """Return the error for an address that cannot be used; it shows the shape of a valid one.

    A malformed address is not quoted, because any part of it may be a password; nor is the text of a `cause` that is
    not an Unfit.
    """
    kind = next((kind for kind in PORTS if f"+{kind}:" in url), "")
    unfit = _unfit(cause, url) if _is_well_formed(url) else ""
    why = f" ({unfit})" if unfit else ""
    encode = (
        " In a password, write @ as %40, / as %2F, # as %23 and ? as %3F."
        if "@" in url
        else ""
    )
    return errors.Usage(
        reason=f"{shown(url)!r} is not the address of a Redis{why}. It looks like {_SHAPES[kind]}.{encode}"
    )


def _unfit(cause: Exception | None, url: str) -> str:
    unknown = (
        _UNKNOWN_OPTION.match(str(cause)) if isinstance(cause, TypeError) else None
    )
    if unknown or isinstance(cause, UnknownOption):
        # Behind a password, the name may be the rest of it: it has an & that is not encoded.
        is_safe = "password" not in unquote(url.partition("?")[2])
        return (
            f"it has no option {unknown[1] if unknown else cause}"
            if is_safe
            else "it has an unknown option"
        )
    return str(cause) if isinstance(cause, Unfit) else ""


def is_cluster(url: str) -> bool:
    """Return whether an address is the one of a cluster."""
    return "+cluster://" in url.partition("?")[0]


def of(settings: Settings) -> str:
    """Return the address that the settings name, else the one of the bundled server of their root."""
    return settings.redis_url or of_socket(
        server_address.socket_path(settings.folder_path)
    )


def of_socket(path: str) -> str:
    """Return the address of a Unix socket."""
    return f"unix://{quote(path)}"


def shown(url: str) -> str:
    """Return what may stand in a message or a log: an address without its user, its password and other secrets.

    The user is left out because a password without its colon stands in the same place. Of a malformed address, this is
    the scheme.
    """
    if not _is_well_formed(url):
        scheme = _SCHEME.match(url)
        return f"{scheme[0] if scheme else ''}…"
    place, mark, options = url.partition("?")
    return (
        _USER.sub(r"\1***@", place)
        + mark
        + "&".join(map(_shown_option, options.split("&")))
    )


def _shown_option(option: str) -> str:
    name, mark, _ = option.partition("=")
    if name in SHOWN_OPTIONS:
        return option
    return f"{name}{mark}***" if name in SECRET_OPTIONS else "***" if option else ""


def without_password(url: str) -> tuple[str, str]:
    """Return a valid address without the password of its user, and that password, "" if it has none."""
    place, _, options = url.partition("?")
    match = _USER.match(place)
    user, _, secret = match[2].partition(":") if match else ("", "", "")
    kept = [
        option
        for option in options.split("&")
        if option and _name(option) != "password"
    ]
    option = next(
        (option for option in options.split("&") if _name(option) == "password"), ""
    ).partition("=")[2]
    if match:
        place = (
            f"{match[1]}{user}@{place[match.end() :]}"
            if user
            else f"{match[1]}{place[match.end() :]}"
        )
    # As the clients of each kind read an address that has both.
    password = (unquote(secret), unquote_plus(option))
    first, second = password if _many(url) else password[::-1]
    return f"{place}?{'&'.join(kept)}" if kept else place, first or second


def _name(option: str) -> str:
    return unquote_plus(option.partition("=")[0])
