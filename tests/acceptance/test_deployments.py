"""Commands and the service behind sentinels and on a cluster, as real processes."""

import signal
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import redis
from support import runs, servers, services, tool_client, topologies
from support.commands import BIN, Shell, eventually
from support.runs import UNTIL_GO, sh
from support.services import handoff_items, progress_messages, sync_status
from support.tool_client import until
from support.topologies import Cluster, Node, Sentinels, command
from taskorch.bundled import server as bundled_server
from taskorch.queue import keys

PASSWORD = "open-sesame"
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    with topologies.sentinels(tmp_path_factory.mktemp("sentinels")) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with topologies.cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def on(shell: Shell, url: str, **variables: str) -> Shell:
    return shell.having(TASKORCH_REDIS_URL=url, **variables)


def create_item(shell: Shell, project: str) -> str:
    """Create an item of ada, and return its id."""
    ran = shell.orchestrate("create", project, "An item", "--assign", "ada")
    return ran.stdout.strip()


def deliver(shell: Shell) -> tuple[str, str]:
    """Create, work on and complete one item by commands; return project and item."""
    project = shell.orchestrate("project", "A project").stdout.strip()
    item = shell.orchestrate("create", project, "An item").stdout.strip()
    steps = [
        shell.orchestrate("assign", item, "ada"),
        shell.worker("pop"),
        shell.worker("progress", item, "half", "--percent", "50"),
        shell.worker("discover", item, "It rains"),
        shell.worker("complete", item, "done"),
        shell.orchestrate("complete", project),
    ]
    assert [step.code for step in steps] == [0] * len(steps), [
        step.stderr for step in steps
    ]
    return project, item


def test_item_is_completed_behind_sentinels(
    shell: Shell, sentinels: Sentinels
) -> None:
    project, _ = deliver(on(shell, sentinels.url))

    shown = on(shell, sentinels.url).orchestrate("progress", project)
    assert "active" not in shown.stdout.splitlines()[0]


@pytest.mark.parametrize("wait", [0, 300])
def test_cancelled_mcp_call_claims_nothing_behind_sentinels(
    shell: Shell, sentinels: Sentinels, wait: int
) -> None:
    # from here on, they do not replace a primary that is paused
    sentinels.await_agreement()
    there, primary = on(shell, sentinels.url), sentinels.primary
    project = there.orchestrate("project", "A project").stdout.strip()
    claimed = create_item(there, project) if not wait else ""

    async def test() -> None:
        async with tool_client.worker(there) as ada:
            if claimed:  # the call is cancelled while Redis holds up its claim
                command(primary, "CLIENT", "PAUSE", HOUR_MS, "WRITE")
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: ada.call("pop", wait=wait))
                await until(lambda: _blocks_a_call(primary))
                group.cancel_scope.cancel()
            # its answer shows that the server has received the cancellation
            await ada.session.send_ping()
            command(primary, "CLIENT", "UNPAUSE")
            await until(lambda: not _blocks_a_call(primary))
            await until(lambda: _is_released(there, claimed))

    tool_client.run_async(test)
    item = claimed or create_item(there, project)
    shown = there.orchestrate("show", item, "--json").data()
    assert (shown["state"], shown["attempts"], shown["token"]) == (
        "queued",
        0,
        1 if claimed else 0,
    )


def _blocks_a_call(server: Node) -> bool:
    """Return whether a call of ours is paused there, not only those of sentinels."""
    ours = ("fcall", "blpop")
    return any(
        "b" in client["flags"] and client["cmd"] in ours
        for client in server.raw.client_list()
    )


def _is_released(there: Shell, item: str) -> bool:
    return not item or bool(
        there.orchestrate("show", item, "--json").data()["timeline"][3:]
    )


def test_item_is_completed_on_a_cluster(
    shell: Shell, cluster: Cluster
) -> None:
    project, _ = deliver(on(shell, cluster.url))

    shown = on(shell, cluster.url).orchestrate("progress", project)
    assert "active" not in shown.stdout.splitlines()[0]


