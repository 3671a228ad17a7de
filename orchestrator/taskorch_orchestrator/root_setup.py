"""A root that is made on purpose, and the config file of a root that the user trusts."""

import json
import os
from collections.abc import Mapping, Sequence

from taskorch.cli.text import line
from taskorch.config import config_file, files, password, root_folder
from taskorch.config import trust as records
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen
from taskorch.transport import address


class Initialised(Frozen):
    """A root, whether its folder was created now, and its config file if it has one."""

    root: str
    created: bool
    config_file: str


class ConfigText(Frozen):
    """A config file as it was read: what is shown is what is trusted."""

    file: str
    content: bytes
    #: Key -> value, without passwords.
    settings: Mapping[str, str]


class Trust(Frozen):
    """Whether a config file is trusted, and what it sets."""

    file: str
    trusted: bool
    settings: Mapping[str, str]


class TrustedFile(Frozen):
    """A file that was trusted, and whether it still is: "trusted", "changed" or "missing"."""

    file: str
    status: str


def init(
    place: str, chosen: Mapping[str, str], environment: Mapping[str, str]
) -> Initialised:
    """Make a folder a root, a shared one too, and write the `chosen` settings to its config file.

    Raises errors.RootNotWritable, errors.ForeignFolder, errors.UserFolderUnusable; errors.Usage for an address that is
    not one or has a password; errors.Invalid for a config file that says something else.
    """
    root = os.path.realpath(place)
    ours, file = os.path.join(root, root_folder.NAME), config_file.path(root)
    root_folder.refuse_foreign(ours)
    content = _content(chosen)
    if content and config_file.read(file) not in (None, content):
        raise errors.Invalid(
            reason=f"{file} exists and says something else. Edit it, then: orchestrate trust"
        )
    if root_folder.is_shared(environment, root):
        root_folder.allow_shared(environment, root)
    created = not os.path.isdir(ours)
    try:
        root_folder.create(ours)
        if content:
            _write(file, content)
    except OSError as error:
        raise files.root_not_writable(root, error) from None
    if content:
        records.trust(environment, file, content)
    return Initialised(
        root=root, created=created, config_file=file if os.path.exists(file) else ""
    )


def file_of(place: str | None, environment: Mapping[str, str]) -> str:
    """Return the config file of the root for a folder; of the current folder without one."""
    outside = {
        name: value
        for name, value in environment.items()
        if not place or name != root_folder.VARIABLE
    }
    root, _ = root_folder.find(outside, os.path.abspath(place or "."))
    root_folder.refuse_foreign(os.path.join(root, root_folder.NAME))
    return config_file.path(os.path.realpath(root))


def shown(file: str) -> ConfigText:
    """Return what a config file says. Raises errors.Invalid without one, errors.Usage for one that is damaged."""
    content = config_file.read(file)
    if content is None:
        raise errors.Invalid(reason=f"There is no {file}: nothing has to be trusted.")
    values = config_file.parse(content, file)
    settings = {
        key: address.redacted(value) if key == "redis_url" else value
        for key, value in values.items()
    }
    return ConfigText(file=file, content=content, settings=settings)


def trust(text: ConfigText, environment: Mapping[str, str]) -> Trust:
    """Trust a config file until it changes. Raises errors.UserFolderUnusable."""
    records.trust(environment, text.file, text.content)
    return Trust(file=text.file, trusted=True, settings=text.settings)


def forget(file: str, environment: Mapping[str, str]) -> Trust:
    """Trust a config file no longer; it may be missing, or never have been trusted."""
    records.forget(environment, file)
    return Trust(file=file, trusted=False, settings={})


def listed(environment: Mapping[str, str]) -> tuple[TrustedFile, ...]:
    """Return the files that were trusted."""
    return tuple(
        TrustedFile(file=each.file, status=_status(each))
        for each in records.records(environment)
    )


def initialised(made: Initialised) -> str:
    """Render a root."""
    first = (
        f"{line(made.root)} is a root now."
        if made.created
        else f"{line(made.root)} is a root already."
    )
    return f"{first}\nSettings: {line(made.config_file)}" if made.config_file else first


def settings(text: ConfigText) -> str:
    """Render what a config file says."""
    rows = [f"  {key} = {line(value)}" for key, value in text.settings.items()]
    return "\n".join(
        [f"{line(text.file)} sets:", *rows]
        if rows
        else [f"{line(text.file)} sets nothing."]
    )


def trusted(result: Trust) -> str:
    """Render that a config file is trusted."""
    return f"Trusted until it changes: {line(result.file)}"


def forgotten(result: Trust) -> str:
    """Render that a config file is not trusted any more."""
    return f"Not trusted: {line(result.file)}"


def trusted_files(found: Sequence[TrustedFile]) -> str:
    """Render the files that were trusted, one a line."""
    return "\n".join(f"{each.status:8} {line(each.file)}" for each in found)


def _content(chosen: Mapping[str, str]) -> bytes:
    url = chosen.get("redis_url", "")
    if url:
        address.parse(url)
        if not url.isprintable():
            raise address.invalid(url)
        if password.has_password(url):
            raise errors.Usage(
                reason="config.toml is for everybody who has the folder: leave the password out of the address, and "
                f"put it into {password.VARIABLE}, or into a file that {password.FILE_VARIABLE} names."
            )
    if "namespace" in chosen:
        limits.name(chosen["namespace"], "a namespace")
    return "".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
        for key, value in chosen.items()
    ).encode()


def _write(file: str, content: bytes) -> None:
    """Write a file unless it exists: then it says the same."""
    try:
        with open(file, "xb") as opened:
            opened.write(content)
    except FileExistsError:
        pass


def _status(record: records.TrustRecord) -> str:
    try:
        content = config_file.read(record.file)
    except errors.Usage:
        return "missing"
    if content is None:
        return "missing"
    return "trusted" if records.matches(record, content) else "changed"
