"""TLS: certificates of the server and of the client, and their host names."""

import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import redis
import trustme
from redis.backoff import NoBackoff
from redis.retry import Retry
from support import topologies
from support.commands import eventually
from support.connections import connect
from support.proxy import proxied
from taskorch.domain import errors
from taskorch.domain.item import Caller
from taskorch.queue.queue import Queue

#: The bundled server has no TLS of its own.
BINARY = shutil.which("redis-server")


@dataclass(frozen=True)
class Papers:
    """A certificate authority, and the certificates that it issues."""

    ca: trustme.CA
    folder: Path
    ca_file: Path

    def certificate(
        self, name: str, *hosts: str, ca: trustme.CA | None = None
    ) -> tuple[Path, Path]:
        """Issue a certificate; return its file and its key's file."""
        issued = (ca or self.ca).issue_cert(*hosts)
        chain, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        chain.write_bytes(
            b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        )
        issued.private_key_pem.write_to_path(str(key))
        return chain, key


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    ca, folder = trustme.CA(), tmp_path_factory.mktemp("tls")
    ca_file = folder / "ca.pem"
    ca.cert_pem.write_to_path(
        str(ca_file)
    )  # once: a server that starts may be reading it
    return Papers(ca, folder, ca_file)


def queue(url: str) -> Queue:
    return Queue(
        connect(url, retries=0), "connections", Caller(agent="planner")
    )