def test_command_outlasts_a_dead_primary(
    shell: Shell, cluster: Cluster
) -> None:
    there, namespace = (
        on(shell, cluster.url),
        shell.variables["TASKORCH_NAMESPACE"],
    )
    project = there.orchestrate("project", "A project").stdout.strip()
    cluster.fail_over(namespace)  # so the next primary has all data
    killed = cluster.kill_primary(namespace)

    ran = there.orchestrate("create", project, "An item", "--assign", "ada")
    popped = there.worker("pop", "--json")

    assert (ran.code, ran.stderr) == (0, "")
    assert popped.data()["id"] == ran.stdout.strip()
    killed.start()
    cluster.await_failover(namespace, killed)


def test_service_on_cluster_syncs_in_its_own_loop(
    shell: Shell, cluster: Cluster
) -> None:
    there = on(shell, cluster.url)
    project = there.orchestrate("project", "A project").stdout.strip()

    with services.running(there):
        item = create_item(there, project)
        eventually(lambda: handoff_items(shell.folder) == {item})
        cluster.move_slot_atomically(shell.variables["TASKORCH_NAMESPACE"])
        there.worker("progress", item, "after the move")
        eventually(
            lambda: progress_messages(shell.folder, item) == ["after the move"]
        )

        assert [
            mirror["service"]["runs_on"] for mirror in sync_status(there)
        ] == ["its own loop"]


def test_service_on_cluster_uses_rq_elsewhere(
    shell: Shell, cluster: Cluster, valkey_url: str
) -> None:
    there = on(shell, cluster.url, TASKORCH_RQ_URL=valkey_url)
    project = there.orchestrate("project", "A project").stdout.strip()

    with services.running(there), redis.Redis.from_url(valkey_url) as raw:
        item = create_item(there, project)
        eventually(lambda: handoff_items(shell.folder) == {item})

        assert [
            mirror["service"]["runs_on"] for mirror in sync_status(there)
        ] == ["RQ"]
        assert list(
            raw.scan_iter(
                f"taskorch-rq:{{{shell.variables['TASKORCH_NAMESPACE']}}}:*"
            )
        )


def test_service_with_rq_follows_a_failover(
    shell: Shell, sentinels: Sentinels
) -> None:
    there = on(shell, sentinels.url)
    project = there.orchestrate("project", "A project").stdout.strip()

    with services.running(there) as (service,):
        item = create_item(there, project)
        eventually(lambda: handoff_items(shell.folder) == {item})
        sentinels.await_replicas(2)
        killed = sentinels.kill_primary()
        reported = there.worker("progress", item, "after the failover")
        eventually(
            lambda: (
                "after the failover" in progress_messages(shell.folder, item)
            )
        )

        assert reported.code == 0, reported.stderr
        assert [
            mirror["service"]["runs_on"] for mirror in sync_status(there)
        ] == ["RQ"]
        primary = sentinels.primary
        namespace = shell.variables["TASKORCH_NAMESPACE"]
        eventually(
            lambda: list(
                primary.raw.scan_iter(f"taskorch-rq:{{{namespace}}}:worker:*")
            )
        )
        assert service.stop() == 0
    killed.start()


def check_that_run_continues(
    there: Shell, project: str, run: runs.Run
) -> None:
    """End the held command, assign another item, and check that both are completed."""
    (there.folder / "go").touch()
    run.wait_for("completed")
    there.orchestrate("create", project, "Another", "--assign", "ada")
    run.wait_for("completed", times=2)
    run.send(signal.SIGTERM)
    assert run.exit_code() == 0


def test_run_behind_sentinels_survives_a_failover(
    shell: Shell, sentinels: Sentinels
) -> None:
    sentinels.await_agreement()
    there = on(shell, sentinels.url)
    project = there.orchestrate("project", "A project").stdout.strip()
    item = create_item(there, project)
    key = f"{keys.tag(shell.variables['TASKORCH_NAMESPACE'])}item:{item}"

    with runs.running(
        there, "--pool", "2", "--lease", "2s", *sh(UNTIL_GO)
    ) as run:
        eventually(
            lambda: (
                {node.raw.hget(key, "token") for node in sentinels.servers}
                == {"1"}
            )
        )
        killed = sentinels.kill_primary()
        sentinels.await_failover(killed)
        check_that_run_continues(there, project, run)
    assert there.orchestrate("complete", project).code == 0
    killed.start()


