"""`orchestrate service`: it syncs files and Redis despite all kinds of failures."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from support import servers, services
from support.builders import Bench
from support.commands import BIN, Shell, discard, eventually
from support.file_worker import FileWorker
from support.services import (
    OwnRedis,
    handoff_items,
    handoffs,
    progress_messages,
    sync_status,
)
from taskorch.connections import connect
from taskorch.domain.item import Caller, Lease, State
from taskorch.queue.queue import Queue

WAYS = pytest.mark.parametrize("way", [(), ("--no-rq",)], ids=["rq", "no-rq"])


@pytest.fixture
def worker(shell: Shell) -> FileWorker:
    """A file-based worker in the shell's root."""
    return FileWorker(shell.folder / ".task-orchestrator", "ada")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Contexts that outlive the block in which a test enters them."""
    with ExitStack() as opened:
        yield opened


def reports(bench: Bench, item: str) -> list[str]:
    return [report.text for report in bench.queue.views.show(item).history]


@WAYS
def test_service_writes_events_to_files(
    shell: Shell, bench: Bench, way: tuple[str, ...]
) -> None:
    with services.running(shell, *way):
        item = bench.item()
        eventually(lambda: handoff_items(shell.folder) == {item})

        lease = bench.agent().progress(Lease(item=item), "half of it").lease
        eventually(
            lambda: progress_messages(shell.folder, item) == ["half of it"]
        )
        bench.agent().complete(lease, "all of it")

        completion = handoffs(shell.folder) / f"{item}_completion.json"
        eventually(
            lambda: (
                handoff_items(shell.folder) == set() and completion.exists()
            )
        )
        assert json.loads(completion.read_text())["summary"] == "all of it"


@WAYS
def test_service_imports_reports_of_file_workers(
    shell: Shell, bench: Bench, worker: FileWorker, way: tuple[str, ...]
) -> None:
    with services.running(shell, *way):
        item = bench.item()
        eventually(lambda: handoff_items(shell.folder) == {item})

        worker.progress(item, "half of it", 50)
        eventually(lambda: reports(bench, item) == ["half of it"])
        worker.complete(item, "all of it")

        eventually(lambda: bench.state(item) is State.COMPLETED)
        assert reports(bench, item) == ["half of it", "all of it"]


@WAYS
def test_service_catches_up_after_its_start(
    shell: Shell, bench: Bench, worker: FileWorker, way: tuple[str, ...]
) -> None:
    item = bench.item()
    with services.running(shell, *way) as [service]:
        eventually(lambda: handoff_items(shell.folder) == {item})
        service.stop()

    worker.progress(item, "by files")
    bench.agent().note(item, "unseen")
    other = bench.item()
    with services.running(shell, *way):
        eventually(
            lambda: (
                reports(bench, item) == ["by files"]
                and handoff_items(shell.folder) == {item, other}
            )
        )


@WAYS
def test_service_survives_a_restart_of_redis(
    shell: Shell,
    worker: FileWorker,
    tmp_path: Path,
    stack: ExitStack,
    way: tuple[str, ...],
) -> None:
    folder, root, binary = (
        tmp_path / "redis",
        shell.folder,
        servers.binaries()["valkey"],
    )
    folder.mkdir()
    with servers.running(binary, folder, "--appendonly", "yes") as url:
        queue = Queue(
            connect(url),
            shell.variables["TASKORCH_NAMESPACE"],
            Caller(agent="planner"),
        )
        bench = Bench(
            queue, redis.Redis.from_url(url, decode_responses=True), "", url
        )
        item = bench.item()
        running = stack.enter_context(
            services.running(shell.having(TASKORCH_REDIS_URL=url), *way)
        )
        eventually(lambda: handoff_items(root) == {item})

    worker.progress(item, "during the outage")
    eventually(lambda: running[0].has_logged("Redis is unreachable"))
    with servers.running(binary, folder, "--appendonly", "yes"):
        eventually(lambda: reports(bench, item) == ["during the outage"])
        worker.progress(item, "by files")
        eventually(
            lambda: reports(bench, item) == ["during the outage", "by files"]
        )
        other = bench.item()
        eventually(lambda: handoff_items(root) == {item, other})
        eventually(lambda: running[0].has_logged("Redis answers again"))
        code = running[0].stop()

    assert code == 0
    assert len(running[0].log().splitlines()) < 10


@WAYS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_service_cleanly(
    shell: Shell, bench: Bench, way: tuple[str, ...], number: signal.Signals
) -> None:
    project = bench.project()
    items = {bench.item(project) for _ in range(300)}
    with services.running(shell, *way) as [service]:
        eventually(lambda: handoff_items(shell.folder))

        code, log = service.stop(number), service.log()

    assert code == 0
    assert len(log.splitlines()) == 2
    assert log.endswith("stopped\n")
    assert services.temporary_files(shell.folder) == []
    assert all(
        json.loads(path.read_text())
        for path in handoffs(shell.folder).glob("*.json")
    )
    shell.orchestrate("sync")
    assert handoff_items(shell.folder) == items


def test_health_check_reports_the_reason(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    before = shell.orchestrate("sync", "status", "--check")
    with services.running(shell, "--no-rq"):
        eventually(lambda: handoff_items(shell.folder) == {item})
        during = shell.orchestrate("sync", "status", "--check")
    away = shell.having(TASKORCH_REDIS_URL="redis://127.0.0.1:1").orchestrate(
        "sync", "status", "--check"
    )

    assert (before.code, during.code, away.code) == (5, 0, 4)
    assert "no pass has been made" in before.stderr
    assert "Redis is unreachable" in away.stderr


def test_signal_while_the_service_loads_ends_it(shell: Shell) -> None:
    script = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "taskorch_orchestrator.service.start":
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Finder())
sys.argv = ["orchestrate", "service"]
from taskorch_orchestrator.cli import main
main()
"""
    loading = shell.start(BIN / "python", "-c", script)
    loading.communicate()

    assert loading.returncode == 0


