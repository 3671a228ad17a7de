"""Addresses of every supported kind, against real servers: TLS, a password, a database, and servers that refuse."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import servers
import trustme
from taskorch import errors
from taskorch.connection import connect
from taskorch.item import Caller
from taskorch.queue import Queue


def queue(url: str) -> Queue:
    return Queue(connect(url, retries=0), "connections", Caller(agent="planner"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    ca = trustme.CA()
    file = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return ca, file


@contextmanager
def tls_in_front_of(url: str, ca: trustme.CA, host: str) -> Iterator[int]:
    """Terminate TLS in front of a server's socket, for one connection after another; yields the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(host).configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_forward, args=[context, plain, url.removeprefix("unix://")], daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def _forward(context: ssl.SSLContext, plain: socket.socket, path: str) -> None:
    try:
        with context.wrap_socket(plain, server_side=True) as client, socket.socket(socket.AF_UNIX) as server:
            server.connect(path)
            up = threading.Thread(target=_pump, args=[client, server], daemon=True)
            up.start()
            _pump(server, client)
    except OSError:
        plain.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def test_a_queue_works_over_tls(valkey_url: str, authority: tuple[trustme.CA, Path]) -> None:
    ca, ca_file = authority

    with tls_in_front_of(valkey_url, ca, "localhost") as port:
        project = queue(f"rediss://localhost:{port}/0?ssl_ca_certs={ca_file}").project("Over TLS")

    assert project.startswith("proj_")


def test_a_certificate_that_nobody_vouches_for_is_refused(valkey_url: str, authority: tuple[trustme.CA, Path]) -> None:
    ca, _ = authority

    with tls_in_front_of(valkey_url, ca, "localhost") as port, pytest.raises(errors.Untrusted, match="certificate"):
        queue(f"rediss://localhost:{port}/0").project("Over TLS")


def test_a_certificate_of_another_host_is_refused(valkey_url: str, authority: tuple[trustme.CA, Path]) -> None:
    ca, ca_file = authority

    with (
        tls_in_front_of(valkey_url, ca, "elsewhere.example") as port,
        pytest.raises(errors.Untrusted, match=r"[Hh]ostname"),
    ):
        queue(f"rediss://localhost:{port}/0?ssl_ca_certs={ca_file}").project("Over TLS")


def test_a_password_is_needed_taken_and_never_shown(tmp_path: Path) -> None:
    with servers.running(servers.binaries()["valkey"], tmp_path, "--requirepass", "sesame") as url:
        path = url.removeprefix("unix://")

        with pytest.raises(errors.Refused):
            queue(url).project("No password")
        with pytest.raises(errors.Refused) as refusal:
            queue(f"unix://:mellon@{path}").project("A wrong one")
        project = queue(f"unix://:sesame@{path}").project("The right one")

    assert "mellon" not in str(refusal.value)
    assert project.startswith("proj_")


def test_databases_are_kept_apart(valkey_url: str) -> None:
    one, two = queue(f"{valkey_url}?db=1"), queue(f"{valkey_url}?db=2")

    project = one.project("In database 1")

    assert [each.id for each in one.views.projects()] == [project]
    assert two.views.projects() == ()


def test_a_server_that_went_away_and_came_back_is_found_again(tmp_path: Path) -> None:
    binary = servers.binaries()["valkey"]
    with servers.running(binary, tmp_path, "--appendonly", "yes") as url:
        lasting = queue(url)
        project = lasting.project("Before")

    with pytest.raises(errors.Unreachable):
        lasting.project("Meanwhile")
    with servers.running(binary, tmp_path, "--appendonly", "yes"):
        after = lasting.views.projects()

    assert [each.id for each in after] == [project]


def test_scripts_are_sent_again_after_the_server_forgot_them(valkey_url: str) -> None:

    forgetful = queue(valkey_url)
    project = forgetful.project("Before")
    with redis.Redis.from_url(valkey_url) as client:
        client.script_flush()

    again = forgetful.project("After")

    assert again != project
