"""A read-only root and a full disk are found before anything is claimed."""

import pytest
from support.builders import Bench
from support.commands import BIN, CommandResult, Shell
from support.disks import may_mount
from support.runs import sh
from taskorch.domain.item import State

READ_ONLY = 'mount --bind "$PWD" "$PWD" && mount -o remount,bind,ro "$PWD" && cd "$PWD" && exec "$@"'
FULL = (
    "mkdir -p .task-orchestrator && mount -t tmpfs -o size=64k none .task-orchestrator"
    ' && { cat /dev/zero >.task-orchestrator/filled 2>/dev/null; exec "$@"; }'
)
#: The same, with the files of the agent from before.
FULL_SINCE = "cp -r .task-orchestrator kept && " + FULL.replace(
    "{ cat", "cp -r kept/. .task-orchestrator && { cat"
)

#: A disk with little space left.
SMALL = (
    "mkdir -p .task-orchestrator && mount -t tmpfs -o size=64k none .task-orchestrator"
    ' && exec "$@"'
)


def mounted(shell: Shell, mounts: str, *words: str) -> CommandResult:
    """Run a command with mounts that make the root unwritable for it."""
    if not may_mount():
        pytest.skip("unshare -rm may not mount here")
    command, *arguments = words
    return shell.run(
        "unshare", "-rm", "sh", "-c", mounts, "sh", BIN / command, *arguments
    )


@pytest.mark.parametrize(
    ("mounts", "reason"),
    [(READ_ONLY, "Read-only file system"), (FULL, "No space left on device")],
    ids=["ro", "full"],
)
@pytest.mark.parametrize(
    "words",
    [["pop"], ["pop", "--count", "2"], ["progress", "{}", "x"], ["get", "{}"]],
)
def test_full_disk_prevents_the_claim(
    shell: Shell, bench: Bench, mounts: str, reason: str, *, words: list[str]
) -> None:
    item = bench.item()

    ran = mounted(
        shell,
        mounts,
        "worker",
        *(item if word == "{}" else word for word in words),
    )

    assert ran.code == 5, ran.stderr
    assert f"Cannot write to {shell.folder}: {reason}" in ran.stderr
    assert "Nothing was changed" in ran.stderr
    assert bench.state(item) is State.QUEUED


@pytest.mark.parametrize("mounts", [READ_ONLY, FULL_SINCE], ids=["ro", "full"])
def test_claimed_item_is_delivered_on_full_disk(
    shell: Shell, bench: Bench, mounts: str
) -> None:
    item = bench.item()
    shell.worker("get", item)

    steps = [
        mounted(shell, mounts, "worker", verb, item, "x")
        for verb in ("progress", "discover", "complete")
    ]

    assert [step.code for step in steps] == [0, 0, 0], [
        step.stderr for step in steps
    ]
    assert bench.state(item) is State.COMPLETED


@pytest.mark.parametrize("mounts", [READ_ONLY, FULL_SINCE], ids=["ro", "full"])
def test_full_disk_prevents_only_the_next_claim(
    shell: Shell, bench: Bench, mounts: str
) -> None:
    item = bench.item()
    shell.worker("get", item)
    second = bench.item()

    ran = mounted(shell, mounts, "worker", "complete", item, "x", "--next")

    assert ran.code == 5
    assert f"{item} is completed, but the next item was not" in ran.stderr
    assert bench.state(item) is State.COMPLETED
    assert bench.state(second) is State.QUEUED


@pytest.mark.parametrize("mounts", [READ_ONLY, FULL], ids=["ro", "full"])
def test_read_only_root_allows_reading_commands(
    shell: Shell, bench: Bench, mounts: str
) -> None:
    item = bench.item()

    looks = [
        mounted(shell, mounts, "worker", "check"),
        mounted(shell, mounts, "worker", "get", item, "--peek"),
    ]
    looks.append(mounted(shell, mounts, "orchestrate", "show", item))

    assert [look.code for look in looks] == [0, 0, 0], [
        look.stderr for look in looks
    ]


@pytest.mark.parametrize("mounts", [READ_ONLY, FULL], ids=["ro", "full"])
def test_read_only_root_stops_the_bundled_server(
    local: Shell, mounts: str
) -> None:
    ran = mounted(local, mounts, "orchestrate", "project", "x")

    assert ran.code in (4, 5)
    assert str(local.folder) in ran.stderr


def test_full_disk_does_not_stop_a_command(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    script = "yes | head -c 1000000; echo; echo; echo done"

    ran = mounted(shell, SMALL, "worker", "run", "--once", *sh(script))

    assert ran.code == 0, ran.stderr
    assert ran.stderr.count("The output of commands is not kept") == 1
    assert "No space left on device. The run continues." in ran.stderr
    assert bench.queue.views.show(item).item.summary == "done"


def test_note_on_full_disk_is_kept_in_queue(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    ran = mounted(shell, FULL, "worker", "notes", item, "remember")

    assert ran.code == 0
    assert "The note is kept in Redis, but not in" in ran.stderr
    assert bench.agent().notes(item)[0].text == "remember"


@pytest.mark.parametrize(
    "root", ["/proc/1/root-of-mine", "{folder}/file/root"]
)
def test_impossible_root_is_named(
    shell: Shell, bench: Bench, root: str
) -> None:
    (shell.folder / "file").write_text("in the way", encoding="utf-8")
    item, root = bench.item(), root.format(folder=shell.folder)
    rooted = shell.having(TASKORCH_ROOT=root)

    claimed, first = (
        rooted.worker("pop"),
        rooted.lacking("TASKORCH_REDIS_URL").orchestrate("project", "x"),
    )

    assert {claimed.code, first.code} <= {2, 5}
    assert root in claimed.stderr
    assert root in first.stderr
    assert bench.state(item) is State.QUEUED
