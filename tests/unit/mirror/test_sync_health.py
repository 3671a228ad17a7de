"""The health check of the service."""

import os
from time import time
from typing import Any

import pytest
from taskorch.domain import errors
from taskorch.domain.mirror_record import MirrorStatus
from taskorch_orchestrator.mirror.sync_health import require_recent_pass

ROOT = "/project"


def kept(
    *, root: str = ROOT, host: str = "", ago_s: float = 1, error: str = ""
) -> MirrorStatus:
    status = {
        "path": root,
        "host": host or os.uname().nodename,
        "error": error,
    }
    at = int((time() - ago_s) * 1000)
    return MirrorStatus(
        root="1a2b3c4d",
        at=at,
        status=status,
        behind=0,
        service={},
        service_at=at,
    )


def test_recent_pass_of_this_machine_is_healthy() -> None:
    require_recent_pass(
        [
            kept(root="/other", error="x"),
            kept(host="other", error="x"),
            kept(ago_s=50),
            kept(ago_s=900),
        ],
        ROOT,
    )


@pytest.mark.parametrize(
    ("mirrors", "reason"),
    [
        ([], "no pass has been made"),
        ([{"root": "/other"}], "no pass has been made"),
        ([{"host": "other"}], "no pass has been made"),
        ([{"ago_s": 125}], " s ago, and the limit is 60 s"),
        (
            [{"error": "No space left on device"}],
            "the last pass failed: No space left on device",
        ),
    ],
)
def test_unhealthy_root_is_refused_with_reason(
    mirrors: list[dict[str, Any]], reason: str
) -> None:
    with pytest.raises(errors.Unhealthy) as refusal:
        require_recent_pass([kept(**mirror) for mirror in mirrors], ROOT)

    assert reason in str(refusal.value)
    assert "orchestrate service" in refusal.value.hint()
