"""What a server sees of a wait in which nothing happens."""

from typing import Any, cast

import pytest
import servers
from builders import Bench

pytestmark = pytest.mark.parametrize("lane", list(servers.binaries()), indirect=True, scope="session")

#: One before the wait and one after it; a server may end a wait a millisecond early, and then there is one more.
MOST_CALLS = 3


def scripts_run(bench: Bench) -> int:
    """Return how many scripts the server ran so far."""
    stats = cast(Any, bench.raw).info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))


def test_a_wait_of_half_a_second_runs_no_scripts_meanwhile(bench: Bench) -> None:
    bench.agent().claim()
    before = scripts_run(bench)

    claim = bench.agent().claim(wait_s=0.5)

    assert claim is None
    assert scripts_run(bench) - before <= MOST_CALLS
