"""Where Redis is: the address of the bundled server, and how an address may be shown."""

import os
import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from taskorch.settings import Settings

#: A Unix socket's path has room for 107 bytes on Linux, 103 on macOS.
LONGEST_SOCKET_PATH = 100


def of(settings: Settings) -> str:
    """Return the address that the settings name, else the one of the bundled server of their root."""
    return settings.redis_url or of_socket(socket_path(settings.folder))


def of_socket(path: Path) -> str:
    """Return the address of a Unix socket."""
    return f"unix://{quote(str(path))}"


def socket_path(folder: Path) -> Path:
    """Return the socket of the bundled server of a root, whose `.task-orchestrator` folder this is.

    Where that path is too long it is a folder of the user's in /tmp, whatever the environment says: every process of
    the user must find the same one.
    """
    path = folder / "run" / "server.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    name = sha256(os.fsencode(folder), usedforsecurity=False).hexdigest()[:16]
    return Path("/tmp", f"taskorch-{os.getuid()}", f"{name}.sock")  # noqa: S108  a private folder in it


def shown(url: str) -> str:
    """Return an address without its password: what may stand in a message or a log."""
    return re.sub(r"(://[^:@/]*):.*@", r"\1:***@", re.sub(r"(password=)[^&]*", r"\1***", url))
