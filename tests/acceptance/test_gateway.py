"""The commands over a gateway, as real processes, as a user would start them."""

import json
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from support import gateways
from support.builders import Bench
from support.commands import BIN, Shell, eventually, result_of
from support.gateways import Gateway, HttpClient
from support.proxy import proxied
from support.raw_http import head, opened
from support.topologies import Node
from taskorch.domain.item import State
from taskorch_gateway.api.table import PREFIX
from taskorch_gateway.authentication import FRESH_S
from taskorch_gateway.pool import NAME

UNKNOWN = f"tok_00000000_{'0' * 64}"
#: By default, uvicorn replaces a process that does not answer for 5 s, within another one.
LONGER_S = 8.0


def processes(gateway: Gateway) -> set[int]:
    """Return those processes of a gateway that serve its clients."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            stat = (folder / "stat").read_text(encoding="utf-8")
            parent = int(stat.rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes()
            if parent == gateway.pid and b"spawn_main" in command:
                found.add(int(folder.name))
    return found


def test_workflow_of_three_agents_over_http(gateway: Gateway) -> None:
    planner, ada, bob = (
        gateway.orchestrator(),
        gateway.worker("ada"),
        gateway.worker("bob"),
    )
    project = planner.orchestrate("project", "Build").stdout.strip()
    first = planner.orchestrate(
        *("create", project, "Schema", "--assign", "ada")
    ).stdout.strip()
    second = planner.orchestrate(
        *("create", project, "Audit", "--assign", "bob", "--depends-on", first)
    ).stdout.strip()

    assert ada.worker("pop").code == 0
    assert (
        ada.worker("progress", first, "Half way", "--percent", "50").code == 0
    )
    assert ada.worker("discover", first, "It rains").code == 0
    assert ada.worker("blocker", first, "Which door?").code == 0
    assert planner.orchestrate("answer", first, "The left one").code == 0
    assert ada.worker("wait", first).code == 0
    assert ada.worker("notes", first, "mine").code == 0
    assert "mine" in ada.worker("get-notes", first).stdout
    assert ada.worker("complete", first, "Done").code == 0
    assert second in bob.worker("check").stdout
    assert bob.worker("get", second).code == 0
    assert "It rains" in bob.worker("discoveries", second).stdout
    assert bob.worker("ack", second).code == 0
    closed = planner.orchestrate("complete", project)

    assert closed.code == 0
    assert "Done" in closed.stdout


def test_commands_over_https_verify_the_certificate(
    shell: Shell, tmp_path: Path
) -> None:
    ca = trustme.CA()
    issued = ca.issue_cert("localhost")
    certificate, key, authority = (
        tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem")
    )
    certificate.write_bytes(
        b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    )
    issued.private_key_pem.write_to_path(str(key))
    ca.cert_pem.write_to_path(str(authority))
    options = ("--tls-cert", str(certificate), "--tls-key", str(key))

    with gateways.running(shell, *options) as gateway:
        stranger = gateway.orchestrator()
        known = stranger.having(SSL_CERT_FILE=str(authority))
        refused = stranger.orchestrate("--json", "projects")
        project = known.orchestrate("project", "Over TLS")
        found = known.orchestrate("projects")

    assert refused.code == 4
    assert refused.error()["code"] == "UNTRUSTED"
    assert "SSL_CERT_FILE" in refused.error()["hint"]
    assert project.code == 0
    assert "Over TLS" in found.stdout


def test_waiting_pop_gets_a_new_item(gateway: Gateway) -> None:
    planner, ada = gateway.orchestrator(), gateway.worker("ada")
    project = planner.orchestrate("project", "Wait").stdout.strip()
    waiting = ada.start(BIN / "worker", "pop", "--wait", "60")
    eventually(lambda: gateway.log.count('"verb": "claim"') == 1)

    item = planner.orchestrate(
        *("create", project, "Late", "--assign", "ada")
    ).stdout.strip()
    popped = result_of(waiting)

    assert popped.code == 0
    assert item in popped.stdout


def test_wait_for_answer_ends_with_the_answer(gateway: Gateway) -> None:
    planner, ada = gateway.orchestrator(), gateway.worker("ada")
    project = planner.orchestrate("project", "Ask").stdout.strip()
    item = planner.orchestrate(
        *("create", project, "Ask", "--assign", "ada")
    ).stdout.strip()
    ada.worker("blocker", item, "Which?")
    waiting = ada.start(BIN / "worker", "wait", item, "--timeout", "60")

    planner.orchestrate("answer", item, "That one")
    waited = result_of(waiting)

    assert waited.code == 0
    assert "That one" in waited.stdout


@pytest.mark.parametrize("role", ["orchestrator", "viewer"])
def test_wait_for_item_ends_with_its_completion(
    gateway: Gateway, role: str
) -> None:
    planner, ada = gateway.orchestrator(), gateway.worker("ada")
    project = planner.orchestrate("project", "Wait").stdout.strip()
    item = planner.orchestrate(
        *("create", project, "It", "--assign", "ada")
    ).stdout.strip()
    watcher = gateway.client(gateway.token("eve", role), ORCHESTRATOR_ID="eve")
    waiting = watcher.start(
        *(BIN / "orchestrate", "wait", item, "--timeout", "60")
    )

    ada.worker("pop")
    ada.worker("ack", item)
    waited = result_of(waiting)

    assert waited.code == 0


@pytest.mark.parametrize(
    "words",
    [
        *("status", "projects", "agents", "inbox", "stuck", "list", "prime"),
        *("discoveries", "unassigned"),
    ],
)
def test_viewer_reads_everything_and_changes_nothing(
    gateway: Gateway, words: str
) -> None:
    viewer = gateway.client(
        gateway.token("eve", "viewer"), ORCHESTRATOR_ID="eve"
    )

    read = viewer.orchestrate(*words.split())
    written = viewer.orchestrate("--json", "project", "Not mine")

    assert read.code in (0, 8), read.stderr
    assert written.code == 7
    assert written.error()["code"] == "NOT_ALLOWED"


def test_administrator_backs_up_and_syncs(
    gateway: Gateway, bench: Bench
) -> None:
    item = bench.item()
    admin = gateway.client(gateway.token("root", "admin"))

    exported = admin.orchestrate("export")
    synced = admin.orchestrate("sync")
    checked = admin.orchestrate("doctor")

    assert item in exported.stdout
    assert synced.code == 0, synced.stderr
    assert list((admin.folder / ".task-orchestrator").rglob(f"{item}*"))
    assert checked.code in (0, 5), checked.stderr


def test_watch_follows_events_over_the_gateway(gateway: Gateway) -> None:
    planner = gateway.orchestrator()
    watching = planner.start(BIN / "orchestrate", "watch", "--json")
    assert watching.stdout
    begin = json.loads(watching.stdout.readline())

    planner.orchestrate("project", "Seen")
    event = json.loads(watching.stdout.readline())
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=60)

    assert begin["verb"] == "begin"
    assert event["verb"] == "project"


def test_worker_run_works_off_its_queue(gateway: Gateway) -> None:
    planner, ada = gateway.orchestrator(), gateway.worker("ada")
    project = planner.orchestrate("project", "Run").stdout.strip()
    item = planner.orchestrate(
        *("create", project, "Run", "--assign", "ada")
    ).stdout.strip()
    report = f'{BIN}/worker progress {item} "in the command"; env'

    ran = ada.worker("run", "--once", "--", "sh", "-c", report)

    assert ran.code == 0, ran.stderr
    shown = planner.orchestrate("show", item).stdout
    assert "completed" in shown
    assert "in the command" in shown
    logged = ada.worker("logs", item).stdout
    assert ada.variables["TASKORCH_TOKEN"] not in logged
    assert "TASKORCH_TOKEN_FILE=" in logged


@pytest.mark.parametrize(
    "token", ["tok_1", UNKNOWN, "tok_1a2b3c4d_" + "f" * 64, "x" * 5000]
)
def test_unknown_token_is_refused(gateway: Gateway, token: str) -> None:
    stranger = gateway.client(token, AGENT_ID="ada")

    refused = stranger.worker("--json", "check")

    assert refused.code == 7
    assert refused.error()["code"] == "TOKEN_REFUSED"
    assert token not in refused.stdout + refused.stderr + gateway.log


def test_missing_token_is_a_usage_error(gateway: Gateway) -> None:
    lacking = gateway.worker("ada").lacking("TASKORCH_TOKEN")

    refused = lacking.worker("--json", "check")

    assert refused.code == 2
    assert "TASKORCH_TOKEN_FILE" in refused.error()["message"]


def test_token_file_takes_the_place_of_the_variable(
    gateway: Gateway, tmp_path: Path
) -> None:
    ada = gateway.worker("ada")
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(ada.variables["TASKORCH_TOKEN"] + "\n")
    without = ada.lacking("TASKORCH_TOKEN")

    by_variable = without.having(TASKORCH_TOKEN_FILE=str(file)).worker("check")
    by_flag = without.worker("--token-file", str(file), "check")
    file.chmod(0o644)
    exposed = without.worker("--json", "--token-file", str(file), "check")

    assert {by_variable.code, by_flag.code} == {0}
    assert exposed.code == 2
    assert "chmod 600" in exposed.error()["message"]


def test_revoked_token_is_refused_within_a_second(gateway: Gateway) -> None:
    ada = gateway.worker("ada")
    assert ada.worker("check").code == 0
    token = ada.variables["TASKORCH_TOKEN"][:12]

    gateway.shell.orchestrate("token", "revoke", token)

    # a gateway asks again after that; a command takes some time of its own
    assert FRESH_S < 1
    eventually(lambda: ada.worker("check").code == 7, within_s=20)


def test_token_of_another_name_is_refused(
    gateway: Gateway, bench: Bench
) -> None:
    item = bench.item(agent="bob")
    ada = gateway.worker("ada")

    claimed = ada.having(AGENT_ID="bob").worker("--json", "get", item)

    assert claimed.code == 7
    assert claimed.error()["code"] == "NOT_ALLOWED"
    assert "AGENT_ID=ada" in claimed.error()["message"]
    assert bench.state(item) == "queued"


def test_other_namespace_does_not_exist(gateway: Gateway) -> None:
    ada = gateway.worker("ada").having(TASKORCH_NAMESPACE="other")

    refused = ada.worker("--json", "check")

    assert refused.code == 3
    assert refused.error()["code"] == "NO_NAMESPACE"


def test_unencrypted_address_is_refused(gateway: Gateway) -> None:
    ada = gateway.worker("ada").having(TASKORCH_URL="http://192.0.2.1:8650")

    refused = ada.worker("--json", "check")

    assert refused.code == 2
    assert "unencrypted" in refused.error()["message"]


def test_unreachable_gateway_is_reported_like_redis(gateway: Gateway) -> None:
    ada = gateway.worker("ada")
    gateway.kill()

    refused = ada.worker("--json", "check")

    assert refused.code == 4
    error = refused.error()
    assert (error["code"], error["retryable"]) == ("UNREACHABLE", True)
    assert "TASKORCH_URL" in error["hint"]


def test_rerun_after_a_killed_gateway_acts_once(
    gateway: Gateway, bench: Bench
) -> None:
    planner = gateway.orchestrator()
    os.kill(gateway.pid, signal.SIGSTOP)
    calling = planner.start(BIN / "orchestrate", "project", "Only one")
    assert calling.poll() is None

    gateway.kill()
    failed = result_of(calling)
    gateway.start()
    done = planner.orchestrate("project", "Only one")

    assert failed.code == 4
    assert done.code == 0
    titles = [project.title for project in bench.queue.views.projects()]
    assert titles == ["Only one"]


def test_gateway_survives_a_restart_of_redis(shell: Shell, node: Node) -> None:
    behind = shell.having(TASKORCH_REDIS_URL=f"redis://{node.address}/0")
    with gateways.running(behind) as gateway:
        planner = gateway.orchestrator()
        assert planner.orchestrate("project", "Before").code == 0
        node.kill()
        down = planner.orchestrate("--json", "project", "During")
        node.start()
        project = planner.orchestrate("project", "During").stdout.strip()
        ada = gateway.worker("ada")
        waiting = ada.start(BIN / "worker", "pop", "--wait", "60")
        planner.orchestrate("create", project, "After", "--assign", "ada")
        popped = result_of(waiting)
        shown = planner.orchestrate("projects").stdout

    assert down.code == 4
    assert node.address not in down.stdout
    assert shown.count("During") == 1
    assert popped.code == 0


def test_last_use_of_a_token_is_listed(gateway: Gateway) -> None:
    ada = gateway.worker("ada")
    ada.worker("check")

    listed = gateway.shell.orchestrate("--json", "token", "list").data()

    assert [(each["name"], each["used_from"]) for each in listed] == [
        ("ada", "127.0.0.1")
    ]


def test_log_has_no_texts_and_no_tokens(gateway: Gateway) -> None:
    planner, ada = gateway.orchestrator(), gateway.worker("ada")
    project = planner.orchestrate("project", "A secret title").stdout.strip()
    planner.orchestrate("create", project, "Another one", "--assign", "ada")
    item = ada.worker("pop", "--json").data()["id"]
    ada.worker("complete", item, "The secret summary")

    log = gateway.log

    lines = [json.loads(line) for line in re.findall(r"audit (\{.*\})", log)]
    assert lines[-1] == {
        "token": ada.variables["TASKORCH_TOKEN"][:12],
        "name": "ada",
        "verb": "complete",
        "ids": [item],
        "outcome": "done",
    }
    assert "secret" not in log
    for shell in (planner, ada):
        assert shell.variables["TASKORCH_TOKEN"] not in log


def test_gateway_of_several_processes_serves_them_all(shell: Shell) -> None:
    with gateways.running(shell, "--workers", "2") as gateway:
        planner, ada = gateway.orchestrator(), gateway.worker("ada")
        project = planner.orchestrate("project", "Two").stdout.strip()
        waiting = ada.start(BIN / "worker", "pop", "--wait", "60")
        eventually(lambda: '"verb": "claim"' in gateway.log)
        planner.orchestrate("create", project, "One", "--assign", "ada")
        popped = result_of(waiting)
        stopped = gateway.stop()

    assert popped.code == 0
    assert stopped == 0


def test_claim_of_cut_off_call_is_given_back(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(agent="ada")
    with proxied(shell.variables["TASKORCH_REDIS_URL"]) as proxy:
        proxy.spared_caller = NAME.encode()
        behind = shell.having(TASKORCH_REDIS_URL=proxy.url)
        with gateways.running(behind) as gateway:
            client = HttpClient(gateway, gateway.token("ada", "worker"))

            def stop() -> None:
                os.kill(gateway.pid, signal.SIGTERM)
                eventually(lambda: "Cancel 1 running task" in gateway.log)

            proxy.on_lost_reply = stop
            proxy.replies_lost = 1
            status, reply = client.post(f"{PREFIX}/worker/pop", {})
            gateway.stop()
            client.close()

    assert (status, reply["error"]["code"]) == (503, "UNREACHABLE")
    assert reply["error"]["message"] == (
        "The queue is unreachable: the gateway is stopping"
    )
    assert bench.state(item) is State.QUEUED


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_process_that_stands_still_is_kept(shell: Shell) -> None:
    with gateways.running(shell, "--workers", "2") as gateway:
        eventually(lambda: len(processes(gateway)) == 2)
        before = processes(gateway)
        still = min(before)
        os.kill(still, signal.SIGSTOP)

        try:
            with pytest.raises(AssertionError, match="still false"):
                eventually(
                    lambda: processes(gateway) != before, within_s=LONGER_S
                )
        finally:
            with suppress(ProcessLookupError):
                os.kill(still, signal.SIGCONT)

        assert gateway.stop() == 0


def test_stopping_gateway_ends_streams_without_a_traceback(
    gateway: Gateway,
) -> None:
    token = gateway.token("viewer", "viewer")
    shown = f"Authorization: Bearer {token}"
    with opened(gateway) as client, client.makefile("rb") as reply:
        client.sendall(head("/api/v1/events", shown, method="GET"))
        begun = reply.readline()

        gateway.stop()
        rest = reply.read()

    assert begun == b"HTTP/1.1 200 OK\r\n"
    assert rest.endswith(b"\r\n0\r\n\r\n")
    assert "Traceback" not in gateway.log
