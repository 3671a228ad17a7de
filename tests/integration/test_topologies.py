"""The deployments of the tests behave as real ones do where a figure depends on it."""

from pathlib import Path

from support import topologies


def test_a_server_that_was_promoted_and_killed_comes_back_as_a_primary_with_all_that_it_had(
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
