"""What `make bench` makes of what it measured, and that it still times what the documents tell users to type."""

import inspect
import re
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from taskorch.domain import errors
from taskorch.domain.item import Caller, State
from taskorch.queue import scripts
from taskorch.queue.queue import Queue

from benchmarks import (
    blocked,
    busy,
    fleet,
    functions,
    growth,
    guards,
    limit,
    loop,
    network,
    page,
    queues,
    revision,
    steps,
    workflow,
)
from benchmarks.figures import (
    Comparison,
    Figure,
    Spread,
    document,
    markdown,
    results,
)

REPOSITORY = Path(__file__).parents[3]
PAGE = page.PAGE.read_text()
NAMES = [
    "commands",
    "network",
    "limit",
    "revision",
    "revision_commands",
    "fleet",
    "growth",
    "agents",
    "projects",
    "functions",
    "guards",
    "batches",
    "memory",
    "mirror",
    "heavy_item",
    "soak",
    "waits",
    "gateway_commands",
    "gateway",
    "gateway_waits",
    "board",
]
COMPARISON = Comparison(
    name="commands",
    rows="command",
    figures={
        "wall": Figure(title="time, ms", digits=1),
        "errors": Figure(title="errors", compared=False),
    },
    baseline="bare",
    rounds=[
        {"bare": {"wall": 10.0}, "worker check": {"wall": 30.0, "errors": 0}},
        {"bare": {"wall": 20.0}, "worker check": {"wall": 40.0, "errors": 2}},
        {"bare": {"wall": 40.0}, "worker check": {"wall": 50.0, "errors": 1}},
    ],
    remarks=("A remark.",),
)


def test_ratio_compares_with_baseline_of_same_round() -> None:
    bare, check = COMPARISON.results("wall")

    assert check.values == Spread(median=40, least=30, most=50)
    assert check.ratios == Spread(median=2, least=1.25, most=3)
    assert bare.ratios == Spread(median=1, least=1, most=1)


def test_round_without_baseline_has_no_ratio() -> None:
    (only,) = results([{"worker check": {"wall": 30.0}}], "wall", "bare")

    assert only.ratios is None


def test_table_has_medians_ranges_and_ratios() -> None:
    lines = markdown(COMPARISON).splitlines()

    assert lines == [
        "| command | time, ms | bare = 1 | errors |",
        "|---|---|---|---|",
        "| bare | 20.0 (10.0 to 40.0) | 1.00 | - |",
        "| worker check | 40.0 (30.0 to 50.0) | 2.00 (1.25 to 3.00) | 1 (0 to 2) |",
        "",
        "A remark.",
    ]


def test_json_has_all_rounds_and_summaries() -> None:
    told = document(COMPARISON)

    assert told["results"]["wall"]["worker check"] == {
        "median": 40,
        "min": 30,
        "max": 50,
        "ratio": 2,
        "ratio_min": 1.25,
        "ratio_max": 3,
    }
    assert told["rounds"] == COMPARISON.rounds


def test_page_keeps_text_outside_the_marks(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text(
        "before\n<!-- a: made by x -->\nold\n<!-- /a -->\nafter\n<!-- b: made by x -->\n<!-- /b -->\n"
    )

    page.write("a", r"new \1", file)

    assert file.read_text() == (
        "before\n<!-- a: made by x -->\n\nnew \\1\n<!-- /a -->\nafter\n<!-- b: made by x -->\n<!-- /b -->\n"
    )
    with pytest.raises(ValueError, match="no place for c"):
        page.write("c", "new", file)


def test_every_command_of_the_workflow_is_timed() -> None:
    docs = REPOSITORY / "docs"
    chapters = (docs / "orchestrator.md").read_text().partition(
        "\n## A whole plan at once"
    )[0] + (docs / "worker.md").read_text().partition(
        "\n## Any command as a worker"
    )[0]
    told = set(
        re.findall(
            r"^\$ ((?:orchestrate|worker) [a-z]+)", chapters, re.MULTILINE
        )
    )

    assert len(told) > 15
    assert (
        told - {workflow.label(words) for words in workflow.typed()} == set()
    )


def test_every_timed_command_succeeds() -> None:
    with queues.rooted() as (root, _):
        walked = dict(workflow.walk(workflow.environment(root)))

    assert set(walked) == {workflow.label(words) for words in workflow.typed()}
    assert "Schema design complete" in walked["orchestrate complete"].output
    assert all(done.cpu_s > 0 for done in walked.values())


def test_failed_command_is_not_timed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="No such command"):
        workflow.timed(
            [str(workflow.BIN / "worker"), "chekc"],
            workflow.environment(tmp_path),
        )


