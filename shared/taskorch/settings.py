"""Flags, environment and config file -> Settings: what is set, and where each of it came from."""

from collections.abc import Callable, Mapping
from pathlib import Path

from taskorch import bounds, errors, password
from taskorch.folder import NAME as FOLDER
from taskorch.frozen import Frozen

CONFIG_KEYS = ("redis_url", "namespace", "service", "redis_password_file", "wait_replicas", "wait_timeout")
MOST_REPLICAS = 100
TRUE = ("1", "true", "yes", "on")
FALSE = ("0", "false", "no", "off")


class Settings(Frozen):
    """How this process reaches the queue, and who it is."""

    _secret = ("redis_password",)

    #: "" for the bundled server of this root.
    redis_url: str
    #: For an address that has none of its own; "" where there is none, and for the bundled server.
    redis_password: str = ""
    #: How many replicas must have what must not be lost, and how long it may take them.
    wait_replicas: int = 0
    wait_timeout_ms: int = 2000
    namespace: str
    root: Path
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
    def folder(self) -> Path:
        """Return the folder that holds everything of ours below the root."""
        return self.root / FOLDER


def resolve(flags: Mapping[str, str | None], environment: Mapping[str, str], folder: Path) -> Settings:
    """Return the settings that hold in `folder`: flags win over the environment, that over the config file.

    `flags` may hold `redis_url`, `namespace` and `agent_id`. Raises errors.Usage for a config file that cannot be
    read or has unknown keys, for a switch that is neither on nor off, for a number or a duration that is none, and for
    a password file that others can read; errors.Invalid for a bad name.
    """
    root, root_source = _root(environment, folder)
    config = _config(root / FOLDER / "config.toml")
    sources = {"root": root_source}

    def pick(name: str, flag: str, variables: tuple[str, ...], default: str) -> str:
        candidates = [(flags.get(flag), f"--{flag.replace('_', '-')}")]
        candidates += [(environment.get(variable), variable) for variable in variables]
        candidates += [(config.get(name), "config.toml")]
        value, sources[name] = next(((v, s) for v, s in candidates if v), (default, "default"))
        return value or default

    def switch(name: str, flag: str, variables: tuple[str, ...], default: str) -> bool:
        value = pick(name, flag, variables, default)
        if value.lower() not in (*TRUE, *FALSE):
            raise errors.Usage(reason=f"{name} ({sources[name]}) must be on or off, not {value!r}.")
        return value.lower() in TRUE

    def setting(name: str, default: str, read: Callable[[str], int]) -> int:
        value = pick(name, name, (f"TASKORCH_{name.upper()}",), default)
        try:
            return read(value)
        except (ValueError, errors.Invalid) as error:
            raise errors.Usage(reason=f"{name} ({sources[name]}): {error}") from None

    redis_url = pick("redis_url", "redis_url", ("TASKORCH_REDIS_URL", "REDIS_URL"), "")
    named = [
        (environment.get(password.FILE_VARIABLE), folder, password.FILE_VARIABLE),
        (config.get("redis_password_file"), root, "config.toml"),
    ]
    found, sources["redis_password"] = password.find(redis_url, environment, named)
    session = pick("session", "session", ("AGENT_SESSION",), "")
    return Settings(
        redis_url=redis_url,
        redis_password=found,
        wait_replicas=setting("wait_replicas", "0", _replicas),
        wait_timeout_ms=setting("wait_timeout", "2s", bounds.duration_ms),
        namespace=bounds.name(pick("namespace", "namespace", ("TASKORCH_NAMESPACE",), "default"), "a namespace"),
        agent=pick("agent", "agent_id", ("AGENT_ID", "TM_AGENT_ID"), ""),
        session=session and bounds.name(session, "a session (AGENT_SESSION)"),
        orchestrator=pick("orchestrator", "orchestrator", ("ORCHESTRATOR_ID",), "orchestrator"),
        service=switch("service", "service", ("TASKORCH_SERVICE",), "on"),
        root=root,
        sources=sources,
    )


def wants_json(environment: Mapping[str, str]) -> bool:
    """Return whether `TASKORCH_JSON` asks for JSON."""
    return environment.get("TASKORCH_JSON", "").lower() in TRUE


def _replicas(value: str) -> int:
    if not value.isdecimal():
        raise errors.Invalid(reason=f"{value!r} is not a number of replicas.")
    return bounds.number(int(value), "number of replicas", 0, MOST_REPLICAS)


def _root(environment: Mapping[str, str], folder: Path) -> tuple[Path, str]:
    named = environment.get("TASKORCH_ROOT")
    if named:
        return Path(named).absolute(), "TASKORCH_ROOT"
    parents = (folder, *folder.parents)
    for parent in parents:
        if (parent / FOLDER).is_dir():
            return parent, f"the nearest {FOLDER}/"
    for parent in parents:
        if (parent / ".git").exists():
            return _main_checkout(parent), "the git checkout"
    return folder, "the current folder"


def _main_checkout(top: Path) -> Path:
    """Return the checkout that a worktree belongs to; its `.git` is a file naming `<main>/.git/worktrees/<name>`."""
    git = top / ".git"
    if not git.is_file():
        return top
    try:
        named = git.read_text(encoding="utf-8").strip().removeprefix("gitdir:").strip()
        worktree = (top / named).resolve()
        common = (worktree / (worktree / "commondir").read_text(encoding="utf-8").strip()).resolve()
    except (OSError, ValueError):
        return top
    return common.parent if common.name == ".git" else top


def _config(file: Path) -> Mapping[str, str]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise errors.Usage(reason=f"Cannot read {file}: {error}") from None
    return _parsed(text, file)


def _parsed(text: str, file: Path) -> Mapping[str, str]:
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
