"""Files of a queue that is gone: only a service moves them out of `handoffs/`."""

from pathlib import Path

import pytest
from support.builders import Bench
from support.mirrors import Root
from taskorch.queue import keys
from taskorch_orchestrator.mirror.mirror import Mirror, PassResult

pytestmark = pytest.mark.one_lane


def served(root: Root) -> PassResult:
    """Make a pass as a service does."""
    result = Mirror(root.bench.queue, root.path, service="RQ").sync()
    assert result is not None
    return result


@pytest.fixture
def old(bench: Bench, root: Root) -> str:
    """An item whose queue was lost. Its files have a report of a file-based worker."""
    item = bench.item()
    served(root)
    root.worker().progress(item, "half of it")
    bench.delete_everything()
    bench.wait_for_next_ms()
    return item


def aside(root: Root) -> dict[str, set[str]]:
    return {
        path.name: {file.name for file in path.iterdir()}
        for path in root.home.glob("handoffs-*")
    }


def test_service_on_new_queue_sets_old_files_aside(
    root: Root, old: str
) -> None:
    result = served(root)

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
        in result.set_aside
    )
    assert served(root).set_aside == ""


@pytest.mark.usefixtures("old")
def test_new_items_get_handoffs_beside_set_aside_files(
    bench: Bench, root: Root
) -> None:
    item = bench.item()

    served(root)

    assert {
        path.name.partition("_handoff")[0]
        for path in root.handoffs.glob("item_*")
    } == {item}
    assert root.pending() == [item]
    assert (root.home / "orchestration.db").exists()


def test_sync_command_moves_no_files(root: Root, old: str) -> None:
    root.sync()

    assert aside(root) == {}
    assert root.file(old, "handoff").exists()


def test_files_of_imported_items_stay(bench: Bench, root: Root) -> None:
    item = bench.item()
    served(root)
    bench.raw.hset(f"{keys.tag(bench.namespace)}meta", "created_at", "1")

    result = served(root)

    assert (result.set_aside, aside(root)) == ("", {})
    assert root.file(item, "handoff").exists()


def test_two_namespaces_share_a_root(
    bench: Bench, copy: Bench, root: Root
) -> None:
    item = bench.item()
    served(root)
    Mirror(copy.queue, root.path, service="RQ").sync()

    result = served(root)

    assert result.set_aside == ""
    assert Path(root.file(item, "handoff")).exists()
