"""The config.toml of a root, as far as it is trusted, and that of the user."""

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
#: Only concerns our own service beside the bundled server, so it affects no other data.
ALWAYS_SAFE = ("service",)
#: With the bundled server, these concern only the data of the root. With a Redis that
#: the user named, they could lead commands to the keys of another team, or remove the
#: durability that the user asked for.
SAFE_FOR_BUNDLED = ("namespace", "wait_replicas", "wait_timeout")


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
        super().__init__(file, parse(content, file))
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


def path(root: str) -> str:
    """Return the path of a root's config file."""
    return os.path.join(root, root_folder.NAME, NAME)


def of_root(root: str, environment: Mapping[str, str]) -> ConfigFile:
    """Return the config file of a root.

    Raises errors.Usage for a file that is unreadable or has unknown keys.
    """
    file = path(root)
    content = read(file)
    if content is None:
        return ConfigFile(file, {})
    return RootConfigFile(file, content, environment)


def of_user(environment: Mapping[str, str]) -> ConfigFile:
    """Return the user's own config file. Raises errors.Usage and UserFolderUnusable."""
    file = os.path.join(user_folder.path(environment), NAME)
    content = user_folder.read(environment, NAME)
    return ConfigFile(file, {} if content is None else parse(content, file))


def read(file: str) -> bytes | None:
    """Return the content of a config file, None if it is missing.

    Raises errors.Usage for a file that is unreadable or too long.
    """
    # O_NONBLOCK: do not wait for a pipe.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(os.open(file, flags), "rb") as opened:
            content = opened.read(LONGEST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.Usage(reason=f"Cannot read {file}: {error}") from None
    if len(content) > LONGEST_BYTES:
        raise errors.Usage(
            reason=f"{file} is longer than {LONGEST_BYTES} bytes."
        )
    return content


def parse(content: bytes, file: str) -> Mapping[str, str]:
    """Return the settings in a config file, by key. Raises errors.Usage."""
    import tomllib  # slow to import, and most roots have no config file

    try:
        config = tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise errors.Usage(reason=f"Cannot read {file}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise errors.Usage(reason=f"{file} is not TOML: {error}") from None
    return {key: _text(key, value, file) for key, value in config.items()}


def _text(key: str, value: object, file: str) -> str:
    """Return the value of a key as an environment variable would hold it."""
    if key not in KEYS:
        known = ", ".join(KEYS)
        raise errors.Usage(
            reason=f"{file} has an unknown key {key!r}. Use: {known}."
        )
    if key == "service" and isinstance(value, bool):
        return "on" if value else "off"
    if key == "wait_replicas" and type(value) is int:
        return str(value)
    if not isinstance(value, str):
        raise errors.Usage(reason=f"{file}: {key} must be text.")
    return value
