"""Flags, environment and config file -> Settings: what is set, and where each of it came from."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from taskorch import bounds, errors, password
from taskorch.folder import NAME as FOLDER
from taskorch.folder import PathLike
from taskorch.frozen import Frozen

if TYPE_CHECKING:
    from pathlib import Path

CONFIG_KEYS = ("redis_url", "namespace", "service", "redis_password_file", "wait_replicas", "wait_timeout")
MOST_REPLICAS = 100
#: Of a worktree's name in that of its session.
NAME_CHARACTERS = 40
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
    #: Setting -> where its value came from: a flag, a variable, the config file, or "default".
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
    def is_set_up(self) -> bool:
        """Return whether anybody has used the queue here, or said where it is."""
        return bool(self.redis_url) or os.path.isdir(self.folder_path)


def resolve(flags: Mapping[str, str | None], environment: Mapping[str, str], folder: PathLike) -> Settings:
    """Return the settings that hold in `folder`: flags win over the environment, that over the config file.

    `flags` may hold `redis_url`, `namespace` and `agent_id`. Raises errors.Usage for a config file that cannot be
    read or has unknown keys, for a switch that is neither on nor off, for a number or a duration that is none, and for
    a password file that others can read; errors.Invalid for a bad name.
    """
    root, root_source = _root(environment, os.fspath(folder))
    config = _config(os.path.join(root, FOLDER, "config.toml"))
    said = _Said(flags, environment, config)
    redis_url = said.text("redis_url", "TASKORCH_REDIS_URL", "REDIS_URL")
    named = [
        (password.said_in(environment, password.FILE_VARIABLE), folder, password.FILE_VARIABLE),
        (config.get("redis_password_file"), root, "config.toml"),
    ]
    redis_password, password_source = password.find(redis_url, environment, named)
    return Settings(
        redis_url=redis_url,
        redis_password=redis_password,
        wait_replicas=said.number("wait_replicas", "TASKORCH_WAIT_REPLICAS", "0", _replicas),
        wait_timeout_ms=said.number("wait_timeout", "TASKORCH_WAIT_TIMEOUT", "2s", bounds.duration_ms),
        namespace=bounds.name(said.text("namespace", "TASKORCH_NAMESPACE", default="default"), "a namespace"),
        root_path=root,
        agent=said.text("agent", "AGENT_ID", "TM_AGENT_ID", flag="agent_id"),
        session=_session(said, environment, os.fspath(folder), root),
        service=said.switch("service", "TASKORCH_SERVICE", "on"),
        orchestrator=said.text("orchestrator", "ORCHESTRATOR_ID", default="orchestrator"),
        sources={**said.sources, "root": root_source, "redis_password": password_source},
    )


class _Said:
    """What was said of each setting, and where: the first place that says something holds."""

    def __init__(
        self, flags: Mapping[str, str | None], environment: Mapping[str, str], config: Mapping[str, str]
    ) -> None:
        self._flags, self._environment, self._config = flags, environment, config
        self.sources: dict[str, str] = {}

    def text(self, name: str, *variables: str, default: str = "", flag: str = "") -> str:
        flag = flag or name
        places = [(self._flags.get(flag), f"--{flag.replace('_', '-')}")]
        places += [(self._environment.get(variable), variable) for variable in variables]
        places += [(self._config.get(name), "config.toml")]
        value, self.sources[name] = next(((value, place) for value, place in places if value), (default, "default"))
        return value or default

    def switch(self, name: str, variable: str, default: str) -> bool:
        value = self.text(name, variable, default=default)
        if value.lower() not in (*TRUE, *FALSE):
            raise errors.Usage(reason=f"{name} ({self.sources[name]}) must be on or off, not {value!r}.")
        return value.lower() in TRUE

    def number(self, name: str, variable: str, default: str, read: Callable[[str], int]) -> int:
        value = self.text(name, variable, default=default)
        try:
            return read(value)
        except (ValueError, errors.Invalid) as error:
            raise errors.Usage(reason=f"{name} ({self.sources[name]}): {error}") from None


def wants_json(environment: Mapping[str, str]) -> bool:
    """Return whether `TASKORCH_JSON` asks for JSON."""
    return environment.get("TASKORCH_JSON", "").lower() in TRUE


def _replicas(value: str) -> int:
    if not value.isdecimal():
        raise errors.Invalid(reason=f"{value!r} is not a number of replicas.")
    return bounds.number(int(value), "number of replicas", 0, MOST_REPLICAS)


def _root(environment: Mapping[str, str], folder: str) -> tuple[str, str]:
    named = environment.get("TASKORCH_ROOT")
    if named:
        return os.path.realpath(os.path.join(folder, named)), "TASKORCH_ROOT"  # one server, however it is spelt
    parents = list(_upwards(folder))
    for parent in parents:
        if os.path.isdir(os.path.join(parent, FOLDER)):
            return parent, f"the nearest {FOLDER}/"
    for parent in parents:
        if os.path.exists(os.path.join(parent, ".git")):
            return _main_checkout(parent), "the git checkout"
    return folder, "the current folder"


def _session(said: _Said, environment: Mapping[str, str], folder: str, root: str) -> str:
    """Return what tells a session of an agent from others: what was said, be it nothing, or else the git worktree."""
    session = said.text("session", "AGENT_SESSION")
    if "AGENT_SESSION" in environment:
        return session and bounds.name(session, "a session (AGENT_SESSION)")
    if session := _worktree(folder, root):
        said.sources["session"] = "the git worktree"
    return session


def _worktree(folder: str, root: str) -> str:
    """Return a name for the git worktree that a folder is in; "" where it is in none, or in one that has the root."""
    top = next((each for each in _upwards(folder) if os.path.exists(os.path.join(each, ".git"))), "")
    own, _ = _git_folders(top) if top else ("", "")
    if not own or os.path.commonpath([os.path.realpath(top), os.path.realpath(root)]) == os.path.realpath(top):
        return ""
    from binascii import crc32  # only in a worktree

    name = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in os.path.basename(own))
    return f"{name.strip('-')[:NAME_CHARACTERS] or 'worktree'}-{crc32(os.fsencode(own)):08x}"


def _upwards(folder: str) -> Iterator[str]:
    yield folder
    if folder != os.path.dirname(folder):
        yield from _upwards(os.path.dirname(folder))


def _main_checkout(top: str) -> str:
    """Return the checkout that a worktree belongs to; `top` itself where it is none."""
    _, shared = _git_folders(top)
    return os.path.dirname(shared) if os.path.basename(shared) == ".git" else top


def _git_folders(top: str) -> tuple[str, str]:
    """Return what git keeps of a worktree, and what it has in common with others; "" and "" where it is none.

    Its `.git` is a file naming the first, `<main>/.git/worktrees/<name>`.
    """
    git = os.path.join(top, ".git")
    if not os.path.isfile(git):
        return "", ""
    try:
        own = os.path.realpath(os.path.join(top, _content(git).strip().removeprefix("gitdir:").strip()))
        return own, os.path.realpath(os.path.join(own, _content(os.path.join(own, "commondir")).strip()))
    except (OSError, ValueError):
        return "", ""


def _content(file: str) -> str:
    with open(file, encoding="utf-8") as opened:
        return opened.read()


def _config(file: str) -> Mapping[str, str]:
    try:
        text = _content(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise errors.Usage(reason=f"Cannot read {file}: {error}") from None
    return _parsed(text, file)


def _parsed(text: str, file: str) -> Mapping[str, str]:
    import tomllib  # only where there is a config file: it is slow to import

    try:
        config = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise errors.Usage(reason=f"{file} is not TOML: {error}") from None
    for key, value in config.items():
        if key not in CONFIG_KEYS:
            raise errors.Usage(reason=f"{file} has an unknown key {key!r}; it knows {', '.join(CONFIG_KEYS)}.")
        if key == "service" and isinstance(value, bool):
            config[key] = "on" if value else "off"
        elif key == "wait_replicas" and type(value) is int:
            config[key] = str(value)
        elif not isinstance(value, str):
            raise errors.Usage(reason=f"{file}: {key} must be text.")
    return config
