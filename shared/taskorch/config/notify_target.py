"""The targets of notifications: the tables `[[notify]]` of a config file."""

import os
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from urllib.parse import SplitResult, urlsplit

from taskorch.config.secret_file import SecretFile, read, variable
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.domain.notification import NotificationKind

FORMATS = ("json", "slack", "discord", "ntfy")
KEYS = (
    "url",
    "events",
    "format",
    "secret_file",
    "secret_env",
    "include_text",
    "allow_private",
    "board_url",
)
#: Each target has a thread in the service.
MOST_TARGETS = 20
LONGEST_URL = 2000
PORTS = {"http": 80, "https": 443}
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]{0,99}"


class NotifyTarget(Frozen):
    """A target of notifications, checked."""

    # A webhook's address is often all that it takes to write there.
    _secret = ("url",)

    url: str
    events: tuple[NotificationKind, ...]
    format: str
    #: The file or the variable with the key that signs messages; "" for none.
    secret_file: str
    secret_env: str
    #: Whether messages have titles, questions and reasons.
    include_text: bool
    #: Whether it may be on this machine or in a private network.
    allow_private: bool
    #: The address of the board for people, without a slash at its end; "" for no links.
    board_url: str
    #: The folder in which a relative `secret_file` is, and whether it must be inside.
    folder: str
    stays_inside: bool

    @property
    def id(self) -> str:
        """What Redis knows it by: nothing of its address can be read from it."""
        return sha256(self.url.encode()).hexdigest()[:16]

    @property
    def place(self) -> SplitResult:
        """The parts of its address."""
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        """The host, for messages and logs: the rest of the address may be a secret."""
        return self.place.hostname or ""

    @property
    def port(self) -> int:
        """The port to connect to."""
        return self.place.port or PORTS[self.place.scheme]

    def secret(self, environment: Mapping[str, str]) -> str:
        """Return the key that signs messages, "" for none.

        Raises errors.Usage if its variable is unset, or its file is unreadable or open to
        others.
        """
        if self.secret_env:
            value = variable(environment, self.secret_env)
            if not value:
                raise errors.Usage(
                    reason=f"{self.secret_env}, which secret_env names, is not set."
                )
            return value
        if not self.secret_file:
            return ""
        return read(
            SecretFile(
                name=self.secret_file,
                folder=self.folder,
                setting="secret_file",
                holds="secret",
                variable="secret_env",
                stays_inside=self.stays_inside,
            )
        )


def targets(
    tables: object, file: str, *, is_of_root: bool = False
) -> tuple[NotifyTarget, ...]:
    """Return the targets of a config file.

    A file of a root may name secret files inside the root alone. Raises errors.Usage for
    an unknown key and an invalid value.
    """
    if not isinstance(tables, list):
        raise errors.Usage(reason=f"{file}: write each target as [[notify]].")
    if len(tables) > MOST_TARGETS:
        raise errors.Usage(
            reason=f"{file} has {len(tables)} tables [[notify]]; at most {MOST_TARGETS} "
            "are allowed."
        )
    found = []
    for number, table in enumerate(tables, 1):
        place = f"{file}, [[notify]] {number}"
        folder = os.path.dirname(file)
        if is_of_root:
            folder = os.path.dirname(folder)
        found.append(_target(_Table(table, place), folder, is_of_root))
    addresses = [target.url for target in found]
    for number, url in enumerate(addresses):
        if url in addresses[:number]:
            raise errors.Usage(
                reason=f"{file}: [[notify]] {addresses.index(url) + 1} and "
                f"{number + 1} have the same url. Put their events into one."
            )
    return tuple(found)


class _Table:
    """One table, whose values are checked as they are read."""

    def __init__(self, table: object, place: str) -> None:
        """Raise errors.Usage for what is not a table, and for an unknown key."""
        self._place = place
        if not isinstance(table, dict):
            raise self.wrong("it is not a table")
        self._values: dict[str, object] = table
        for key in table:
            if key not in KEYS:
                raise self.wrong(
                    f"unknown key {key!r}. Use: {', '.join(KEYS)}"
                )

    def wrong(self, reason: str) -> errors.Usage:
        return errors.Usage(reason=f"{self._place}: {reason}.")

    def text(self, key: str) -> str:
        value = self._values.get(key, "")
        if not isinstance(value, str):
            raise self.wrong(f"{key} must be text")
        return value

    def switch(self, key: str) -> bool:
        value = self._values.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(f"{key} must be true or false")
        return value

    def kinds(self) -> tuple[NotificationKind, ...]:
        """Return the events; all of them if none are named."""
        all_kinds = tuple(NotificationKind)
        names = self._values.get("events", list(all_kinds))
        known = ", ".join(all_kinds)
        if not isinstance(names, list) or not names:
            raise self.wrong(f"events must be a list of these: {known}")
        for name in names:
            if name not in all_kinds:
                raise self.wrong(f"unknown event {name!r}. Use: {known}")
        return tuple(kind for kind in all_kinds if kind in names)

    def address(self, key: str) -> str:
        """Return the address of a web page or service, "" without one."""
        url = self.text(key)
        if url and not _is_address(url):
            raise self.wrong(
                f"{key} must be an address such as https://example.com/path, without "
                "a user, blanks and a fragment"
            )
        return url


def _target(table: _Table, folder: str, stays_inside: bool) -> NotifyTarget:  # noqa: FBT001
    url = table.address("url")
    if not url:
        raise table.wrong("it has no url")
    form = table.text("format") or "json"
    if form not in FORMATS:
        raise table.wrong(
            f"unknown format {form!r}. Use: {', '.join(FORMATS)}"
        )
    secret_env = table.text("secret_env")
    if secret_env and not re.fullmatch(_VARIABLE, secret_env):
        raise table.wrong("secret_env must be the name of a variable")
    secret_file = table.text("secret_file")
    if secret_env and secret_file:
        raise table.wrong("secret_env and secret_file exclude each other")
    return NotifyTarget(
        url=url,
        events=table.kinds(),
        format=form,
        secret_file=secret_file,
        secret_env=secret_env,
        include_text=table.switch("include_text"),
        allow_private=table.switch("allow_private"),
        board_url=table.address("board_url").rstrip("/"),
        folder=folder,
        stays_inside=stays_inside,
    )


def _is_address(url: str) -> bool:
    """Return whether a text is an address without anything odd in it."""
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if not is_plain or len(url) > LONGEST_URL or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in PORTS
        and bool(parts.hostname)
        and "@" not in parts.netloc
        and not parts.fragment
        and port != 0
    )


def hosts(found: Sequence[NotifyTarget]) -> list[str]:
    """Return a name for each target: its host, with a number if several are there."""
    names = [target.host for target in found]
    return [
        f"{name} ({names[: place + 1].count(name)})"
        if names.count(name) > 1
        else name
        for place, name in enumerate(names)
    ]
