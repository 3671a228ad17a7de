"""What `make bench-peers` makes of what it measured, and that its programs still fit the library and the documents."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.figures import Round, Spread
from benchmarks.peers import figures, install
from benchmarks.peers.measure import server

REPOSITORY = Path(__file__).parents[3]
PAGE = (REPOSITORY / "docs" / "performance.md").read_text()
#: Of huey there is no memory, and in the second round nothing at all.
ROUNDS: list[Round] = [
    {
        "taskorch": {"enqueue_rate": 100.0, "memory": 1000.0},
        "huey": {"enqueue_rate": 400.0},
        "rq": {"enqueue_rate": 50},
    },
    {
        "taskorch": {"enqueue_rate": 10.0, "memory": 3000.0},
        "huey": {},
        "rq": {"enqueue_rate": 20.0},
    },
    {
        "taskorch": {"enqueue_rate": 200.0, "memory": 2000.0},
        "huey": {"enqueue_rate": 400.0},
        "rq": {"enqueue_rate": 100},
    },
]


def test_ratio_is_median_of_ratios_within_rounds() -> None:
    shown = {
        result.name: result
        for result in figures.results(ROUNDS, "enqueue_rate")
    }

    rq = shown["rq"]
    assert rq.values == Spread(median=50, least=20, most=100)
    ratios = {
        name: result.ratios.median
        for name, result in shown.items()
        if result.ratios
    }
    assert ratios == {"huey": 3, "taskorch": 1, "rq": 0.5}


@pytest.mark.parametrize(
    ("figure", "order"),
    [("enqueue_rate", ["huey", "taskorch", "rq"]), ("memory", ["taskorch"])],
)
def test_best_comes_first_and_unmeasured_is_left_out(
    figure: str, order: list[str]
) -> None:
    assert [result.name for result in figures.results(ROUNDS, figure)] == order


def test_less_memory_is_better() -> None:
    rounds: list[Round] = [
        {
            "taskorch": {"memory": 900.0},
            "rq": {"memory": 1500.0},
            "huey": {"memory": 500.0},
        }
    ]

    assert [result.name for result in figures.results(rounds, "memory")] == [
        "huey",
        "taskorch",
        "rq",
    ]


def test_page_table_has_medians_and_ratios() -> None:
    lines = figures.markdown(
        ROUNDS, {"taskorch": "1.0", "rq": "3.0", "huey": "3.5"}
    ).splitlines()

    assert lines[0] == "| | taskorch 1.0 | rq 3.0 | huey 3.5 |"
    assert "| enqueue, items/s | 100 | 50 (0.50) | 400 (3.00) |" in lines
    assert "| memory per queued item, bytes | 2,000 | - | - |" in lines


def test_each_peer_lists_its_packages() -> None:
    needs = {queue: install.needs(queue) for queue in install.QUEUES}

    assert needs.pop("taskorch") == []
    assert needs.pop("taskorch_100") == []
    assert {
        queue for queue, packages in needs.items() if queue not in packages[0]
    } == set()
    assert all(
        ">=" in package for packages in needs.values() for package in packages
    )


def test_page_has_every_queue_and_figure() -> None:
    written = PAGE.partition("<!-- peers")[2].partition("<!-- /peers -->")[0]
    head, *lines = [
        line for line in written.splitlines() if line.startswith("| ")
    ]

    assert re.findall(r"\| ([a-z_0-9]+) [0-9]", head) == list(install.QUEUES)
    assert [line.split(" | ")[0][2:] for line in lines] == [
        figure.title for figure in figures.FIGURES.values()
    ]


def test_page_has_killed_worker_of_every_queue() -> None:
    written = PAGE.partition("<!-- killed")[2].partition("<!-- /killed")[0]

    queues = re.findall(
        r"^\| ([a-z_0-9]+) [0-9.]+ \| \d+ \|$", written, re.MULTILINE
    )
    assert queues == list(install.QUEUES)


def test_page_shows_existing_plots() -> None:
    plots = re.findall(r"\((plots/[^)]+)\)", PAGE)

    assert len(plots) >= 4
    assert [
        plot for plot in plots if not (REPOSITORY / "docs" / plot).is_file()
    ] == []


def test_ours_can_be_measured() -> None:
    with server() as url:
        told = [
            _told(url, *words.split())
            for words in ("wake 2 30", "enqueue 12 300", "process 1 10 30")
        ]

    assert [sorted(each) for each in told] == [
        ["p50", "p99", "samples"],
        ["cpu", "rate"],
        ["cpu", "rate"],
    ]


def _told(url: str, *words: str) -> dict[str, float]:
    program = [sys.executable, "-P", str(install.program("taskorch")), *words]
    environment = {
        **os.environ,
        "PEERS_URL": url,
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        program,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return dict(json.loads(done.stdout))
