"""The health check of the service: whether it keeps the files of a root in sync."""

import os
from collections.abc import Iterable
from time import time

from taskorch.domain import errors
from taskorch.domain.mirror_record import MirrorStatus

#: A service makes a pass every few seconds.
MAX_AGE_S = 60


def require_recent_pass(mirrors: Iterable[MirrorStatus], root: str) -> None:
    """Check that this machine synced the files of a root within a minute.

    Raises errors.Unhealthy with the reason if it did not, or if its last pass failed.
    """
    host = os.uname().nodename
    place = (root, host)
    here = [
        mirror
        for mirror in mirrors
        if (mirror.status.get("path"), mirror.status.get("host")) == place
    ]
    reason = _reason(here)
    if reason:
        raise errors.Unhealthy(root=root, host=host, reason=reason)


def _reason(mirrors: list[MirrorStatus]) -> str:
    """Return why the newest status is not healthy; "" if it is.

    A folder that was replaced leaves an older status with the same path.
    """
    if not mirrors:
        return "no pass has been made"
    newest = max(mirrors, key=lambda mirror: mirror.at)
    age_s = time() - newest.at / 1000
    if age_s > MAX_AGE_S:
        return f"the last pass was {age_s:.0f} s ago, and the limit is {MAX_AGE_S} s"
    error = str(newest.status.get("error") or "")
    if error:
        return f"the last pass failed: {error.removesuffix('.')}"
    return ""
