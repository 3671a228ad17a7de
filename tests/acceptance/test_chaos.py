"""A short chaos run: every kind of fault happens, and every guarantee holds."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from chaos.faults import ALONE_S, EVERY_S, GATEWAY_S
from chaos.faults import plan as planned
from support.commands import eventually

TESTS = Path(__file__).parents[1]
SECONDS = 14
TIMEOUT_S = 200
KILLS = (
    "kill -9 of a worker or producer",
    "kill -9 of a command",
    "kill -9 by a poison item",
    "SIGSTOP of the stale holder",
    "reply lost",
)  # fmt: skip


@pytest.mark.parametrize(
    ("redis", "own_faults"),
    [("standalone", ()), ("gateway", tuple(GATEWAY_S))],
)
def test_guarantees_hold_during_all_faults(
    redis: str, own_faults: tuple[str, ...]
) -> None:
    wanted = {
        "CHAOS_REDIS": redis,
        "CHAOS_SECONDS": str(SECONDS),
        "CHAOS_PROCESSES": "10",
        "CHAOS_SEED": "1",
        "PYTHONPATH": str(TESTS),
    }

    ran = subprocess.run(
        [sys.executable, "-m", "chaos", "--json"],
        env={**os.environ, **wanted},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    summary = json.loads(ran.stdout)
    assert {
        name: found
        for name, found in summary["verdict"].items()
        if found["found"]
    } == {}
    assert {
        fault
        for fault in (*EVERY_S, *ALONE_S, *KILLS, *own_faults)
        if not summary["faults"].get(fault)
    } == set()
    assert summary["stale_writes_refused"] > 0
    assert summary["items"]["poison, failed"] > 0
    assert summary["verdict"]["acknowledged completions lost"]["of"] > 20


def test_interrupted_run_leaves_no_process_behind() -> None:
    variables = {
        **os.environ,
        "CHAOS_SECONDS": "60",
        "CHAOS_PROCESSES": "8",
        "PYTHONPATH": str(TESTS),
    }

    with subprocess.Popen(
        [sys.executable, "-m", "chaos"], env=variables, start_new_session=True
    ) as driver:
        # The fleet, its parent and the server.
        eventually(lambda: len(living(driver.pid)) > 10, within_s=60)
        driver.send_signal(signal.SIGINT)
        code = driver.wait(TIMEOUT_S)

    assert code == 130
    eventually(lambda: not living(driver.pid), within_s=60)


def living(session: int) -> list[str]:
    """Return the processes of a session that are not zombies."""
    stats = [_stat(folder) for folder in Path("/proc").glob("[0-9]*")]
    return [
        pid
        for pid, state, its_session in stats
        if its_session == str(session) and state != "Z"
    ]


def _stat(process: Path) -> tuple[str, str, str]:
    try:
        words = (
            (process / "stat")
            .read_text(encoding="utf-8")
            .rpartition(")")[2]
            .split()
        )
    except OSError:  # it has just ended
        return process.name, "Z", ""
    return process.name, words[0], words[3]


@pytest.mark.parametrize("seconds", [14, 120])
def test_seed_plans_each_fault_the_same_way(
    seconds: float,
) -> None:
    kinds = {**EVERY_S, **ALONE_S}

    first, again, other = (planned(seed, seconds, kinds) for seed in (7, 7, 8))

    assert first == again != other
    assert {fault.kind for fault in first} == set(kinds)
    assert all(0 < fault.at_s < seconds for fault in first)