def test_run_on_cluster_follows_a_moved_slot(
    shell: Shell, cluster: Cluster
) -> None:
    there = on(shell, cluster.url)
    project = there.orchestrate("project", "A project").stdout.strip()
    there.orchestrate("create", project, "An item", "--assign", "ada")

    with runs.running(
        there, "--pool", "2", "--lease", "2s", *sh(UNTIL_GO)
    ) as run:
        run.wait_for("claimed")
        cluster.move_slot_atomically(shell.variables["TASKORCH_NAMESPACE"])
        check_that_run_continues(there, project, run)
    assert there.orchestrate("complete", project).code == 0


def test_run_on_cluster_survives_a_planned_failover(
    shell: Shell, cluster: Cluster
) -> None:
    there, namespace = (
        on(shell, cluster.url),
        shell.variables["TASKORCH_NAMESPACE"],
    )
    project = there.orchestrate("project", "A project").stdout.strip()
    there.orchestrate("create", project, "An item", "--assign", "ada")

    with runs.running(there, "--lease", "2s", *sh(UNTIL_GO)) as run:
        run.wait_for("claimed")
        cluster.fail_over(namespace)
        cluster.cut_connections()
        check_that_run_continues(there, project, run)
    assert there.orchestrate("complete", project).code == 0


@pytest.mark.parametrize("place", ["variable", "file", "config"])
def test_password_is_used_and_never_shown(
    shell: Shell, tmp_path: Path, place: str
) -> None:
    file = shell.folder / "password"
    file.write_text(PASSWORD + "\n", encoding="utf-8")
    file.chmod(0o600)
    (shell.folder / ".task-orchestrator").mkdir()
    config = shell.folder / ".task-orchestrator" / "config.toml"
    config.write_text(
        'redis_password_file = "password"\n' if place == "config" else "",
        encoding="utf-8",
    )
    shell.orchestrate("trust", "--yes")
    variables = {
        "variable": {"TASKORCH_REDIS_PASSWORD": PASSWORD},
        "file": {"TASKORCH_REDIS_PASSWORD_FILE": str(file)},
        "config": {},
    }
    with servers.running(
        bundled_server.binary(), tmp_path, "--requirepass", PASSWORD
    ) as url:
        there = on(shell, url, **variables[place])
        seen = []
        with services.running(there) as (service,):
            assert there.orchestrate("project", "x").code == 0
            eventually(lambda: sync_status(there))
            seen.append(
                Path(f"/proc/{service.pid}/cmdline").read_text(
                    encoding="utf-8"
                )
            )
            popping = there.start(BIN / "worker", "pop", "--wait", "30")
            seen.append(
                Path(f"/proc/{popping.pid}/cmdline").read_text(
                    encoding="utf-8"
                )
            )
            popping.kill()
            popping.communicate()
            settings = there.worker("whoami", "--json")
            seen += [
                settings.stdout,
                there.worker("whoami").stdout,
                there.orchestrate("server", "status").stdout,
            ]
            seen.append(
                on(there, url + "?db=99").orchestrate("projects").stderr
            )
            service.stop()
            seen.append(service.log())

    gone = there.orchestrate("projects")

    assert PASSWORD not in "".join([*seen, gone.stderr])
    assert settings.data()["redis_password"] == "***"
    assert settings.data()["sources"]["redis_password"] == {
        "variable": "TASKORCH_REDIS_PASSWORD",
        "file": "TASKORCH_REDIS_PASSWORD_FILE",
        "config": "config.toml",
    }.get(place)


def test_password_file_serves_the_user_in_the_address(
    shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD, encoding="utf-8")
    file.chmod(0o600)

    with (
        servers.running(bundled_server.binary(), tmp_path) as url,
        redis.Redis.from_url(url) as raw,
    ):
        raw.execute_command(
            "ACL", "SETUSER", "alice", "on", f">{PASSWORD}", "~*", "+@all"
        )
        raw.execute_command("ACL", "SETUSER", "default", "off")
        there = on(
            shell,
            url.replace("://", "://alice@"),
            TASKORCH_REDIS_PASSWORD_FILE=str(file),
        )

        accepted = there.orchestrate("project", "x")
        without_file = there.lacking("TASKORCH_REDIS_PASSWORD_FILE")
        refused = without_file.orchestrate("project", "x")

        assert accepted.code == 0, accepted.stderr
        assert refused.code == 4


