"""`orchestrate purge` in a terminal and in scripts."""

from pathlib import Path

import pytest
from support.builders import Bench
from support.commands import BIN, Shell, eventually
from support.proxy import ALWAYS, proxied
from support.screens import Screen
from taskorch.domain.item import NewItem, State
from taskorch.queue import keys


def over(bench: Bench, *, days: int = 0) -> str:
    """Return a project with two items that was completed a number of days ago."""
    project = bench.queue.project("All done")
    bench.agent().note(
        bench.bring_to(bench.item(project), State.COMPLETED).item, "mine"
    )
    bench.item(project)
    bench.queue.complete_project(project, force=True)
    key = f"{keys.tag(bench.namespace)}project:{project}"
    bench.raw.hset(key, "completed_at", bench.now_ms() - days * 86_400_000 - 1)
    return project


def there(bench: Bench) -> set[str]:
    return {project.id for project in bench.queue.views.projects()}


def answered(shell: Shell, answer: str, *words: str) -> tuple[int, str]:
    """Answer the question of a command; return its exit code and screen."""
    with Screen(shell, BIN / "orchestrate", *words) as screen:
        eventually(lambda: screen.shows("[y/N]"))
        screen.type(f"{answer}\n".encode())
        code = screen.exit_code()
    return code, screen.output.decode().replace("\r\n", "\n")


def test_purge_deletes_everything_of_completed_project(
    shell: Shell, bench: Bench
) -> None:
    script = """set -e
        PROJECT=$(orchestrate project "Short")
        ITEM=$(orchestrate create $PROJECT "One" --assign ada --key one)
        worker get $ITEM
        worker notes $ITEM "Mine"
        worker discover $ITEM "It rains"
        worker complete $ITEM "Done"
        orchestrate complete $PROJECT
        orchestrate purge $PROJECT --yes"""

    first = shell.having(PATH=f"{BIN}:/usr/bin:/bin").run("sh", "-c", script)
    before = bench.everything().keys()
    again = shell.having(PATH=f"{BIN}:/usr/bin:/bin").run("sh", "-c", script)

    checked = {
        check["name"]: check["status"]
        for check in shell.orchestrate("doctor", "--json").json()["data"][
            "checks"
        ]
    }

    assert (first.code, again.code) == (0, 0), again.stderr
    assert "Purged: 1 project, 1 item, " in again.stdout
    assert there(bench) == set()
    assert bench.everything().keys() == before
    assert {
        checked[name]
        for name in ("indexes", "dependencies", "listings", "counts")
    } == {"ok"}


def test_purge_without_project_deletes_old_projects(
    shell: Shell, bench: Bench
) -> None:
    old, older, young, active = (
        over(bench, days=40),
        over(bench, days=100),
        over(bench, days=20),
        bench.project(),
    )

    shown = shell.orchestrate("purge", "--dry-run")
    after_showing = there(bench)
    oldest = shell.orchestrate("purge", "--older-than", "90d", "--yes")
    after_oldest = there(bench)
    ran = shell.orchestrate("purge", "--yes")
    nothing = shell.orchestrate("purge", "--yes")

    assert [line.split()[0] for line in shown.stdout.splitlines()[1:]] == [
        old,
        older,
    ]
    assert after_showing == {old, older, young, active}
    assert oldest.stdout.startswith("Purged: 1 project, 2 items, ")
    assert after_oldest == {old, young, active}
    assert ran.stdout.startswith("Purged: 1 project, 2 items, ")
    assert there(bench) == {young, active}
    assert (nothing.code, nothing.stdout, nothing.stderr) == (
        0,
        "",
        "Nothing was purged.\n",
    )


def test_purge_json_has_deleted_and_kept_projects(
    shell: Shell, bench: Bench
) -> None:
    gone, needed = over(bench, days=40), bench.project()
    item = bench.item(needed)
    dependent = bench.item(depends_on=(item,))
    bench.queue.complete_project(needed, force=True)
    bench.raw.hset(
        f"{keys.tag(bench.namespace)}project:{needed}", "completed_at", 1
    )

    shown = shell.orchestrate("purge", "--dry-run", "--json").data()
    ran = shell.orchestrate("purge", "--yes", "--json")
    purged = ran.json()["data"]
    told = shell.orchestrate("purge", needed, "--yes")

    assert (
        [project["id"] for project in shown["projects"]],
        shown["items"],
        shown["keys"],
    ) == (
        [gone, needed],
        3,
        0,
    )
    assert (
        [project["id"] for project in purged["projects"]],
        purged["items"],
    ) == (
        [gone],
        2,
    )
    assert purged["keys"] > 5
    assert f"{dependent} waits for {item}" in purged["kept"][needed]
    assert (ran.code, told.code, told.stdout) == (5, 5, "")
    assert f"{needed} is still needed" in told.stderr
    assert f"orchestrate cancel {dependent}" in told.stderr


def test_purge_in_pipe_requires_yes(shell: Shell, bench: Bench) -> None:
    project = over(bench, days=40)

    all_of_them, one = (
        shell.orchestrate("purge"),
        shell.orchestrate("purge", project, "--json"),
    )

    assert all_of_them.code == one.code == 2
    assert "--yes" in all_of_them.stderr
    assert one.error()["code"] == "USAGE"
    assert there(bench) == {project}


@pytest.mark.parametrize(
    ("answer", "goes"), [("y", True), ("n", False), ("", False)]
)
def test_purge_asks_on_terminal(
    shell: Shell,
    bench: Bench,
    answer: str,
    goes: bool,  # noqa: FBT001
) -> None:
    project = over(bench)

    code, screen = answered(shell, answer, "purge", project)

    assert code == 0
    assert project in screen
    assert "Delete 1 project with 2 items for good?" in screen
    assert ("Purged: 1 project" if goes else "Nothing was purged.") in screen
    assert there(bench) == (set() if goes else {project})


def test_interrupted_purge_is_finished_by_rerun(
    shell: Shell, bench: Bench
) -> None:
    project = bench.queue.project("Large")
    bench.create_many(project, [NewItem(title="One of many")] * 600)
    bench.queue.complete_project(project, force=True)

    with proxied(shell.variables["TASKORCH_REDIS_URL"]) as proxy:
        # one of the look at the project, two of the check; then all of the first part
        proxy.replies_lost = 1

        def lose_all() -> None:
            proxy.replies_lost = ALWAYS if len(proxy.lost) > 2 else 1

        proxy.on_lost_reply = lose_all
        cut_off = shell.having(TASKORCH_REDIS_URL=proxy.url).orchestrate(
            "purge", project, "--yes"
        )
    left = len(bench.queue.views.list(project=project, limit=5000).items)
    ran = shell.orchestrate("purge", project, "--yes")

    assert (cut_off.code, left) == (4, 580)
    assert ran.stdout.startswith("Purged: 1 project, 580 items, ")
    assert there(bench) == set()
    assert bench.inconsistencies() == []


def test_files_of_purged_project_are_removed(
    shell: Shell, bench: Bench
) -> None:
    project = over(bench)
    shell.orchestrate("sync")
    handoffs = Path(shell.folder, ".task-orchestrator", "handoffs")
    before = sorted(path.name for path in handoffs.iterdir())

    shell.orchestrate("purge", project, "--yes")
    done = shell.orchestrate("sync", "--json").data()

    left = sorted(path.name for path in handoffs.iterdir())
    assert (before != [], left) == (True, [])
    assert done["troubles"] == {}