@pytest.mark.parametrize("name", NAMES)
def test_the_document_shows_every_comparison(name: str) -> None:
    table = _written(name)

    assert table.count("|---|") >= 1
    assert "; load " in table


@pytest.mark.parametrize("name", ["commands", "network"])
def test_page_names_the_timed_commands(name: str) -> None:
    named = set(
        re.findall(
            r"^\| ((?:orchestrate|worker) [a-z]+) \|",
            _written(name),
            re.MULTILINE,
        )
    )

    assert named == {workflow.label(words) for words in workflow.typed()}


def test_blocked_has_a_row_of_every_script() -> None:
    source = inspect.getsource(blocked)

    measured = re.findall(r'_step\(\s*"(\w+)"', source)

    assert {*measured, *blocked.NOT_MEASURED} == set(scripts.names())


def test_the_document_shows_every_plot() -> None:
    plots = pytest.importorskip(
        "benchmarks.plots", reason="matplotlib is an extra"
    )

    assert [
        name for name in plots.DRAWN if f"(plots/{name}.svg)" not in PAGE
    ] == []


def test_a_comparison_is_drawn(tmp_path: Path) -> None:
    plots = pytest.importorskip(
        "benchmarks.plots", reason="matplotlib is an extra"
    )

    plots.draw(COMPARISON, tmp_path)

    drawn = (tmp_path / "commands.svg").read_text()
    assert "worker check" in drawn
    assert "2.00" in drawn


def test_fleet_figures_summarize_all_clients() -> None:
    seen = {
        "seconds": 2.0,
        "cpu": 0.5,
        "errors": 1,
        "first": [],
        "micros": {verb: [1000, 3000] for verb in fleet.VERBS},
    }

    rows = fleet.rows([seen, seen], {"core": 0.5, "busy": 1.0})

    whole = rows[fleet.ALL]
    assert (
        whole["rate"],
        whole["per_core"],
        whole["clients"],
        whole["errors"],
    ) == (
        6,
        12,
        0.5,
        2,
    )
    assert rows["claim"]["rate"] == 2
    assert rows["claim"]["p50"] == 2


def test_bare_loop_works_and_reports_empty_queue() -> None:
    with queues.server() as url:
        queue = queues.filled(url, "looped", 5)
        path, verbs = (
            unquote(urlsplit(url).path),
            ("claim", "progress", "complete"),
        )
        with closing(
            loop.Caller(path, "looped", queues.AGENT, verbs)
        ) as caller:
            seen = loop.run([caller], turns=16)

        (project,) = queue.views.projects()

    assert {verb: len(micros) for verb, micros in seen["micros"].items()} == {
        "claim": 6,
        "progress": 5,
        "complete": 5,
    }
    assert (seen["steps"], seen["errors"], seen["first"]) == (
        16,
        1,
        ["the queue ran empty"],
    )
    assert project.completed == 5


def test_bare_loop_claims_with_each_completion() -> None:
    with queues.server() as url:
        queue = queues.filled(url, "looped", 3)
        path = unquote(urlsplit(url).path)
        with closing(
            loop.Caller(path, "looped", queues.AGENT, (loop.NEXT,))
        ) as caller:
            seen = loop.run([caller], turns=4)

        (project,) = queue.views.projects()

    assert {verb: len(micros) for verb, micros in seen["micros"].items()} == {
        "claim": 1,
        loop.NEXT: 3,
    }
    assert (seen["errors"], seen["first"]) == (1, ["the queue ran empty"])
    assert project.completed == 3


