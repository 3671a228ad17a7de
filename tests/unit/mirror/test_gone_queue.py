"""Files of a queue that is gone: a service moves them out of the way of file-based agents, and nothing else does."""

from pathlib import Path

import pytest
from support.builders import Bench
from support.mirrors import Root
from taskorch.queue import keys
from taskorch_orchestrator.mirror.mirror import Mirror, PassResult

pytestmark = pytest.mark.one_lane


def served(root: Root) -> PassResult:
    """Do a pass as a service does it."""
    done = Mirror(root.bench.queue, root.path, service="RQ").sync()
    assert done is not None
    return done


@pytest.fixture
def old(bench: Bench, root: Root) -> str:
    """An item that was handed over, and whose queue was lost then: its file worker has reported on it."""
    item = bench.item()
    served(root)
    root.worker().progress(item, "half of it")
    bench.lose_everything()
    bench.let_the_clock_tick()
    return item


def aside(root: Root) -> dict[str, set[str]]:
    return {
        path.name: {file.name for file in path.iterdir()}
        for path in root.home.glob("handoffs-*")
    }


def test_service_on_a_new_queue_sets_old_files_aside(root: Root, old: str) -> None:
    done = served(root)

    [(folder, files)] = aside(root).items()
    assert files >= {
        f"{old}_handoff.json",
        f"{old}_progress.json",
        "pending_ada.txt",
        "orchestration.db",
    }
    assert list(root.handoffs.iterdir()) == []
    assert (
        f"files of the previous queue were moved to {root.home / folder}"
        in done.set_aside
    )
    assert served(root).set_aside == ""


@pytest.mark.usefixtures("old")
def test_new_items_are_handed_over_beside_what_is_set_aside(
    bench: Bench, root: Root
) -> None:
    item = bench.item()

    served(root)

    assert {
        path.name.partition("_handoff")[0] for path in root.handoffs.glob("item_*")
    } == {item}
    assert root.bell() == [item]
    assert (root.home / "orchestration.db").exists()


def test_one_sync_by_hand_moves_nothing(root: Root, old: str) -> None:
    root.sync()

    assert aside(root) == {}
    assert root.file(old, "handoff").exists()


def test_items_that_the_new_queue_knows_stay(bench: Bench, root: Root) -> None:
    item = bench.item()
    served(root)
    bench.raw.hset(f"{keys.tag(bench.namespace)}meta", "created_at", "1")

    done = served(root)

    assert (done.set_aside, aside(root)) == ("", {})
    assert root.file(item, "handoff").exists()


def test_two_namespaces_in_one_root_leave_each_other_alone(
    bench: Bench, copy: Bench, root: Root
) -> None:
    item = bench.item()
    served(root)
    Mirror(copy.queue, root.path, service="RQ").sync()

    done = served(root)

    assert done.set_aside == ""
    assert Path(root.file(item, "handoff")).exists()
