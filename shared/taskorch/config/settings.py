"""Flags, environment and config files -> Settings: each value, and where it comes from."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from taskorch.config import config_file, password, root_folder
from taskorch.config.files import PathLike
from taskorch.config.password import PasswordFile
from taskorch.config.root_folder import NAME as FOLDER
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen

if TYPE_CHECKING:
    from pathlib import Path

MOST_REPLICAS = 100
#: Of a worktree's name in that of its session.
NAME_CHARACTERS = 40
#: Where a setting came from.
ROOTS_FILE, USERS_FILE = "config.toml", "your config.toml"
TRUE = ("1", "true", "yes", "on")
FALSE = ("0", "false", "no", "off")


class Settings(Frozen):
    """How this process reaches the queue, and who it is."""

    _secret = ("redis_url", "redis_password")  # an address may have a password in it

    #: "" for the bundled server of this root.
    redis_url: str
    #: For an address that has none of its own; "" where there is none, and for the bundled server.
    redis_password: str = ""
    #: How many replicas must have what must not be lost, and how long it may take them.
    wait_replicas: int = 0
    wait_timeout_ms: int = 2000
    namespace: str
    root_path: str
    #: "" when nobody said it.
    agent: str
    session: str
    #: Whether the bundled server has the service beside it.
    service: bool
    #: In whose name `orchestrate` acts.
    orchestrator: str
    #: Setting -> where its value came from: a flag, a variable, a config file, or "default".
    sources: Mapping[str, str]

    @property
    def folder_path(self) -> str:
        """Return the folder that holds everything of ours below the root."""
        return os.path.join(self.root_path, FOLDER)

    @property
    def root(self) -> "Path":
        """Return the root for those who have the time to import pathlib."""
        from pathlib import Path

        return Path(self.root_path)

    @property
    def folder(self) -> "Path":
        """Return the folder for those who have the time."""
        return self.root / FOLDER

    @property
    def has_folder(self) -> bool:
        """Return whether the root has its folder."""
        return os.path.isdir(self.folder_path)

    @property
    def is_set_up(self) -> bool:
        """Return whether the root has its folder, or a Redis is named."""
        return bool(self.redis_url) or self.has_folder


def resolve(
    flags: Mapping[str, str | None], environment: Mapping[str, str], folder: PathLike
) -> Settings:
    """Return the settings for `folder`: flags, then the environment, the root's config file, the user's config file.

    `flags` may hold `redis_url`, `namespace` and `agent_id`. Raises errors.Usage for a config file that cannot be
    read or has unknown keys, for a switch that is neither on nor off, for a number or a duration that is not one, and
    for a password file that others can read; errors.Invalid for a bad name; errors.UntrustedConfig for a config file
    of the root that would take effect and is not trusted; errors.ForeignFolder, errors.UserFolderUnusable.
    """
    root, root_source = root_folder.find(environment, os.fspath(folder))
    root_folder.refuse_foreign(os.path.join(root, FOLDER))
    said = _Said(flags, environment, root)
    redis_url = said.redis_url()
    redis_password, password_source = password.find(
        redis_url, environment, said.password_files(os.fspath(folder))
    )
    return Settings(
        redis_url=redis_url,
        redis_password=redis_password,
        wait_replicas=said.number(
            "wait_replicas", "TASKORCH_WAIT_REPLICAS", "0", _replicas
        ),
        wait_timeout_ms=said.number(
            "wait_timeout", "TASKORCH_WAIT_TIMEOUT", "2s", limits.duration_ms
        ),
        namespace=limits.name(
            said.text("namespace", "TASKORCH_NAMESPACE", default="default"),
            "a namespace",
        ),
        root_path=root,
        agent=said.text("agent", "AGENT_ID", "TM_AGENT_ID", flag="agent_id"),
        session=_session(said, environment, os.fspath(folder), root),
        service=said.switch("service", "TASKORCH_SERVICE", "on"),
        orchestrator=said.text(
            "orchestrator", "ORCHESTRATOR_ID", default="orchestrator"
        ),
        sources={
            **said.sources,
            "root": root_source,
            "redis_password": password_source,
        },
    )


class _Said:
    """The value of each setting, and where it comes from: the first place that has one wins.

    A value of the root's config file is asked for only when it would take effect: that is when it must be trusted.
    """

    def __init__(
        self, flags: Mapping[str, str | None], environment: Mapping[str, str], root: str
    ) -> None:
        self._flags, self._environment, self._root = flags, environment, root
        self._config = config_file.of_root(root, environment)
        self._users_config = config_file.of_user(environment)
        self._redis_is_named = True
        self.sources: dict[str, str] = {}

    def redis_url(self) -> str:
        """Return the address of Redis, "" for the bundled server: what else may be set depends on it."""
        url = self.text("redis_url", "TASKORCH_REDIS_URL", "REDIS_URL")
        self._redis_is_named = bool(url)
        return url

    def password_files(self, folder: str) -> Iterator[PasswordFile]:
        """Return the password files that are named; a later one is asked for only if no earlier one is."""
        if name := password.said_in(self._environment, password.FILE_VARIABLE):
            yield PasswordFile(name=name, folder=folder, setting=password.FILE_VARIABLE)
        if name := self._config.value("redis_password_file", redis_is_named=True):
            yield PasswordFile(
                name=name, folder=self._root, setting=ROOTS_FILE, stays_inside=True
            )
        if name := self._users_config.value("redis_password_file", redis_is_named=True):
            yield PasswordFile(
                name=name,
                folder=os.path.dirname(self._users_config.file),
                setting=USERS_FILE,
            )

    def text(
        self, name: str, *variables: str, default: str = "", flag: str = ""
    ) -> str:
        value, self.sources[name] = next(
            self._places(name, variables, flag or name), (default, "default")
        )
        return value

    def _places(
        self, name: str, variables: Sequence[str], flag: str
    ) -> Iterator[tuple[str, str]]:
        if value := self._flags.get(flag):
            yield value, f"--{flag.replace('_', '-')}"
        for variable in variables:
            if value := self._environment.get(variable):
                yield value, variable
        if value := self._config.value(name, redis_is_named=self._redis_is_named):
            yield value, ROOTS_FILE
        if value := self._users_config.value(name, redis_is_named=self._redis_is_named):
            yield value, USERS_FILE

    def switch(self, name: str, variable: str, default: str) -> bool:
        value = self.text(name, variable, default=default)
        if value.lower() not in (*TRUE, *FALSE):
            raise errors.Usage(
                reason=f"{name} ({self.sources[name]}) must be on or off, not {value!r}."
            )
        return value.lower() in TRUE

    def number(
        self, name: str, variable: str, default: str, read: Callable[[str], int]
    ) -> int:
        value = self.text(name, variable, default=default)
        try:
            return read(value)
        except (ValueError, errors.Invalid) as error:
            raise errors.Usage(
                reason=f"{name} ({self.sources[name]}): {error}"
            ) from None


def wants_json(environment: Mapping[str, str]) -> bool:
    """Return whether `TASKORCH_JSON` asks for JSON."""
    return environment.get("TASKORCH_JSON", "").lower() in TRUE


def _replicas(value: str) -> int:
    if not value.isdecimal():
        raise errors.Invalid(reason=f"{value!r} is not a number of replicas.")
    return limits.number(int(value), "number of replicas", 0, MOST_REPLICAS)


def _session(
    said: _Said, environment: Mapping[str, str], folder: str, root: str
) -> str:
    """Return the session name: AGENT_SESSION if set (even if empty), else the git worktree."""
    session = said.text("session", "AGENT_SESSION")
    if "AGENT_SESSION" in environment:
        return session and limits.name(session, "a session (AGENT_SESSION)")
    if session := _worktree(environment, folder, root):
        said.sources["session"] = "the git worktree"
    return session


def _worktree(environment: Mapping[str, str], folder: str, root: str) -> str:
    """Return a name for the linked worktree that a folder is in; "" in no such one, or in one that has the root."""
    here = root_folder.checkout(environment, folder)
    if not here or not here.git:
        return ""
    top = os.path.realpath(here.top)
    if os.path.commonpath([top, os.path.realpath(root)]) == top:
        return ""
    from binascii import crc32  # only in a worktree

    name = "".join(
        sign if sign.isascii() and sign.isalnum() else "-"
        for sign in os.path.basename(here.git)
    )
    return f"{name.strip('-')[:NAME_CHARACTERS] or 'worktree'}-{crc32(os.fsencode(here.git)):08x}"
