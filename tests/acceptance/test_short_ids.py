"""Ids on the command line: the first digits are enough."""

from support.builders import Bench
from support.commands import Shell
from taskorch.domain.item import NewItem, State


def test_commands_take_first_digits_of_ids(shell: Shell, bench: Bench) -> None:
    project = bench.queue.project("Title", id="proj_7fed0001")
    item = bench.queue.create(
        project, NewItem(title="x", id="item_7fed0001", agent="")
    )
    other = bench.queue.create(
        project, NewItem(title="x", id="item_abcd0001", agent="ada")
    )

    for line in (
        "orchestrate create 7fed Third --depends-on 7fed abcd",
        "orchestrate depend 7fed abcd",
        "orchestrate assign item_7fed ada",
        "orchestrate progress abcd",
        "orchestrate progress proj_7fed",
        "orchestrate show 7fed",
        "orchestrate list 7fed",
        "orchestrate unassigned --project 7fed",
        "orchestrate stuck --project 7fed",
        "worker get abcd",
        "worker progress abcd Half",
        "worker notes abcd Mine",
        "worker get-notes abcd",
        "worker renew abcd",
        "worker release abcd",
        "worker get item_abcd",
        "worker complete abcd Done",
        "orchestrate cancel item_7fed",
        "orchestrate wait abcd --timeout 0",
        "orchestrate complete 7fed --force",
        "orchestrate purge 7fed --dry-run",
        "orchestrate costs 7fed",
        "orchestrate costs proj_7fed",
        "orchestrate budget proj_7fed --limit 1 --per day",
        "orchestrate budget 7fed0001 --remove",
    ):
        role, *words = line.split()
        ran = (
            shell.orchestrate(*words)
            if role == "orchestrate"
            else (shell.worker(*words))
        )
        assert ran.code == 0, (line, ran.stderr)

    states = {each.id: each.state for each in bench.queue.views.list().items}
    assert states[item] is State.CANCELLED
    assert states[other] is State.COMPLETED


def test_ambiguous_id_is_refused_with_candidates(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    items = [
        bench.queue.create(
            project, NewItem(title=f"Title {n}\x1b[31m", id=f"item_7fed000{n}")
        )
        for n in range(2)
    ]

    ran = shell.orchestrate("cancel", "7fed")
    document = shell.orchestrate("cancel", "7fed", "--json")

    assert ran.code == 3
    assert ran.stderr.splitlines() == [
        "Error: More than one id begins with 7fed.",
        *sorted(
            f"  {item} Title {n}\\x1b[31m" for n, item in enumerate(items)
        ),
        "  Give more digits, or the whole id.",
    ]
    error = document.error()
    assert error["code"] == "AMBIGUOUS_ID"
    assert {each["id"] for each in error["details"]["candidates"]} == {*items}
    assert {each.state for each in bench.queue.views.list().items} == {
        State.PENDING
    }


def test_id_of_no_item_is_not_found(shell: Shell) -> None:
    shell.orchestrate("project", "x")

    ran = shell.worker("get", "7fed")

    assert (ran.code, ran.stderr) == (
        3,
        "Error: There is no item 7fed.\n  Item ids look like item_1a2b3c4d.\n",
    )


def test_name_of_agent_comes_before_digits(shell: Shell, bench: Bench) -> None:
    project = bench.queue.project("Title", id="proj_face0001")
    bench.item(project, agent="face")

    of_agent = shell.orchestrate("--json", "costs", "face").data()
    of_project = shell.orchestrate("--json", "costs", "face0").data()
    shell.orchestrate("budget", "face", "--limit", "1", "--per", "day")

    assert of_agent["owner"] == "agent:face"
    assert of_project["owner"] == f"project:{project}"
    (budget,) = bench.queue.views.budgets()
    assert budget.owner == "agent:face"


def test_digits_of_no_owner_are_not_found(shell: Shell, bench: Bench) -> None:
    bench.item()

    refused = shell.orchestrate(
        "budget", "beef", "--limit", "1", "--per", "day"
    )

    assert refused.code == 3
    assert bench.queue.views.budgets() == ()
