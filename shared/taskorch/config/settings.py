"""The settings of a command, from flags, environment variables and config files."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from taskorch.config import program_session, root_folder, user_folder
from taskorch.config.files import PathLike
from taskorch.config.root_folder import CONFIG_NAME
from taskorch.config.root_folder import NAME as FOLDER
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen

if TYPE_CHECKING:
    from pathlib import Path

    from taskorch.config.notify_target import NotifyTarget
    from taskorch.config.secret_file import SecretFile

MOST_REPLICAS = 100
#: Characters of a worktree's name in the name of its session.
NAME_CHARACTERS = 40
#: The keys that a config file may have.
CONFIG_KEYS = (
    "redis_url",
    "url",
    "namespace",
    "service",
    "redis_password_file",
    "token_file",
    "wait_replicas",
    "wait_timeout",
    "retention",
    "notify",
    "pools",
)
#: The variable with the address of a gateway.
URL = "TASKORCH_URL"
#: Sources of a setting.
ROOT_CONFIG, USER_CONFIG = "config.toml", "your config.toml"
#: The source of a session without AGENT_SESSION.
PROGRAM = "the agent program"
#: Only concerns our own service beside the bundled server, so it affects no other data.
ALWAYS_SAFE = ("service",)
#: With the bundled server, these concern only the data of the root. With a Redis that
#: the user named, they could lead commands to the keys of another team, or remove the
#: durability that the user asked for.
SAFE_FOR_BUNDLED = (
    "namespace",
    "wait_replicas",
    "wait_timeout",
    "retention",
    "pools",
)
TRUE = ("1", "true", "yes", "on")
FALSE = ("0", "false", "no", "off")


class Settings(Frozen):
    """The settings of this process."""

    # an address may contain a password
    _secret = (
        "redis_url",
        "redis_password",
        "access_token",
    )

    #: The address of Redis, or of a gateway in front of it (https://…); "" for the
    #: bundled server of the root.
    redis_url: str
    #: The password, if the address has none; "" for none.
    redis_password: str = ""
    #: The access token for the gateway; "" for none.
    access_token: str = ""
    #: The number of replicas that must confirm a change that may not be lost.
    wait_replicas: int = 0
    #: How long to wait for those replicas.
    wait_timeout_ms: int = 2000
    #: How long the service keeps completed projects before it archives them; 0: for ever.
    retention_ms: int = 0
    #: The prefix of a team's keys in a shared Redis.
    namespace: str
    #: The folder that a queue belongs to; its `.task-orchestrator` holds our files.
    root_path: str
    #: The agent that `worker` acts as; "" if none is configured.
    agent: str
    #: Distinguishes two sessions of one agent name in one root.
    session: str
    #: The pools that the agent takes items from after its own queue, in this order; None
    #: if they are not set. With (), it leaves its pools.
    pools: tuple[str, ...] | None = None
    #: Whether the bundled server starts the service beside it.
    service: bool
    #: The arguments with which Python runs the service; () to start none.
    service_command: tuple[str, ...] = ()
    #: The name that `orchestrate` acts under.
    orchestrator: str
    #: The source of each setting: a flag, a variable, a config file, or "default".
    sources: Mapping[str, str]

    @property
    def folder_path(self) -> str:
        """The `.task-orchestrator` of the root."""
        return os.path.join(self.root_path, FOLDER)

    @property
    def root(self) -> "Path":
        """The root as a Path, for commands that import pathlib anyway."""
        from pathlib import Path

        return Path(self.root_path)

    @property
    def folder(self) -> "Path":
        """The `.task-orchestrator` of the root as a Path."""
        return self.root / FOLDER

    @property
    def has_folder(self) -> bool:
        """Whether the root has a `.task-orchestrator`."""
        return os.path.isdir(self.folder_path)

    @property
    def is_set_up(self) -> bool:
        """Whether a Redis is configured or the root has a `.task-orchestrator`."""
        return bool(self.redis_url) or self.has_folder


def resolve(
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    folder: PathLike,
) -> Settings:
    """Return the settings for the current `folder`.

    Flags take precedence over the environment, the root's config file, and the user's
    config file. `flags` may hold `url`, `redis_url`, `token_file`, `namespace` and
    `agent_id`.

    Raises errors.Usage for a config file that is unreadable or has unknown keys, an
    invalid value, or a password file that others can read; errors.Invalid for a bad
    name; errors.UntrustedConfig if a setting of the root's config file would take
    effect and is not trusted; errors.ForeignFolder; errors.UserFolderUnusable.
    """
    current = os.fspath(folder)
    root, root_source = root_folder.find(environment, current)
    root_folder.refuse_foreign(os.path.join(root, FOLDER))
    values = _Values(flags, environment, root)
    redis_url = values.redis_url()
    redis_password, password_source = "", "default"
    access_token, token_source = "", "default"
    if is_gateway(redis_url):
        access_token, token_source = values.token(current)
    elif redis_url:
        redis_password, password_source = values.password(redis_url, current)
    replicas = values.number(
        "wait_replicas", "TASKORCH_WAIT_REPLICAS", "0", _replicas
    )
    timeout_ms = values.number(
        "wait_timeout", "TASKORCH_WAIT_TIMEOUT", "2s", limits.duration_ms
    )
    retention_ms = values.number(
        "retention", "TASKORCH_RETENTION", "90d", _retention_ms
    )
    namespace = values.text(
        "namespace", "TASKORCH_NAMESPACE", default="default"
    )
    agent = values.text("agent", "AGENT_ID", "TM_AGENT_ID", flag="agent_id")
    session = _session(values, environment, current, root)
    pools = _pools(values, environment)
    service = values.switch("service", "TASKORCH_SERVICE", "on")
    orchestrator = values.text(
        "orchestrator", "ORCHESTRATOR_ID", default="orchestrator"
    )
    return Settings(
        redis_url=redis_url,
        redis_password=redis_password,
        access_token=access_token,
        wait_replicas=replicas,
        wait_timeout_ms=timeout_ms,
        retention_ms=retention_ms,
        namespace=limits.name(namespace, "a namespace"),
        root_path=root,
        agent=agent,
        session=session,
        pools=pools,
        service=service,
        orchestrator=orchestrator,
        sources={
            **values.sources,
            "root": root_source,
            "redis_password": password_source,
            "access_token": token_source,
        },
    )


class _Secret(Frozen):
    """A secret that files may hold."""

    #: What it is, for messages.
    name: str
    #: The variable and the key of a config file that name its file.
    variable: str
    key: str


def is_gateway(url: str) -> bool:
    """Return whether an address is that of a gateway, not of Redis."""
    return url.startswith(("https://", "http://"))


class _Values:
    """The value and source of each setting; the first source with a value wins.

    A value of the root's config file is read only if it would take effect, because it
    must be trusted then.
    """

    def __init__(
        self,
        flags: Mapping[str, str | None],
        environment: Mapping[str, str],
        root: str,
    ) -> None:
        self._flags, self._environment, self._root = flags, environment, root
        self._root_config = _root_config(root, environment)
        self._user_config = _user_config(environment)
        self._redis_is_named = True
        self.sources: dict[str, str] = {}

    def redis_url(self) -> str:
        """Return the address of Redis or of a gateway, "" for the bundled server.

        Must be called first: trust in the other settings depends on it.
        """
        variables = (URL, "TASKORCH_REDIS_URL", "REDIS_URL")
        candidates = self._candidates(
            ("url", "redis_url"), variables, ("url", "redis_url")
        )
        url, source = next(candidates, ("", "default"))
        self.sources["redis_url"] = source
        self._redis_is_named = bool(url)
        return url

    def password(self, url: str, folder: str) -> tuple[str, str]:
        """Return the password for an address of Redis and its source."""
        from taskorch.config import password

        secret = _Secret(
            name="password",
            variable=password.FILE_VARIABLE,
            key="redis_password_file",
        )
        files = self._secret_files(secret, folder)
        return password.find(url, self._environment, files)

    def token(self, folder: str) -> tuple[str, str]:
        """Return the access token for the gateway and its source."""
        from taskorch.config import secret_file, token

        secret = _Secret(
            name="token", variable=token.FILE_VARIABLE, key="token_file"
        )
        name = self._flags.get(token.FLAG)
        if name:
            file = secret_file.SecretFile(
                name=name,
                folder=folder,
                setting="--token-file",
                holds=secret.name,
                variable=secret.variable,
            )
            return secret_file.read(file), file.setting
        return secret_file.find(
            self._environment,
            token.VARIABLE,
            self._secret_files(secret, folder),
        )

    def _secret_files(
        self, secret: _Secret, folder: str
    ) -> Iterator["SecretFile"]:
        """Yield the configured files of a secret; a later one only if it is needed."""
        from taskorch.config import secret_file

        name = secret_file.variable(self._environment, secret.variable)
        if name:
            yield secret_file.SecretFile(
                name=name,
                folder=folder,
                setting=secret.variable,
                holds=secret.name,
                variable=secret.variable,
            )
        name = self._root_config.value(secret.key, redis_is_named=True)
        if name:
            yield secret_file.SecretFile(
                name=name,
                folder=self._root,
                setting=ROOT_CONFIG,
                holds=secret.name,
                variable=secret.variable,
                stays_inside=True,
            )
        name = self._user_config.value(secret.key, redis_is_named=True)
        if name:
            user_folder = os.path.dirname(self._user_config.file)
            yield secret_file.SecretFile(
                name=name,
                folder=user_folder,
                setting=USER_CONFIG,
                holds=secret.name,
                variable=secret.variable,
            )

    def text(
        self, name: str, *variables: str, default: str = "", flag: str = ""
    ) -> str:
        candidates = self._candidates((name,), variables, (flag or name,))
        value, self.sources[name] = next(candidates, (default, "default"))
        return value

    def _candidates(
        self,
        keys: Sequence[str],
        variables: Sequence[str],
        flags: Sequence[str],
    ) -> Iterator[tuple[str, str]]:
        """Yield each value of a setting and its source, in order of precedence."""
        for flag in flags:
            value = self._flags.get(flag)
            if value:
                yield value, f"--{flag.replace('_', '-')}"
        for variable in variables:
            value = self._environment.get(variable)
            if value:
                yield value, variable
        for config, source in (
            (self._root_config, ROOT_CONFIG),
            (self._user_config, USER_CONFIG),
        ):
            for key in keys:
                value = config.value(key, redis_is_named=self._redis_is_named)
                if value:
                    yield value, source

    def switch(self, name: str, variable: str, default: str) -> bool:
        value = self.text(name, variable, default=default)
        if value.lower() in TRUE:
            return True
        if value.lower() in FALSE:
            return False
        source = self.sources[name]
        raise errors.Usage(
            reason=f"{name} ({source}) must be on or off, not {value!r}."
        )

    def number(
        self,
        name: str,
        variable: str,
        default: str,
        parse: Callable[[str], int],
    ) -> int:
        value = self.text(name, variable, default=default)
        try:
            return parse(value)
        except errors.Invalid as error:
            source = self.sources[name]
            raise errors.Usage(reason=f"{name} ({source}): {error}") from None


def wants_json(environment: Mapping[str, str]) -> bool:
    """Return whether `TASKORCH_JSON` asks for JSON."""
    return environment.get("TASKORCH_JSON", "").lower() in TRUE


def _replicas(value: str) -> int:
    if not value.isdecimal():
        raise errors.Invalid(reason=f"{value!r} is not a number of replicas.")
    return limits.number(int(value), "number of replicas", 0, MOST_REPLICAS)


def _pools(
    values: _Values, environment: Mapping[str, str]
) -> tuple[str, ...] | None:
    """Return the names in AGENT_POOLS if set (even if empty), else in a config file.

    They are in a text such as "backend,python". Without any, return None.
    """
    if environment.get("AGENT_POOLS") == "":
        values.sources["pools"] = "AGENT_POOLS"
        return ()
    value = values.text("pools", "AGENT_POOLS")
    if not value:
        return None
    try:
        return limits.pools([name.strip() for name in value.split(",")])
    except errors.Invalid as error:
        source = values.sources["pools"]
        raise errors.Usage(reason=f"pools ({source}): {error}") from None


def _retention_ms(value: str) -> int:
    if value.lower() in FALSE:
        return 0
    try:
        return limits.duration_ms(value)
    except errors.Invalid as error:
        # each of its messages is about durations alone
        raise errors.Invalid(
            reason=f"{error} To keep all projects in Redis: off."
        ) from None


def _session(
    values: _Values, environment: Mapping[str, str], folder: str, root: str
) -> str:
    """Return AGENT_SESSION if set (even if empty), else that of the agent's program.

    Outside of a program, return the session of the git worktree.
    """
    session = values.text("session", "AGENT_SESSION")
    if session:
        return limits.name(session, "a session (AGENT_SESSION)")
    if "AGENT_SESSION" in environment:
        return ""
    sessions = program_session.ProgramSessions(os.path.join(root, FOLDER))
    session = sessions.current(environment)
    if session:
        values.sources["session"] = PROGRAM
        return session
    session = _worktree_session(environment, folder, root)
    if session:
        values.sources["session"] = "the git worktree"
    return session


def _worktree_session(
    environment: Mapping[str, str], folder: str, root: str
) -> str:
    """Return the session of a linked worktree; "" elsewhere, and if it has the root."""
    checkout = root_folder.checkout(environment, folder)
    if not checkout or not checkout.git:
        return ""
    top = os.path.realpath(checkout.top)
    if os.path.commonpath([top, os.path.realpath(root)]) == top:
        return ""
    from binascii import crc32  # only worktrees need it

    characters = [
        character if character.isascii() and character.isalnum() else "-"
        for character in os.path.basename(checkout.git)
    ]
    name = "".join(characters).strip("-")[:NAME_CHARACTERS] or "worktree"
    return f"{name}-{crc32(os.fsencode(checkout.git)):08x}"


class ConfigFile:
    """The settings in a file."""

    def __init__(self, file: str, values: Mapping[str, str]) -> None:
        """Hold the `values` of `file`, by key; none if the file is missing."""
        self.file = file
        self.values = values

    def value(self, key: str, *, redis_is_named: bool) -> str:  # noqa: ARG002  for RootConfigFile
        """Return the value of a setting that is about to take effect, or ""."""
        return self.values.get(key, "")


class RootConfigFile(ConfigFile):
    """The config file of a root, which a checkout may have brought."""

    def __init__(
        self, file: str, content: bytes, environment: Mapping[str, str]
    ) -> None:
        super().__init__(file, parse_config(content, file))
        self._content = content
        self._environment = environment

    def value(self, key: str, *, redis_is_named: bool) -> str:
        """Return the value of a setting that is about to take effect, or "".

        `redis_is_named` tells whether a Redis is configured instead of the bundled
        server. Raises errors.UntrustedConfig for a setting that needs trust.
        """
        value = super().value(key, redis_is_named=redis_is_named)
        is_safe = key in ALWAYS_SAFE or (
            key in SAFE_FOR_BUNDLED and not redis_is_named
        )
        if value and not is_safe and not self._is_trusted():
            raise errors.UntrustedConfig(file=self.file, key=key)
        return value

    def _is_trusted(self) -> bool:
        from taskorch.config import trust  # imports hashlib, which is slow

        return trust.is_trusted(self._environment, self.file, self._content)


def config_file_of(root: str) -> str:
    """Return the path of a root's config file."""
    return os.path.join(root, FOLDER, CONFIG_NAME)


