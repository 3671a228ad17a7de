"""The test deployments behave like real ones where a published number depends on it."""

from pathlib import Path

from support import topologies


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