@pytest.mark.parametrize("place", ["address", "variable"])
def test_command_of_run_gets_a_password_file(
    shell: Shell, tmp_path: Path, place: str
) -> None:
    report = 'worker progress "$TASKORCH_ITEM_ID" "by the command" >/dev/null'
    script = f'{report} && env && echo "$TASKORCH_REDIS_PASSWORD_FILE"'
    with servers.running(
        bundled_server.binary(), tmp_path, "--requirepass", PASSWORD
    ) as url:
        if place == "address":
            there = on(
                shell,
                url.replace("://", f"://:{PASSWORD}@"),
                TASKORCH_RQ_URL="redis://:sesame@other",
            )
        else:
            there = on(shell, url, TASKORCH_REDIS_PASSWORD=PASSWORD)
        project = there.orchestrate("project", "x").stdout.strip()
        item = there.orchestrate(
            "create", project, "y", "--assign", "ada"
        ).stdout.strip()

        ran = there.having(PATH=f"{BIN}:/usr/bin:/bin").worker(
            *runs.ONCE, *sh(script)
        )
        shown = there.orchestrate("show", item, "--json").data()

    summary = shown["summary"]
    assert ran.code == 0, ran.stdout
    assert PASSWORD not in summary
    assert "TASKORCH_RQ_URL" not in summary
    assert [
        report["text"]
        for report in shown["timeline"]
        if report["kind"] == "progress"
    ] == ["by the command"]
    assert not Path(summary.splitlines()[-1]).exists()


def test_password_file_readable_by_others_is_refused(
    shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD, encoding="utf-8")
    file.chmod(0o644)

    ran = shell.having(
        TASKORCH_REDIS_URL="redis://host",
        TASKORCH_REDIS_PASSWORD_FILE=str(file),
    ).orchestrate("projects")

    assert ran.code == 2
    assert f"chmod 600 {file}" in ran.stderr
    assert PASSWORD not in ran.stderr


def test_barely_replicated_step_reports_that_it_is_done(shell: Shell) -> None:
    careful = shell.having(
        TASKORCH_WAIT_REPLICAS="1", TASKORCH_WAIT_TIMEOUT="50ms"
    )

    ran, as_json = (
        careful.orchestrate("project", "Once"),
        careful.orchestrate("project", "Twice", "--json"),
    )

    assert ran.code == as_json.code == 4
    assert "The step was done, but only 0 of 1 replicas have it" in ran.stderr
    assert (as_json.error()["code"], as_json.error()["retryable"]) == (
        "NOT_REPLICATED",
        True,
    )
    assert {
        each["title"]
        for each in shell.orchestrate("projects", "--json").data()
    } == {"Once", "Twice"}


def test_rerun_of_a_barely_replicated_step_acts_once(
    shell: Shell,
) -> None:
    careful = shell.having(
        TASKORCH_WAIT_REPLICAS="1", TASKORCH_WAIT_TIMEOUT="50ms"
    )

    codes = [careful.orchestrate("project", "Once").code for _ in range(2)]
    last = shell.orchestrate("project", "Once")

    projects = shell.orchestrate("projects", "--json").data()
    assert (codes, last.code) == ([4, 4], 0)
    assert [each["id"] for each in projects] == [last.stdout.strip()]


def test_bundled_server_refuses_to_wait_for_replicas(
    local: Shell,
) -> None:
    ran = local.having(TASKORCH_WAIT_REPLICAS="1").orchestrate("project", "x")

    assert ran.code == 2
    assert "the bundled server has no replicas" in ran.stderr


def test_unreachable_deployment_exits_4_with_advice(
    shell: Shell,
) -> None:
    port = topologies.free_ports(1)[0]

    ran = on(
        shell, f"redis+sentinel://:{PASSWORD}@127.0.0.1:{port}/main"
    ).worker("check")

    assert ran.code == 4
    assert "SENTINEL MASTERS" in ran.stderr
    assert PASSWORD not in ran.stderr


@pytest.fixture(autouse=True)
def healthy(request: pytest.FixtureRequest) -> None:
    """Restart the servers that an earlier test killed."""
    if "sentinels" in request.fixturenames:
        deployment: Sentinels = request.getfixturevalue("sentinels")
        for server in deployment.servers:
            server.start()
        for server in deployment.replicas:
            command(server, "REPLICAOF", "127.0.0.1", deployment.primary.port)
        deployment.await_replicas(2)