def test_limit_is_measured_with_current_scripts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limit, "CALLS", 50)
    monkeypatch.setattr(limit, "PINGS", 100)

    with queues.server() as url:
        rates = limit._round(url, 0)

    assert rates[limit.BASELINE].keys() == {"1", "50"}
    for way in (limit.BY_LIBRARY, limit.BY_WORKER, limit.BY_PREFETCH):
        assert rates[f"{limit.NEXT}, {way}"].keys() == {"1"}


def test_calls_are_compared_with_those_by_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(functions, "TURNS", 2)
    monkeypatch.setattr(functions, "ROUNDS", 1)

    (comparison,) = functions.measure()

    assert set(comparison.rounds[0]) == {
        functions.BY_SCRIPT,
        functions.BY_FUNCTION,
    }
    assert all(
        figure > 0
        for figures in comparison.rounds[0].values()
        for figure in figures.values()
    )


def test_each_guard_is_found_in_scripts() -> None:
    texts = {left_out: guards.without(left_out) for left_out in guards.WITHOUT}

    assert texts[guards.AS_IT_IS] == scripts.library_text()
    assert len(set(texts.values())) == len(texts)


def test_guard_that_is_not_found_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = (("maintain(", ""), ("a line of an earlier version", ""))
    monkeypatch.setattr(guards, "WITHOUT", {"without it": lines})

    with pytest.raises(ValueError, match="'a line of an earlier version'"):
        guards.without("without it")


def test_pairs_run_without_each_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "PAIRS", 2)
    monkeypatch.setattr(guards, "ROUNDS", 1)

    (comparison,) = guards.measure()

    assert list(comparison.rounds[0]) == list(guards.WITHOUT)
    assert all(
        figure > 0
        for figures in comparison.rounds[0].values()
        for figure in figures.values()
    )


def test_version_is_compared_with_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(revision, "TIMES", 2)
    monkeypatch.setattr(revision, "ROUNDS", 1)
    monkeypatch.setattr(revision, "COMMAND_ROUNDS", 1)

    measured, commands = revision.compare(workflow.BIN, workflow.BIN)

    (by_step,), (by_command,) = measured.rounds, commands.rounds
    assert steps.PREFETCHING in by_step
    assert "worker check" in by_command
    for each in (*by_step.values(), *by_command.values()):
        assert all(figure > 0 for figure in each.values())


def test_timed_step_keeps_the_queue_length() -> None:
    with queues.server() as url:
        queue = queues.filled(url, "grown", 6, agents=3)
        steps = growth._of_queue(
            queue, [queues.agent(number) for number in range(3)], check=2
        )
        taken = [step() for _ in range(5) for step in steps.values()]

        (project,) = queue.views.projects()

    assert len(taken) == 15
    assert (project.counts[State.QUEUED], project.completed) == (6, 5)


def test_proxy_counts_connections_and_requests() -> None:
    with (
        queues.rooted() as (root, url),
        network.lined(unquote(urlsplit(url).path)) as line,
    ):
        variables = workflow.environment(root, TASKORCH_REDIS_URL=line.address)
        workflow.timed([str(workflow.BIN / "worker"), "check"], variables)
        first, line.trips = line.trips, 0
        workflow.timed([str(workflow.BIN / "worker"), "check"], variables)

    assert first == line.trips + 2  # the library is installed
    assert line.trips >= 2


def test_watched_connection_times_each_call() -> None:
    with (
        queues.server() as url,
        closing(busy.WatchedConnection(url)) as connection,
    ):
        queue = Queue(connection, "watched", Caller(agent="planner"))
        project = queue.project("Timed")
        with pytest.raises(errors.NoProject):
            queue.views.progress("proj_00000000")
        queue.views.progress(project)

    assert [call.script for call in connection.calls] == [
        "project",
        "progress_of_project",
        "progress_of_project",
    ]
    assert all(0 < call.busy_ms < 1000 for call in connection.calls)


def _written(name: str) -> str:
    return PAGE.partition(f"<!-- {name}: made by benchmarks -->")[2].partition(
        f"<!-- /{name} -->"
    )[0]
