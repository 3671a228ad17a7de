"""Whether the files of a root are kept in step with Redis: what a health check of the service asks."""

import os
from collections.abc import Iterable
from time import time

from taskorch.domain import errors
from taskorch.domain.mirror_record import MirrorStatus

#: A service makes a pass every few seconds.
LIMIT_S = 60


def require_recent_pass(kept: Iterable[MirrorStatus], root: str) -> None:
    """Refuse with errors.Unhealthy unless this machine's last pass over the files of a root went well, just now."""
    host = os.uname().nodename
    reason = _reason(
        [
            mirror
            for mirror in kept
            if (mirror.status.get("path"), mirror.status.get("host")) == (root, host)
        ]
    )
    if reason:
        raise errors.Unhealthy(root=root, host=host, reason=reason)


def _reason(kept: list[MirrorStatus]) -> str:
    """Return what is wrong, "" if nothing is. A folder that was replaced leaves an older status of the same path."""
    newest = max(kept, key=lambda mirror: mirror.at, default=None)
    if newest is None:
        return "it has made no pass over them"
    age_s = time() - newest.at / 1000
    if age_s > LIMIT_S:
        return f"its last pass was {age_s:.0f} s ago, and the limit is {LIMIT_S} s"
    error = newest.status.get("error")
    return f"its last pass failed: {str(error).removesuffix('.')}" if error else ""