@WAYS
def test_signal_at_the_start_ends_the_service(
    shell: Shell, way: tuple[str, ...]
) -> None:
    for _ in range(4):
        with services.running(shell, *way) as [service]:
            assert service.stop() == 0


@WAYS
def test_service_syncs_several_roots(
    shell: Shell, bench: Bench, tmp_path: Path, way: tuple[str, ...]
) -> None:
    roots = [tmp_path / name for name in ("one", "two", "three")]
    for root in roots:
        root.mkdir()
    with services.running(
        shell,
        *way,
        *(word for root in roots for word in ("--root", str(root))),
    ):
        item = bench.item()
        eventually(
            lambda: all(handoff_items(root) == {item} for root in roots)
        )

        FileWorker(roots[1] / ".task-orchestrator", "ada").progress(
            item, "from two"
        )

        eventually(
            lambda: all(
                progress_messages(root, item) == ["from two"] for root in roots
            )
        )
        assert reports(bench, item) == ["from two"]
        assert handoff_items(shell.folder) == set()


def test_root_of_another_queue_is_refused(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "other" / ".task-orchestrator").mkdir(parents=True)
    (tmp_path / "other" / ".task-orchestrator" / "config.toml").write_text(
        'redis_url = "redis://localhost:1"'
    )
    shell.orchestrate("trust", "--yes", str(tmp_path / "other"))

    ran = shell.lacking("TASKORCH_REDIS_URL").orchestrate(
        "service",
        "--redis-url",
        shell.variables["TASKORCH_REDIS_URL"],
        "--root",
        str(tmp_path / "other"),
    )

    assert ran.code == 2
    assert (
        f"The config.toml of {tmp_path / 'other'} has a different redis_url"
        in ran.stderr
    )


