"""Notifications as users have them: config.toml, the service, `orchestrate notify`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import certificates, connect_proxy, http_target, services
from support.builders import Bench, opened
from support.commands import Shell, eventually
from support.http_target import Target
from support.topologies import Node
from taskorch.domain.item import State


@pytest.fixture
def target() -> Iterator[Target]:
    with http_target.running() as running:
        yield running


@pytest.fixture
def configured(shell: Shell, target: Target) -> Shell:
    """Return the shell, with a target in the user's own config file."""
    return with_target(shell, target, shell.folder.parent / "config")


def with_target(
    shell: Shell, target: Target, home: Path, *, url: str = ""
) -> Shell:
    folder = home / "task-orchestrator"
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    file = folder / "config.toml"
    file.write_text(
        f'[[notify]]\nurl = "{url or target.url}"\nallow_private = true\n'
        'secret_env = "HOOK_SECRET"\n'
    )
    file.chmod(0o600)
    return shell.having(XDG_CONFIG_HOME=str(home), HOOK_SECRET="k3y")


def told(target: Target) -> list[str]:
    return [item for request in target.requests for item in request.items]


def is_known(shell: Shell) -> bool:
    """Return whether the service has begun to look for the target."""
    tag = f"taskorch:{{{shell.variables['TASKORCH_NAMESPACE']}}}:"
    with opened(
        shell.variables["TASKORCH_REDIS_URL"],
        shell.variables["TASKORCH_NAMESPACE"],
    ) as bench:
        return bool(list(bench.raw.scan_iter(f"{tag}notify:*")))


def test_service_tells_the_target_once(
    configured: Shell, bench: Bench, target: Target
) -> None:
    with services.running(configured, number=2) as running:
        eventually(lambda: is_known(configured))
        item = bench.lease_in(State.BLOCKED).item
        eventually(lambda: told(target) == [item])
        # The service logs this after the answer to its request.
        eventually(
            lambda: any(
                service.has_logged("notify 127.0.0.1: sent 1")
                for service in running
            )
        )
        logs = "".join(service.log() for service in running)
        codes = [service.stop() for service in running]

    (request,) = target.requests
    assert "x-taskorch-signature" in request.headers
    assert "s3cret" not in logs
    assert "k3y" not in logs
    assert codes == [0, 0]


def test_restarted_service_tells_what_it_has_missed(
    configured: Shell, bench: Bench, target: Target
) -> None:
    with services.running(configured) as (service,):
        eventually(lambda: is_known(configured))
        service.kill()
    item = bench.lease_in(State.BLOCKED).item

    with services.running(configured):
        eventually(lambda: told(target) == [item])

    assert len(target.requests) == 1


def test_killed_redis_loses_and_repeats_no_notification(
    node: Node, shell: Shell, target: Target, tmp_path: Path
) -> None:
    url = f"redis://{node.address}"
    own = with_target(
        shell.having(TASKORCH_REDIS_URL=url), target, tmp_path / "config"
    )
    with (
        services.running(own, "--no-rq"),
        opened(url, shell.variables["TASKORCH_NAMESPACE"]) as bench,
    ):
        eventually(lambda: is_known(own))
        target.answer = http_target.status(503)
        first = bench.lease_in(State.BLOCKED).item
        eventually(lambda: bool(target.requests))
        node.kill()
        target.answer = http_target.status(200)
        count = len(target.requests)
        node.start()
        eventually(lambda: told(target)[count:] == [first])
        second = bench.lease_in(State.FAILED).item
        eventually(lambda: told(target)[count:] == [first, second])

    assert len({request.document["id"] for request in target.requests}) == 2


def test_list_shows_targets_without_their_address(
    configured: Shell, bench: Bench
) -> None:
    bench.project()

    screen = configured.orchestrate("notify").stdout
    (row,) = configured.orchestrate("notify", "--json").data()

    assert "127.0.0.1" in screen
    assert "s3cret" not in screen
    assert (row["target"], row["signed"], row["sent"]) == (
        "127.0.0.1",
        True,
        0,
    )
    assert "s3cret" not in str(row)


