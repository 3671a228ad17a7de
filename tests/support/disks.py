"""A full disk for tests, mounted where only one command sees it."""

import subprocess
from functools import cache

#: The folder on a disk that is full; what is left of it is copied back.
FULL = (
    "cp -a .task-orchestrator kept && mount -t tmpfs -o size={size} none .task-orchestrator"
    " && cp -a kept/. .task-orchestrator && {{ cat /dev/zero >.task-orchestrator/filled 2>/dev/null;"
    ' "$@"; code=$?; rm .task-orchestrator/filled; rm -r kept; cp -a .task-orchestrator kept; exit $code; }}'
)


@cache
def may_mount() -> bool:
    """Return whether this machine allows private mounts."""
    words = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return (
        subprocess.run(words, capture_output=True, check=False).returncode == 0
    )