@pytest.mark.parametrize(
    ("way", "runs_on"), [((), "RQ"), (("--no-rq",), "its own loop")]
)
def test_sync_status_shows_the_service_and_its_progress(
    shell: Shell,
    bench: Bench,
    worker: FileWorker,
    way: tuple[str, ...],
    runs_on: str,
) -> None:
    with services.running(shell, *way) as [service]:
        item = bench.item()
        eventually(lambda: handoff_items(shell.folder) == {item})
        worker.progress(item, "half of it")
        worker.handoffs.joinpath("item_odd_name_handoff.json").write_text("{}")
        eventually(lambda: sync_status(shell)[0]["status"]["troubles"])
        eventually(lambda: sync_status(shell)[0]["status"]["imported"] == 1)

        [mirror], text = (
            sync_status(shell),
            shell.orchestrate("sync", "status").stdout,
        )

    assert mirror["service"]["pid"] == service.pid
    assert mirror["service"]["runs_on"] == runs_on
    assert mirror["behind"] == 0
    sync = mirror["status"]
    assert (sync["path"], sync["changed"], sync["error"]) == (
        str(shell.folder),
        0,
        "",
    )
    assert sync["cursor"] == bench.queue.views.events().newest
    assert sync["written"] >= 3
    assert list(sync["troubles"]) == ["item_odd_name_handoff.json"]
    assert f"Service: pid {service.pid}" in text
    assert f"by {runs_on}" in text
    assert "events behind: 0" in text
    assert "reports imported: 1" in text
    assert (
        "item_odd_name_handoff.json: This file is not from Task Orchestrator"
        in text
    )


def is_replaced_by_file(folder: Path, root: Path) -> bool:
    """Put a file in a folder's place; the service may create the folder again first."""
    discard(folder, root)
    try:
        folder.write_text("in the way")
    except IsADirectoryError:
        return False
    return True


@WAYS
def test_broken_folder_is_reported_and_ends_no_service(
    shell: Shell, bench: Bench, way: tuple[str, ...]
) -> None:
    item = bench.item()
    with services.running(shell, *way) as [service]:
        eventually(lambda: handoff_items(shell.folder) == {item})
        eventually(
            lambda: is_replaced_by_file(handoffs(shell.folder), shell.folder)
        )
        eventually(lambda: sync_status(shell)[0]["status"]["error"])

        text = shell.orchestrate("sync", "status").stdout
        handoffs(shell.folder).unlink()

        eventually(lambda: handoff_items(shell.folder) == {item})
        eventually(lambda: not sync_status(shell)[0]["status"]["error"])
        code, log = service.stop(), service.log()
    assert (
        f"Cannot write to {shell.folder}: {handoffs(shell.folder)} is not a folder"
        in text
    )
    assert code == 0
    assert log.count("is not a folder") == 1


@WAYS
@pytest.mark.parametrize(
    "name", [".task-orchestrator", ".task-orchestrator/handoffs"]
)
def test_deleted_folder_is_created_and_synced_again(
    shell: Shell, bench: Bench, way: tuple[str, ...], name: str
) -> None:
    item = bench.item()
    with services.running(shell, *way) as [service]:
        eventually(lambda: handoff_items(shell.folder) == {item})

        discard(shell.folder / name, shell.folder)
        eventually(lambda: handoff_items(shell.folder) == {item})
        FileWorker(shell.folder / ".task-orchestrator", "ada").progress(
            item, "half of it"
        )

        eventually(lambda: reports(bench, item) == ["half of it"])
        assert service.stop() == 0


@WAYS
def test_deleted_root_is_synced_when_it_returns(
    shell: Shell, bench: Bench, tmp_path: Path, way: tuple[str, ...]
) -> None:
    item = bench.item()
    with services.running(shell, *way) as [service]:
        eventually(lambda: handoff_items(shell.folder) == {item})

        shell.folder.rename(tmp_path / "gone")
        eventually(
            lambda: service.has_logged(
                f"Cannot write to {shell.folder}: No such file or directory"
            )
        )
        made = shell.folder.exists()
        shell.folder.mkdir()

        eventually(lambda: handoff_items(shell.folder) == {item})
        assert not made
        assert service.stop() == 0


def test_missing_root_is_refused_and_not_created(
    shell: Shell, tmp_path: Path
) -> None:
    ran = shell.orchestrate("service", "--root", str(tmp_path / "nowhere"))

    assert ran.code == 2
    assert f"The root {tmp_path / 'nowhere'} is not a folder." in ran.stderr
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture
def own(shell: Shell, tmp_path: Path) -> Iterator[OwnRedis]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with servers.running(servers.binaries()["valkey"], folder) as url:
        yield OwnRedis(url, shell)


