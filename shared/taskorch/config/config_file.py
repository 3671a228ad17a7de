"""config.toml, that of a root and that of the user -> settings; the one of a root is obeyed as far as it is trusted."""

import os
from collections.abc import Mapping

from taskorch.config import root_folder, user_folder
from taskorch.domain import errors

NAME = "config.toml"
LONGEST_BYTES = user_folder.LONGEST_BYTES
KEYS = (
    "redis_url",
    "namespace",
    "service",
    "redis_password_file",
    "wait_replicas",
    "wait_timeout",
)
#: About our own process beside the bundled server of the root: nothing outside of the folder is reached by it.
ALWAYS_SAFE = ("service",)
#: With the bundled server these concern the root's own data. With a Redis that the user named, they would lead the
#: user's commands into another team's keys, or take back the durability that the user asked for.
SAFE_FOR_BUNDLED = ("namespace", "wait_replicas", "wait_timeout")


class ConfigFile:
    """A file with settings: key -> text."""

    def __init__(self, file: str, values: Mapping[str, str]) -> None:
        """Hold what a `file` says; `values` are empty where there is none."""
        self.file = file
        self.values = values

    def value(self, key: str, *, redis_is_named: bool) -> str:  # noqa: ARG002  a root's file looks at it
        """Return the text of a setting that takes effect now; "" without one."""
        return self.values.get(key, "")


class RootConfigFile(ConfigFile):
    """The config file of a root, which may have come with a checkout."""

    def __init__(
        self, file: str, content: bytes, environment: Mapping[str, str]
    ) -> None:
        super().__init__(file, parsed(content, file))
        self._content = content
        self._environment = environment

    def value(self, key: str, *, redis_is_named: bool) -> str:
        """Return the text of a setting; raises errors.UntrustedConfig for one that an untrusted file may not set."""
        value = super().value(key, redis_is_named=redis_is_named)
        is_safe = key in ALWAYS_SAFE or (key in SAFE_FOR_BUNDLED and not redis_is_named)
        if value and not is_safe and not self._is_trusted():
            raise errors.UntrustedConfig(file=self.file, key=key)
        return value

    def _is_trusted(self) -> bool:
        from taskorch.config import trust  # only for a file that needs it: it hashes

        return trust.is_trusted(self._environment, self.file, self._content)


def path(root: str) -> str:
    """Return where the config file of a root is."""
    return os.path.join(root, root_folder.NAME, NAME)


def of_root(root: str, environment: Mapping[str, str]) -> ConfigFile:
    """Return the config file of a root. Raises errors.Usage for one that cannot be read, or has unknown keys."""
    content = read(path(root))
    return (
        ConfigFile(path(root), {})
        if content is None
        else RootConfigFile(path(root), content, environment)
    )


def of_user(environment: Mapping[str, str]) -> ConfigFile:
    """Return the user's own config file. Raises errors.Usage, errors.UserFolderUnusable."""
    file = os.path.join(user_folder.path(environment), NAME)
    content = user_folder.read(environment, NAME)
    return ConfigFile(file, {} if content is None else parsed(content, file))


def read(file: str) -> bytes | None:
    """Return the content of a config file; None if it is missing. Raises errors.Usage for what cannot be read."""
    try:
        descriptor = os.open(
            file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        )  # not to wait for a pipe
        with open(descriptor, "rb") as opened:
            content = opened.read(LONGEST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.Usage(reason=f"Cannot read {file}: {error}") from None
    if len(content) > LONGEST_BYTES:
        raise errors.Usage(reason=f"{file} is longer than {LONGEST_BYTES} bytes.")
    return content


def parsed(content: bytes, file: str) -> Mapping[str, str]:
    """Return the settings that a config file has. Raises errors.Usage."""
    import tomllib  # only where there is a config file: it is slow to import

    try:
        config = tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise errors.Usage(reason=f"Cannot read {file}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise errors.Usage(reason=f"{file} is not TOML: {error}") from None
    return {key: _text(key, value, file) for key, value in config.items()}


def _text(key: str, value: object, file: str) -> str:
    if key not in KEYS:
        raise errors.Usage(
            reason=f"{file} has an unknown key {key!r}; it knows {', '.join(KEYS)}."
        )
    if key == "service" and isinstance(value, bool):
        return "on" if value else "off"
    if key == "wait_replicas" and type(value) is int:
        return str(value)
    if not isinstance(value, str):
        raise errors.Usage(reason=f"{file}: {key} must be text.")
    return value
