"""Costs and budgets, by the commands as people and agents run them."""

import json
from pathlib import Path

import pytest
from support import tool_client
from support.builders import Bench
from support.commands import Shell
from support.runs import ONCE, sh
from support.tool_client import run_async
from taskorch.domain.acceptance import RunCheck

CLAUDE = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": "Done.",
    "session_id": "s",
    "total_cost_usd": 0.25,
    "modelUsage": {
        "large": {"inputTokens": 10, "outputTokens": 20, "costUSD": 0.25}
    },
}


def project_with_item(bench: Bench) -> tuple[str, str]:
    """Return a new project, and its item for ada."""
    project = bench.project()
    return project, bench.item(project)


def total_micros(shell: Shell, *owner: str) -> int:
    document = shell.orchestrate("--json", "costs", *owner)
    return int(document.data()["total"]["cost_micros"])


def test_costs_of_commands_add_up(shell: Shell, bench: Bench) -> None:
    project, item = project_with_item(bench)

    shell.worker("progress", item, "half", "--cost", "0.1")
    shell.worker(
        *("complete", item, "done", "--tokens-in", "1200"),
        *("--tokens-out", "300", "--cost", "0.2", "--model", "large"),
    )

    assert total_micros(shell, project) == 300_000
    shown = shell.orchestrate("show", item).stdout
    assert "Used: $0.30, 1,200 tokens in, 300 out (large)" in shown
    table = shell.orchestrate("costs", project).stdout
    assert "ada" in table
    assert "$0.30" in table


def test_costs_by_project_have_titles(shell: Shell, bench: Bench) -> None:
    project = bench.queue.project("Build it")
    item = bench.item(project)
    shell.worker("progress", item, "half", "--cost", "0.1")

    header, row, total, *_ = shell.orchestrate("costs").stdout.splitlines()
    document = shell.orchestrate("--json", "costs").data()
    by_agent = shell.orchestrate("--json", "costs", project).data()

    assert header.split() == [
        *("PROJECT", "COST", "TOKENS", "IN", "TOKENS", "OUT"),
        *("FROM", "CACHE", "TITLE"),
    ]
    assert (row.split()[0], row.split()[-2:]) == (project, ["Build", "it"])
    assert total.split()[:2] == ["total", "$0.10"]
    assert document["rows"][0]["title"] == "Build it"
    assert by_agent["rows"][0]["title"] == ""


def test_budget_stops_pop_until_removed(shell: Shell, bench: Bench) -> None:
    project, _ = project_with_item(bench)
    shell.orchestrate("budget", project, "--limit", "0", "--per", "day")

    refused = shell.worker("pop")

    assert refused.code == 8
    assert refused.stderr.startswith(f"over budget: project {project} has")
    assert f"orchestrate budget {project} --limit" in refused.stderr
    status = shell.orchestrate("status").stdout
    assert f"over budget: project {project}" in status
    assert "over budget" in shell.orchestrate("prime").stdout
    assert "over budget" in shell.worker("prime").stdout
    assert "over_budget" in shell.orchestrate("stuck").stdout
    shell.orchestrate("budget", project, "--remove")
    assert shell.worker("pop").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("budget", "ada", "--limit", "1"), 2),
        (("budget", "--limit", "1", "--per", "day"), 2),
        (("budget", "ada", "--limit", "-1", "--per", "day"), 2),
        (("budget", "ada", "--limit", "nan", "--per", "day"), 2),
        (("budget", "ada", "--limit", "1e9", "--per", "day"), 2),
        (("budget", "ada", "--per", "day"), 2),
        (("budget", "nobody", "--limit", "1", "--per", "day"), 3),
        (("budget", "proj_ffffffff", "--limit", "1", "--per", "day"), 3),
        (("budget", "nobody"), 3),
        (("costs", "nobody"), 3),
        (("costs", "ada", "--by", "project"), 5),
    ],
)
def test_wrong_budget_is_refused(
    shell: Shell, bench: Bench, words: tuple[str, ...], code: int
) -> None:
    bench.item()

    refused = shell.orchestrate(*words)

    assert refused.code == code, refused.stderr
    assert bench.queue.views.budgets() == ()


def test_short_id_of_project_is_enough(shell: Shell, bench: Bench) -> None:
    project, _ = project_with_item(bench)
    short = project[: len("proj_") + 5]

    set_ = shell.orchestrate("budget", short, "--limit", "1", "--per", "day")
    shown = shell.orchestrate("budget", short)
    costs = shell.orchestrate("costs", short)

    assert (set_.code, shown.code, costs.code) == (0, 0, 0), set_.stderr
    assert f"project {project}" in shown.stdout


def test_wrong_cost_changes_nothing(shell: Shell, bench: Bench) -> None:
    _, item = project_with_item(bench)

    codes = [
        shell.worker("complete", item, "done", *words).code
        for words in (
            ("--cost", "-1"),
            ("--cost", "nan"),
            ("--tokens-in", "-1"),
            ("--model", "large"),
        )
    ]

    assert codes == [2, 2, 2, 2]
    assert bench.queue.views.show(item).item.usage is None


def test_wrong_usage_of_tool_changes_nothing(
    shell: Shell, bench: Bench
) -> None:
    _, item = project_with_item(bench)
    report = {"item": item, "kind": "progress", "text": "Half"}
    wrong: list[dict[str, object]] = [
        {"cost": -1},
        {"cost": "1"},
        {"cost": 10**400},
        {"tokens_in": -1},
        {"tokens_out": 1.5},
        {"cache_read": 10**13},
        {"model": "large"},
        {"model": "a b", "cost": 1},
        {"price": 1},
    ]

    async def test() -> None:
        async with tool_client.worker(shell) as ada:
            await ada.data("get", item=item)
            for usage in wrong:
                error = await ada.error("report", **report, usage=usage)
                assert error["code"] in ("INVALID", "USAGE"), usage
            await ada.data("report", **report, usage={"cost": 0.5})

    run_async(test)

    used = bench.queue.views.show(item).item.usage
    assert used
    assert used.cost_micros == 500_000


@pytest.mark.parametrize("completes", ["", "worker complete $I done >&2; "])
def test_run_reads_costs_of_program(
    shell: Shell, bench: Bench, tmp_path: Path, completes: str
) -> None:
    project, _ = project_with_item(bench)
    output = tmp_path / "output.json"
    output.write_text(json.dumps(CLAUDE))
    script = f"I=$TASKORCH_ITEM_ID; {completes}cat {output}"

    ended = shell.worker(*ONCE, *sh(script))

    assert ended.code == 0, ended.stderr
    assert total_micros(shell, project) == 250_000
    assert total_micros(shell, "ada") == 250_000


def test_run_counts_costs_of_unproved_work(
    shell: Shell, bench: Bench, tmp_path: Path
) -> None:
    project = bench.project()
    bench.item(project, checks=(RunCheck(run=("test", "-e", "missing")),))
    output = tmp_path / "output.json"
    output.write_text(json.dumps(CLAUDE))

    ended = shell.worker(*ONCE, *sh(f"cat {output}"))

    assert ended.code == 5, ended.stderr
    assert total_micros(shell, project) == 250_000


def test_run_over_budget_says_so(shell: Shell, bench: Bench) -> None:
    bench.item()
    shell.orchestrate("budget", "ada", "--limit", "0", "--per", "total")

    ended = shell.worker(*ONCE, *sh("true"))

    assert ended.code == 8
    assert "over budget: agent ada" in ended.stderr