def test_test_message_reaches_the_target(
    configured: Shell, target: Target
) -> None:
    sent = configured.orchestrate("notify", "--test")
    target.answer = http_target.status(404)
    refused = configured.orchestrate("notify", "--test")

    assert (sent.code, sent.stdout) == (0, "127.0.0.1: sent\n")
    assert refused.code == 5
    assert "not sent: it answered with HTTP status 404" in refused.stdout
    assert "This is a test" in target.requests[0].document["text"]


def test_missing_secret_is_reported(configured: Shell, target: Target) -> None:
    refused = configured.lacking("HOOK_SECRET").orchestrate("notify", "--test")

    assert refused.code == 5
    assert "HOOK_SECRET" in refused.stdout
    assert target.requests == []


def test_doctor_names_failing_target(
    configured: Shell, bench: Bench, target: Target
) -> None:
    target.answer = http_target.status(404)
    with services.running(configured):
        eventually(lambda: is_known(configured))
        bench.lease_in(State.BLOCKED)
        eventually(
            lambda: (
                configured.orchestrate("notify", "--json").data()[0]["lost"]
                == 1
            )
        )

    report = configured.orchestrate("doctor").stdout

    assert "127.0.0.1: it answered with HTTP status 404" in report


def test_untrusted_target_gets_nothing(
    shell: Shell, bench: Bench, target: Target
) -> None:
    folder = shell.folder / ".task-orchestrator"
    folder.mkdir()
    (folder / "config.toml").write_text(
        f'[[notify]]\nurl = "{target.url}"\nallow_private = true\n'
    )

    with services.running(shell) as (service,):
        bench.lease_in(State.BLOCKED)
        eventually(lambda: "No notifications." in service.log())
    listed = shell.orchestrate("notify")

    assert listed.code == 5
    assert "orchestrate trust" in listed.stderr
    assert target.requests == []


def test_list_without_targets_says_so(shell: Shell, bench: Bench) -> None:
    bench.item()

    assert shell.orchestrate("notify").code == 0
    assert "no [[notify]]" in shell.orchestrate("notify").stderr


def test_service_reaches_target_through_a_proxy(
    shell: Shell, bench: Bench, tmp_path: Path
) -> None:
    issued = certificates.issue(tmp_path, "hooks.example")
    with (
        http_target.running(issued.context) as target,
        connect_proxy.on_loopback(
            {"hooks.example:443": ("127.0.0.1", target.port)}
        ) as proxy,
    ):
        url = "https://hooks.example/hook?key=s3cret"
        behind = with_target(
            shell, target, tmp_path / "config", url=url
        ).having(
            SSL_CERT_FILE=str(issued.authority),
            HTTPS_PROXY=proxy.url,
            https_proxy="",
        )
        with services.running(behind) as (service,):
            eventually(lambda: is_known(behind))
            item = bench.lease_in(State.BLOCKED).item
            eventually(
                lambda: service.has_logged("notify hooks.example: sent 1")
            )
            log = service.log()

    assert told(target) == [item]
    assert proxy.tunnels == ["hooks.example:443"]
    assert "s3cret" not in log


def test_untrusted_certificate_is_named(shell: Shell, tmp_path: Path) -> None:
    issued = certificates.issue(tmp_path, "localhost")
    with http_target.running(issued.context) as target:
        url = target.url_at("localhost")
        stranger = with_target(shell, target, tmp_path / "config", url=url)
        known = stranger.having(SSL_CERT_FILE=str(issued.authority))

        refused = stranger.orchestrate("notify", "--test")
        sent = known.orchestrate("notify", "--test")

    assert refused.code == 5
    assert "its certificate is not valid" in refused.stdout
    assert "SSL_CERT_FILE" in refused.stdout
    assert (sent.code, sent.stdout) == (0, "localhost: sent\n")
    assert len(target.requests) == 1
