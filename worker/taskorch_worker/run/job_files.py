"""What a command finds when it is started for an item: files in a private folder, and variables."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import mkdtemp

from taskorch.cli import json_output
from taskorch.config import password
from taskorch.config.files import make_private_folder
from taskorch.config.settings import Settings
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Claim, Lease
from taskorch.transport import address

from taskorch_worker import inherited_lease
from taskorch_worker.render import items

#: Linux takes no longer string, with its name, as a variable.
VARIABLE_BYTES = 128 * 1024 - 1


class JobFiles(Frozen):
    """The folder, files and variables of one item."""

    folder: Path
    #: The item as JSON: what the command has as standard input.
    item: Path
    #: Where it may write what it delivers.
    result: Path
    environment: Mapping[bytes, bytes]
    #: The variables that were too long.
    left_away: tuple[str, ...]


def prepare(claim: Claim, lease: Lease, settings: Settings, within: Path) -> JobFiles:
    """Write the files of an item into a new folder, and return its papers. Raises OSError.

    The folder that it is made in may be gone: some machines clean up where temporary files are.
    """
    make_private_folder(within)
    folder = Path(mkdtemp(prefix=f"{lease.item}.", dir=within))
    item, result = folder / "item.json", folder / "result.json"
    text = json_output.line(claim)
    item.touch(mode=0o600)
    item.write_text(f"{text}\n", encoding="utf-8")
    files = {"TASKORCH_ITEM_FILE": str(item), "TASKORCH_RESULT_FILE": str(result)}
    claimed = {inherited_lease.ITEM: lease.item, inherited_lease.TOKEN: lease.shown()}
    long = {"TASKORCH_ITEM": text, "TASKORCH_PROMPT": items.claim(claim)}
    fitting = {name: value for name, value in long.items() if _fits(name, value)}
    redis = _redis(settings, folder)
    named = {
        name: os.fsencode(value)
        for name, value in (
            *_who(settings),
            *redis.items(),
            *claimed.items(),
            *files.items(),
        )
    }
    named |= {name: value.encode() for name, value in fitting.items()}
    unwanted = {*long, *_with_password(settings)}
    kept = {
        name: value
        for name, value in os.environb.items()
        if os.fsdecode(name) not in unwanted
    }
    return JobFiles(
        folder=folder,
        item=item,
        result=result,
        environment={**kept, **{name.encode(): value for name, value in named.items()}},
        left_away=tuple(name for name in long if name not in fitting),
    )


def _who(settings: Settings) -> Iterator[tuple[str, str]]:
    """Return what makes a `worker` that the command calls the same holder, wherever it is called."""
    yield "AGENT_ID", settings.agent
    yield "AGENT_SESSION", settings.session
    yield "TASKORCH_NAMESPACE", settings.namespace
    yield "TASKORCH_ROOT", settings.root_path


def _redis(settings: Settings, folder: Path) -> dict[str, str]:
    """Return the variables that lead the command to the same Redis, with the password in a file in `folder`."""
    if not settings.redis_url:
        return {}
    url, own = address.without_password(settings.redis_url)
    variables = {"TASKORCH_REDIS_URL": url}
    if secret := own or settings.redis_password:
        file = folder / "redis-password"
        file.touch(mode=0o600)
        file.write_text(secret, encoding="utf-8")
        variables[password.FILE_VARIABLE] = str(file)
    return variables


def _with_password(settings: Settings) -> set[str]:
    """Return the variables of this process that may hold a password of Redis which a command needs no more."""
    if not settings.redis_url:
        return {password.VARIABLE}
    source = settings.sources["redis_url"]
    return {
        password.VARIABLE,
        password.FILE_VARIABLE,
        "TASKORCH_RQ_URL",
        *([source] if source == "REDIS_URL" else []),
    }


def _fits(name: str, value: str) -> bool:
    return len(name) + 1 + len(value.encode()) <= VARIABLE_BYTES