def _root_config(root: str, environment: Mapping[str, str]) -> ConfigFile:
    """Return the config file of a root.

    Raises errors.Usage for a file that is unreadable or has unknown keys.
    """
    file = config_file_of(root)
    content = config_content(file)
    if content is None:
        return ConfigFile(file, {})
    return RootConfigFile(file, content, environment)


def _user_config(environment: Mapping[str, str]) -> ConfigFile:
    """Return the user's own config file. Raises errors.Usage and UserFolderUnusable."""
    file = os.path.join(user_folder.path(environment), CONFIG_NAME)
    content = user_folder.read(environment, CONFIG_NAME)
    return ConfigFile(
        file, {} if content is None else parse_config(content, file)
    )


def config_content(file: str) -> bytes | None:
    """Return the content of a config file, None if it is missing.

    Raises errors.Usage for a file that is unreadable or too long.
    """
    # O_NONBLOCK: do not wait for a pipe.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(os.open(file, flags), "rb") as opened:
            content = opened.read(user_folder.LONGEST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.Usage(reason=f"Cannot read {file}: {error}") from None
    if len(content) > user_folder.LONGEST_BYTES:
        raise errors.Usage(
            reason=f"{file} is longer than {user_folder.LONGEST_BYTES} bytes."
        )
    return content


def parse_config(content: bytes, file: str) -> Mapping[str, str]:
    """Return the settings in a config file, by key. Raises errors.Usage."""
    import tomllib  # slow to import, and most roots have no config file

    try:
        config = tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise errors.Usage(reason=f"Cannot read {file}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise errors.Usage(reason=f"{file} is not TOML: {error}") from None
    return {
        key: _config_text(key, value, file) for key, value in config.items()
    }


def _config_text(key: str, value: object, file: str) -> str:
    """Return the value of a key as an environment variable would hold it."""
    if key not in CONFIG_KEYS:
        known = ", ".join(CONFIG_KEYS)
        raise errors.Usage(
            reason=f"{file} has an unknown key {key!r}. Use: {known}."
        )
    if key == "service" and isinstance(value, bool):
        return "on" if value else "off"
    if key == "wait_replicas" and type(value) is int:
        return str(value)
    if key == "notify":
        return _notify_text(value, file)
    if key == "pools" and isinstance(value, list):
        return ",".join(map(str, value))
    if not isinstance(value, str):
        raise errors.Usage(reason=f"{file}: {key} must be text.")
    return value


def _notify_text(value: object, file: str) -> str:
    """Return the tables `[[notify]]` as JSON. Raises errors.Usage if one is wrong."""
    from taskorch.config import notify_target

    notify_target.targets(value, file)
    return json.dumps(value)


def notify_targets(
    settings: Settings, environment: Mapping[str, str]
) -> tuple["NotifyTarget", ...]:
    """Return the targets of notifications, of the root's config file or else the user's.

    Raises errors.UntrustedConfig if those of the root are not trusted: they could send
    what happens in the queue to anyone.
    """
    from taskorch.config import notify_target

    root = _root_config(settings.root_path, environment)
    for config, is_of_root in (
        (root, True),
        (_user_config(environment), False),
    ):
        tables = config.value(
            "notify", redis_is_named=bool(settings.redis_url)
        )
        if tables:
            return notify_target.targets(
                json.loads(tables), config.file, is_of_root=is_of_root
            )
    return ()
