"""Many items in one command: `orchestrate assign ITEM… AGENT`, `worker pop --count N`."""

from support.builders import Bench
from support.commands import Shell
from taskorch.domain.item import State


def lease_files(shell: Shell) -> list[str]:
    return sorted(path.stem for path in shell.folder.rglob("*.lease"))


def test_assign_of_several_items_prints_a_line_each(
    shell: Shell, bench: Bench
) -> None:
    first, second = bench.item(agent=""), bench.item(agent="bob")

    ran = shell.orchestrate(
        "assign", first, second, "ada", "--context", "style=plain"
    )

    assert (
        ran.stdout
        == f"Assigned {first} to ada.\nAssigned {second} to ada (before: bob).\n"
    )
    assert bench.queue.views.show(second).item.context == {"style": "plain"}


def test_assign_of_several_items_is_json_list(
    shell: Shell, bench: Bench
) -> None:
    first, second = bench.item(agent=""), bench.item(agent="")

    both = shell.orchestrate("assign", first, second, "ada", "--json").data()
    one = shell.orchestrate("assign", first, "ada", "--json").data()

    assert [each["id"] for each in both] == [first, second]
    assert both[0] == {**one, "previous": ""}


def test_assign_with_one_wrong_item_assigns_none(
    shell: Shell, bench: Bench
) -> None:
    free, held = bench.item(agent=""), bench.claimed().item

    ran = shell.orchestrate("assign", free, held, "bob")

    assert ran.code == 6
    assert held in ran.stderr
    assert bench.state(free) is State.PENDING


def test_pop_of_several_items_keeps_each_lease(
    shell: Shell, bench: Bench
) -> None:
    items = [bench.item(title="One"), bench.item(title="Two")]

    ran = shell.worker("pop", "--count", "5")

    assert [
        line for line in ran.stdout.splitlines() if line.startswith("===")
    ] == [f"=== Work Item: {item} ===" for item in items]
    assert lease_files(shell) == sorted(items)
    assert [shell.worker("complete", item, "done").code for item in items] == [
        0,
        0,
    ]
    assert bench.inconsistencies() == []


def test_pop_with_count_one_is_json_list(shell: Shell, bench: Bench) -> None:
    first, second = bench.item(), bench.item()

    one = shell.worker("pop", "--json").data()
    listed = shell.worker("pop", "--count", "3", "--json").data()

    assert one["id"] == first
    assert [each["id"] for each in listed] == [second]
    assert one.keys() == listed[0].keys()


def test_pop_of_several_from_empty_queue_exits_8(shell: Shell) -> None:
    ran = shell.worker("pop", "--count", "3")

    assert (ran.code, ran.stdout) == (8, "")
    assert lease_files(shell) == []
