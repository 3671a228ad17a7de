"""`orchestrate init` and `trust`: make a root, and trust its config file."""

import json
import os
from collections.abc import Mapping

from taskorch.config import (
    files,
    notify_target,
    password,
    root_folder,
    settings,
    trust,
)
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen
from taskorch.transport import address, gateway


class Initialised(Frozen):
    """A root, and its config file or ""."""

    root: str
    #: Whether its folder was created now.
    created: bool
    config_file: str


class ConfigText(Frozen):
    """A config file that was read once, so that the user trusts what they saw."""

    file: str
    content: bytes
    #: Key -> value, without passwords.
    settings: Mapping[str, str]


class Trust(Frozen):
    """A config file, whether it is trusted, and its settings."""

    file: str
    trusted: bool
    settings: Mapping[str, str]


class TrustedFile(Frozen):
    """A file that was trusted; `status` is "trusted", "changed" or "missing"."""

    file: str
    status: str


def init(
    folder: str, chosen: Mapping[str, str], environment: Mapping[str, str]
) -> Initialised:
    """Make a folder a root, even a shared one; write `chosen` settings to its config.

    Raises errors.Usage for an address that is invalid or contains a password;
    errors.Invalid for an existing config file with other content;
    errors.RootNotWritable; errors.ForeignFolder; errors.UserFolderUnusable.
    """
    root = os.path.realpath(folder)
    our_folder, file = (
        os.path.join(root, root_folder.NAME),
        settings.config_file_of(root),
    )
    root_folder.refuse_foreign(our_folder)
    content = _config_content(chosen)
    if content and settings.config_content(file) not in (None, content):
        reason = f"{file} exists with other content. Edit it, then: orchestrate trust"
        raise errors.Invalid(reason=reason)
    if root_folder.is_shared(environment, root):
        root_folder.allow_shared(environment, root)
    created = not os.path.isdir(our_folder)
    try:
        root_folder.create(our_folder)
        if content and not os.path.exists(file):
            with open(file, "xb") as opened:
                opened.write(content)
    except OSError as error:
        raise files.root_not_writable(root, error) from None
    if content:
        trust.trust(environment, file, content)
    existing = file if os.path.exists(file) else ""
    return Initialised(root=root, created=created, config_file=existing)


def _config_content(chosen: Mapping[str, str]) -> bytes:
    if "url" in chosen and "redis_url" in chosen:
        raise errors.Usage(reason="--url and --redis-url exclude each other.")
    url = chosen.get("url") or chosen.get("redis_url", "")
    if settings.is_gateway(url):
        gateway.parse(url, "")
    elif url:
        address.parse(url)
        if not url.isprintable():
            raise address.invalid(url)
        if password.has_password(url):
            raise errors.Usage(
                reason="config.toml must not contain a password. Remove it from the "
                f"address, and set {password.VARIABLE}, or store it in a file that "
                f"{password.FILE_VARIABLE} names."
            )
    if "namespace" in chosen:
        limits.name(chosen["namespace"], "a namespace")
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
        for key, value in chosen.items()
    ]
    return "".join(lines).encode()


def config_path(folder: str | None, environment: Mapping[str, str]) -> str:
    """Return the config file of the root of a folder, or of the current folder.

    For a given folder, TASKORCH_ROOT does not matter. Raises errors.ForeignFolder.
    """
    variables = dict(environment)
    if folder:
        variables.pop(root_folder.VARIABLE, None)
    root, _ = root_folder.find(variables, os.path.abspath(folder or "."))
    root_folder.refuse_foreign(os.path.join(root, root_folder.NAME))
    return settings.config_file_of(os.path.realpath(root))


def read_config(file: str) -> ConfigText:
    """Return a config file.

    Raises errors.Invalid if it is missing, errors.Usage if it is invalid.
    """
    content = settings.config_content(file)
    if content is None:
        raise errors.Invalid(
            reason=f"There is no {file}, so there is nothing to trust."
        )
    values = dict(settings.parse_config(content, file))
    for key in ("url", "redis_url"):
        if key in values:
            values[key] = address.redacted(values[key])
    if tables := values.get("notify"):
        found = notify_target.targets(json.loads(tables), file)
        values["notify"] = ", ".join(notify_target.hosts(found))
    return ConfigText(file=file, content=content, settings=values)


def trust_config(config: ConfigText, environment: Mapping[str, str]) -> Trust:
    """Trust a config file until it changes. Raises errors.UserFolderUnusable."""
    trust.trust(environment, config.file, config.content)
    return Trust(file=config.file, trusted=True, settings=config.settings)


def forget_config(file: str, environment: Mapping[str, str]) -> Trust:
    """Stop trusting a config file, even if it is missing or was never trusted.

    Raises errors.UserFolderUnusable.
    """
    trust.forget(environment, file)
    return Trust(file=file, trusted=False, settings={})


def trusted_files(environment: Mapping[str, str]) -> tuple[TrustedFile, ...]:
    """Return the files that were trusted. Raises errors.UserFolderUnusable."""
    return tuple(
        TrustedFile(file=record.file, status=_status(record))
        for record in trust.records(environment)
    )


def _status(record: trust.TrustRecord) -> str:
    try:
        content = settings.config_content(record.file)
    except errors.Usage:
        return "missing"
    if content is None:
        return "missing"
    return "trusted" if trust.matches(record, content) else "changed"
