"""The test deployments behave like real ones where a published number depends on it."""

import os
import signal
from pathlib import Path
from time import time
from typing import Any, cast

from support import topologies
from support.commands import eventually
from support.topologies import DOWN_AFTER_MS, SERVICE, Node, command

#: After this time, a primary that was killed is being replaced.
LONGER_THAN_DEAD_MS = 3 * DOWN_AFTER_MS


def test_promoted_server_restarts_as_primary_with_its_data(
    tmp_path: Path,
) -> None:
    with topologies.sentinels(tmp_path) as deployment:
        deployment.kill_primary()
        promoted = deployment.await_failover()
        promoted.raw.set("written", "after the failover")

        promoted.kill()
        promoted.start()

        assert promoted.info("replication")["role"] == "master"
        assert promoted.raw.get("written") == "after the failover"


def test_stalled_primary_of_sentinels_stays_primary(tmp_path: Path) -> None:
    with topologies.sentinels(tmp_path) as deployment:
        primary = deployment.primary
        ask = cast(Any, deployment.sentinels[0].raw).sentinel_master
        os.kill(primary.pid, signal.SIGSTOP)

        eventually(
            lambda: ask(SERVICE)["last-ok-ping-reply"] > LONGER_THAN_DEAD_MS
        )
        os.kill(primary.pid, signal.SIGCONT)
        deployment.await_agreement()

        assert deployment.primary is primary


def test_stalled_primary_of_cluster_stays_primary(tmp_path: Path) -> None:
    with topologies.cluster(tmp_path) as cluster:
        primary, other, *_ = cluster.primaries
        name = command(primary, "CLUSTER", "MYID")
        os.kill(primary.pid, signal.SIGSTOP)

        eventually(lambda: silent_ms(other, name) > LONGER_THAN_DEAD_MS)
        os.kill(primary.pid, signal.SIGCONT)
        eventually(lambda: silent_ms(other, name) == 0)

        _, _, flags, *_, slots = seen_by(other, name)
        assert flags == "master"
        assert slots == "0-5460"


def silent_ms(node: Node, name: str) -> int:
    """Return how long ago the ping was sent that another node has not answered."""
    sent_at = int(seen_by(node, name)[4])
    return int(time() * 1000) - sent_at if sent_at else 0


def seen_by(node: Node, name: str) -> list[str]:
    """Return the words of the line about another node."""
    lines = str(command(node, "CLUSTER", "NODES")).splitlines()
    return next(line.split() for line in lines if line.startswith(name))