def test_rq_uses_keys_of_the_namespace_without_pickles(
    own: OwnRedis,
) -> None:
    with services.running(own.shell):
        item = own.bench.item()
        eventually(lambda: handoff_items(own.shell.folder) == {item})
        keys = own.keys()
        jobs = [
            cast(Any, own.raw).hgetall(key)
            for key in own.keys("taskorch-rq:*:job:*")
        ]

    rq, ours = (
        f"taskorch-rq:{{{own.namespace}}}:",
        f"taskorch:{{{own.namespace}}}:",
    )
    assert {key for key in keys if not key.startswith((rq, ours))} == set()
    assert {
        key.removeprefix(ours).partition(":")[0]
        for key in keys
        if key.startswith(ours)
    } >= {"meta", "mirror"}
    assert jobs
    assert [
        job
        for job in jobs
        if b"taskorch_orchestrator.service.rq_jobs.do"
        not in job[b"description"]
    ] == []
    assert [job for job in jobs if b"\x80" in job.get(b"data", b"")[:1]] == []


def test_environment_variable_turns_rq_off(own: OwnRedis) -> None:
    with services.running(own.shell.having(TASKORCH_NO_RQ="1")):
        item = own.bench.item()
        eventually(lambda: handoff_items(own.shell.folder) == {item})

        assert [
            mirror["service"]["runs_on"] for mirror in sync_status(own.shell)
        ] == ["its own loop"]
    assert own.rq_names("worker") == set()


def test_eight_services_do_each_job_once(
    own: OwnRedis, tmp_path: Path
) -> None:
    roots = [tmp_path / "a", tmp_path / "b"]
    for root in roots:
        root.mkdir()
    with (
        services.running(own.shell, "--root", str(roots[0]), number=4) as four,
        services.running(
            own.shell, "--root", str(roots[1]), number=4
        ) as others,
    ):
        project = own.bench.project()
        items = {own.bench.item(project) for _ in range(20)}
        eventually(lambda: all(handoff_items(root) == items for root in roots))
        eventually(
            lambda: all(
                mirror["behind"] == 0 == mirror["status"]["changed"]
                for mirror in sync_status(own.shell)
            )
        )
        written = {
            mirror["status"]["path"]: mirror["status"]["written"]
            for mirror in sync_status(own.shell)
        }
        eventually(lambda: own.jobs_done() == len(own.rq_names("job")))
        intervals = {
            job.rpartition("-")[0].rpartition("-")[::2]
            for job in own.rq_names("job")
        }

        for service in [*four[1:], *others[1:]]:
            service.kill()
        more = own.bench.item(project)
        eventually(
            lambda: all(
                handoff_items(root) == {*items, more} for root in roots
            )
        )
        codes = [four[0].stop(), others[0].stop()]

    assert written == {str(root): len(items) + 1 for root in roots}
    assert {
        duty.partition("-")[0]: interval_s
        for duty, interval_s in intervals
        if interval_s != "0_1"
    } == {
        "sync": "6",
        "maintain": "10",
        "schedules": "10",
        "remove": "3600",
    }
    assert codes == [0, 0]


@WAYS
def test_service_waits_for_redis_at_its_start(
    shell: Shell, tmp_path: Path, way: tuple[str, ...]
) -> None:
    folder = tmp_path / "late"
    folder.mkdir()
    late = shell.having(TASKORCH_REDIS_URL=f"unix://{folder}/s.sock")
    with services.running(late, *way) as [service]:
        eventually(lambda: service.has_logged("Redis is unreachable"))

        with servers.running(servers.binaries()["valkey"], folder):
            project = late.orchestrate("project", "One").stdout.strip()
            item = late.orchestrate(
                "create", project, "Two", "--assign", "ada"
            ).stdout.strip()

            eventually(lambda: handoff_items(shell.folder) == {item})
            assert service.stop() == 0
