"""Where Redis is: the address of the bundled server, and how an address may be shown."""

import os
import re
from hashlib import sha256
from pathlib import Path

from taskorch.settings import Settings

#: A Unix socket's path has room for 107 bytes on Linux, 103 on macOS.
LONGEST_SOCKET_PATH = 100


def of(settings: Settings) -> str:
    """Return the address that the settings name, else the one of the bundled server of their root."""
    return settings.redis_url or f"unix://{socket_path(settings.folder)}"


def socket_path(folder: Path) -> Path:
    """Return the socket of the bundled server of a root, whose `.task-orchestrator` folder this is."""
    path = folder / "run" / "server.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    name = sha256(os.fsencode(folder), usedforsecurity=False).hexdigest()[:16]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    private = Path(runtime, "taskorch") if runtime else Path("/tmp", f"taskorch-{os.getuid()}")  # noqa: S108
    return private / f"{name}.sock"


def shown(url: str) -> str:
    """Return an address without its password: what may stand in a message or a log."""
    return re.sub(r"(://[^:@/]*):.*@", r"\1:***@", re.sub(r"(password=)[^&]*", r"\1***", url))