@contextmanager
def tls_in_front_of(
    url: str, papers: Papers, host: str, *, mutual: bool = False
) -> Iterator[int]:
    """Terminate TLS in front of a server's socket; yields the port.

    With `mutual`, a client has to show a certificate of the same authority.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    papers.ca.issue_cert(host).configure_cert(context)
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        papers.ca.configure_trust(context)
    with proxied(url, context) as proxy:
        yield urlsplit(proxy.url).port or 0


def test_queue_works_over_tls(valkey_url: str, papers: Papers) -> None:
    with tls_in_front_of(valkey_url, papers, "localhost") as port:
        project = queue(
            f"rediss://localhost:{port}/0?ssl_ca_certs={papers.ca_file}"
        ).project("Over TLS")

    assert project.startswith("proj_")


def test_untrusted_certificate_is_refused(
    valkey_url: str, papers: Papers
) -> None:
    with (
        tls_in_front_of(valkey_url, papers, "localhost") as port,
        pytest.raises(errors.Untrusted) as refusal,
    ):
        queue(f"rediss://localhost:{port}/0").project("Over TLS")

    assert "ssl_ca_certs=FILE" in refusal.value.hint()
    assert not refusal.value.retryable


def test_certificate_of_another_host_is_refused_by_default(
    valkey_url: str, papers: Papers
) -> None:
    with tls_in_front_of(valkey_url, papers, "elsewhere.example") as port:
        url = f"rediss://localhost:{port}/0?ssl_ca_certs={papers.ca_file}"

        with pytest.raises(errors.Untrusted, match=r"[Hh]ostname"):
            queue(url).project("Over TLS")
        project = queue(f"{url}&ssl_check_hostname=false").project("Over TLS")

    assert project.startswith("proj_")


def test_server_gets_the_client_certificate(
    valkey_url: str, papers: Papers
) -> None:
    known, key = papers.certificate("ada", "ada@example.org")
    stranger, strange_key = papers.certificate(
        "eve", "eve@example.org", ca=trustme.CA()
    )

    with tls_in_front_of(valkey_url, papers, "localhost", mutual=True) as port:
        url = f"rediss://localhost:{port}/0?ssl_ca_certs={papers.ca_file}"
        project = queue(
            f"{url}&ssl_certfile={known}&ssl_keyfile={key}"
        ).project("Over TLS")
        with pytest.raises(errors.Unavailable):
            queue(url).project("Over TLS")
        with pytest.raises(errors.Unavailable):
            queue(
                f"{url}&ssl_certfile={stranger}&ssl_keyfile={strange_key}"
            ).project("Over TLS")

    assert project.startswith("proj_")


def test_missing_certificate_file_is_a_usage_error(
    valkey_url: str, papers: Papers
) -> None:
    with (
        tls_in_front_of(valkey_url, papers, "localhost") as port,
        pytest.raises(errors.Usage, match="/nowhere"),
    ):
        queue(
            f"rediss://localhost:{port}/0?ssl_ca_certs=/nowhere/ca.pem"
        ).project("Over TLS")


@pytest.mark.skipif(BINARY is None, reason="no redis-server that has TLS")
class TestDeployments:
    """A sentinel deployment and a cluster that require TLS and client certificates."""

    def test_sentinels_and_their_primary_are_reached_over_tls(
        self, papers: Papers, tmp_path: Path
    ) -> None:
        primary, sentinel = topologies.free_ports(2)
        configuration = tmp_path / "sentinel.conf"
        configuration.write_text(
            f"sentinel monitor main 127.0.0.1 {primary} 1\ntls-replication yes\n"
        )
        with (
            _server(papers, tmp_path, primary, "--tls-replication", "yes"),
            _server(
                papers,
                tmp_path,
                sentinel,
                "--sentinel",
                configuration=configuration,
            ),
        ):
            trusted = connect(
                f"rediss+sentinel://localhost:{sentinel}/main?{_client_options(papers)}"
            )
            project = Queue(trusted, "team", Caller(agent="planner")).project(
                "Over TLS"
            )
            with pytest.raises(errors.TaskOrchestratorError):
                Queue(
                    connect(f"redis+sentinel://localhost:{sentinel}/main"),
                    "team",
                    Caller(agent="p"),
                ).project("x")

        assert project.startswith("proj_")

    def test_cluster_is_reached_over_tls(
        self, papers: Papers, tmp_path: Path
    ) -> None:
        port, bus = topologies.free_ports(2)
        options = [
            "--cluster-enabled",
            "yes",
            "--tls-cluster",
            "yes",
            "--cluster-port",
            str(bus),
        ]
        with _server(papers, tmp_path, port, *options) as raw:
            cast(Any, raw).execute_command(
                "CLUSTER", "ADDSLOTSRANGE", 0, 16383
            )
            trusted = connect(
                f"rediss+cluster://localhost:{port}?{_client_options(papers)}"
            )

            project = Queue(trusted, "team", Caller(agent="planner")).project(
                "Over TLS"
            )
            with pytest.raises(errors.Untrusted):
                Queue(
                    connect(f"rediss+cluster://localhost:{port}"),
                    "team",
                    Caller(agent="planner"),
                ).project("x")

        assert project.startswith("proj_")


@contextmanager
def _server(
    papers: Papers,
    folder: Path,
    port: int,
    *options: str,
    configuration: Path | None = None,
) -> Iterator[redis.Redis]:
    """Run a server that requires TLS; yield a client with a certificate."""
    chain, key = papers.certificate(str(port), "localhost", "127.0.0.1")
    tls = {
        "tls-port": port,
        "port": 0,
        "tls-cert-file": chain,
        "tls-key-file": key,
        "tls-ca-cert-file": papers.ca_file,
    }
    words = [
        word
        for name, value in tls.items()
        for word in (f"--{name}", str(value))
    ]
    start: list[str] = [
        BINARY or "",
        *([str(configuration)] if configuration else []),
        *options,
        *words,
    ]
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [*start, "--dir", str(folder), "--bind", "127.0.0.1"],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    raw = redis.Redis.from_url(
        f"rediss://localhost:{port}?{_client_options(papers)}",
        retry=Retry(NoBackoff(), 0),
    )
    try:
        eventually(_answers(raw, process))
        yield raw
    finally:
        process.kill()
        process.wait()


def _answers(
    raw: redis.Redis, process: subprocess.Popen[bytes]
) -> Callable[[], bool]:
    def ask() -> bool:
        assert process.poll() is None, (
            "the server ended: its log is in the test's folder"
        )
        with suppress(redis.ConnectionError):
            return bool(raw.ping())
        return False

    return ask


def _client_options(papers: Papers) -> str:
    chain, key = papers.certificate("client", "client@example.org")
    return (
        f"ssl_ca_certs={papers.ca_file}&ssl_certfile={chain}&ssl_keyfile={key}"
    )
