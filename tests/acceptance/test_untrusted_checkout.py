"""An untrusted checkout redirects no command, secret or file."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from support.commands import BIN, Shell
from taskorch.config import trust

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n-----END OPENSSH PRIVATE KEY-----\n"
ANOTHER_USER = 12345
needs_root = pytest.mark.skipif(
    os.getuid() != 0, reason="only root can give a folder to another user"
)
ORDINARY = [
    ("worker", "check"),
    ("worker", "pop"),
    ("orchestrate", "list"),
    ("orchestrate", "project", "x"),
]
HOOKS = [("worker", "prime", "--hook-json"), ("worker", "hook", "stop")]


class Listener:
    """An attacker's Redis: it records requests and never replies."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self.url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        self.received: list[bytes] = []

    def listen(self) -> None:
        """Serve one client after the other until the socket is closed."""
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client:
                self.received.append(client.recv(65536))


@contextmanager
def listening() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(server)
        thread = Thread(target=listener.listen)
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def victim(home: Path, tmp_path: Path) -> Shell:
    """A user with a private key, in a cloned checkout."""
    key = home / ".ssh" / "id_ed25519"
    key.parent.mkdir()
    key.write_text(KEY)
    key.chmod(0o600)
    checkout = tmp_path / "checkout"
    (checkout / ".git").mkdir(parents=True)
    (checkout / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (checkout / ".task-orchestrator").mkdir()
    return Shell(checkout, {"AGENT_ID": "ada"})


def config(victim: Shell, text: str) -> Path:
    file = victim.folder / ".task-orchestrator" / "config.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("words", ORDINARY, ids=" ".join)
def test_private_key_is_not_sent_to_attacker(
    victim: Shell, words: tuple[str, ...]
) -> None:
    with listening() as attacker:
        file = config(
            victim,
            f'redis_url = "{attacker.url}"\nredis_password_file = "~/.ssh/id_ed25519"\n',
        )

        ran = victim.run(BIN / words[0], *words[1:])

        assert attacker.received == []
    assert ran.code == 5
    assert (
        f"{file} sets redis_url, and you have not trusted this file"
        in ran.stderr
    )
    assert "orchestrate trust" in ran.stderr


@pytest.mark.parametrize("words", HOOKS, ids=" ".join)
def test_hook_in_untrusted_checkout_is_silent(
    victim: Shell, words: tuple[str, ...]
) -> None:
    with listening() as attacker:
        config(
            victim,
            f'redis_url = "{attacker.url}"\nredis_password_file = "~/.ssh/id_ed25519"\n',
        )

        ran = victim.run(BIN / words[0], *words[1:], stdin=b"{}")

        assert attacker.received == []
    assert (ran.code, ran.stdout, ran.stderr) == (0, "", "")


def test_password_variable_is_not_sent_to_attacker(
    victim: Shell,
) -> None:
    with listening() as attacker:
        config(victim, f'redis_url = "{attacker.url}"\n')

        ran = victim.having(TASKORCH_REDIS_PASSWORD="sesame").worker("check")

        assert attacker.received == []
    assert ran.code == 5


@pytest.mark.parametrize("name", ["~/.ssh/id_ed25519", "linked"])
def test_trusted_file_cannot_read_private_key(
    victim: Shell, home: Path, name: str
) -> None:
    (victim.folder / "linked").symlink_to(home / ".ssh" / "id_ed25519")
    with listening() as attacker:
        file = config(
            victim,
            f'redis_url = "{attacker.url}"\nredis_password_file = "{name}"\n',
        )
        trusted = victim.orchestrate("trust", "--yes")

        ran = victim.worker("check")

        assert attacker.received == []
    assert f"Trusted until it changes: {file}\n" in trusted.stdout
    assert f"sets:\n  redis_url = {attacker.url}\n" in trusted.stderr
    assert ran.code == 2
    assert "PRIVATE KEY" not in ran.stderr


def test_trusted_file_takes_effect_until_it_changes(
    victim: Shell, valkey_url: str
) -> None:
    config(
        victim,
        f'redis_url = "{valkey_url}"\nnamespace = "checkout-{os.urandom(4).hex()}"\n',
    )

    before = victim.orchestrate("projects")
    trusted = victim.orchestrate("trust", "--yes", "--json")
    obeyed = victim.orchestrate("projects")
    config(victim, f'redis_url = "{valkey_url}"\nnamespace = "other"\n')
    after = victim.orchestrate("projects")

    assert (before.code, obeyed.code, after.code) == (5, 0, 5), obeyed.stderr
    assert trusted.data()["settings"]["redis_url"] == valkey_url


def test_trust_is_listed_and_removed(victim: Shell) -> None:
    file = config(victim, 'redis_url = "redis://127.0.0.1:1"\n')
    none = victim.orchestrate("trust", "--list")
    victim.orchestrate("trust", "--yes")

    listed = [victim.orchestrate("trust", "--list")]
    config(victim, 'redis_url = "redis://127.0.0.1:2"\n')
    listed.append(victim.orchestrate("trust", "--list"))
    file.unlink()
    listed.append(victim.orchestrate("trust", "--list"))
    removed = victim.orchestrate("trust", "--remove")

    assert (none.stdout, none.stderr) == ("", "You trust no config file.\n")
    assert [each.stdout for each in listed] == [
        f"trusted  {file}\n",
        f"changed  {file}\n",
        f"missing  {file}\n",
    ]
    assert (removed.code, removed.stdout) == (0, f"Not trusted: {file}\n")
    assert victim.orchestrate("trust", "--list", "--json").data() == []


def test_trust_escapes_and_hides_passwords(victim: Shell) -> None:
    config(
        victim,
        'redis_url = "redis://ada:sesame@127.0.0.1:1"\nredis_password_file = "\\u001b[2J"\n',
    )

    ran = victim.orchestrate("trust", "--yes")
    listed = victim.orchestrate("trust", "--yes", "--json")

    assert "redis_url = redis://***@127.0.0.1:1" in ran.stderr
    assert (
        "sesame" not in ran.stderr + ran.stdout + listed.stdout + listed.stderr
    )
    assert "\x1b" not in ran.stderr + listed.stderr


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 5)])
def test_trust_asks_on_a_terminal(
    victim: Shell, home: Path, answer: str, code: int
) -> None:
    file = config(victim, 'redis_url = "redis://127.0.0.1:1"\n')

    exit_code, screen = victim.on_terminal(
        BIN / "orchestrate", "trust", typed=f"{answer}\n"
    )

    assert exit_code == code
    assert screen.index("redis_url = redis://127.0.0.1:1") < screen.index(
        "Trust it?"
    )
    assert trust.is_trusted(
        {"HOME": str(home)}, str(file), file.read_bytes()
    ) == (answer == "y")


def test_trust_without_a_terminal_needs_yes(victim: Shell, home: Path) -> None:
    file = config(victim, 'redis_url = "redis://127.0.0.1:1"\n')

    ran = victim.orchestrate("trust")

    assert ran.code == 2
    assert "confirm it with --yes" in ran.stderr
    assert not trust.is_trusted(
        {"HOME": str(home)}, str(file), file.read_bytes()
    )


def test_trust_without_config_file_is_an_error(victim: Shell) -> None:
    ran = victim.orchestrate("trust")

    assert ran.code == 5
    assert (
        f"There is no {victim.folder}/.task-orchestrator/config.toml"
        in ran.stderr
    )


def test_config_written_by_init_is_trusted(
    victim: Shell, valkey_url: str, tmp_path: Path
) -> None:
    words = (
        "--redis-url",
        valkey_url,
        "--namespace",
        f"init-{os.urandom(4).hex()}",
    )

    made = victim.orchestrate("init", str(tmp_path), *words)
    again = victim.orchestrate("init", str(tmp_path), *words)
    differs = victim.orchestrate("init", str(tmp_path), "--namespace", "x")
    used = victim.within(tmp_path).orchestrate("projects")

    file = tmp_path / ".task-orchestrator" / "config.toml"
    assert made.stdout == f"{tmp_path} is a root now.\nSettings: {file}\n"
    assert again.stdout.startswith(f"{tmp_path} is already a root.")
    assert (differs.code, used.code) == (5, 0), used.stderr
    assert f"{file} exists with other content" in differs.stderr


def test_init_writes_no_password(victim: Shell, tmp_path: Path) -> None:
    ran = victim.orchestrate(
        "init", str(tmp_path), "--redis-url", "redis://ada:sesame@host"
    )

    assert ran.code == 2
    assert "TASKORCH_REDIS_PASSWORD_FILE" in ran.stderr
    assert "sesame" not in ran.stderr
    assert not (tmp_path / ".task-orchestrator").exists()


def test_stray_root_in_home_is_ignored(victim: Shell, home: Path) -> None:
    stray = home / ".task-orchestrator"
    stray.mkdir()
    (stray / "config.toml").write_text('redis_url = "redis://127.0.0.1:1"\n')
    project = home / "project"
    project.mkdir()

    shown = victim.within(project).worker("whoami", "--json").data()

    assert (shown["root"], shown["sources"]["redis_url"]) == (
        str(project),
        "default",
    )


def test_home_is_a_root_only_after_init(victim: Shell, home: Path) -> None:
    at_home = victim.within(home)
    project = home / "project"
    project.mkdir()

    refused = at_home.orchestrate("project", "x")
    looked = at_home.orchestrate("projects")
    untouched = sorted(entry.name for entry in home.iterdir())
    made = at_home.orchestrate("init", "--json").data()

    assert (refused.code, looked.code) == (5, 3)
    assert (
        f"A queue in {home} would be shared by every folder below it."
        in refused.stderr
    )
    assert untouched == [".ssh", "project"]
    assert made == {"root": str(home), "created": True, "config_file": ""}
    assert victim.within(project).worker("whoami", "--json").data()[
        "root"
    ] == str(home)


@needs_root
@pytest.mark.parametrize(
    "words",
    [*ORDINARY, ("worker", "whoami"), ("orchestrate", "trust")],
    ids=" ".join,
)
def test_folder_of_another_user_is_refused(
    victim: Shell, words: tuple[str, ...]
) -> None:
    config(victim, 'namespace = "theirs"\n')
    os.chown(victim.folder / ".task-orchestrator", ANOTHER_USER, ANOTHER_USER)

    ran = victim.run(BIN / words[0], *words[1:])

    assert ran.code == 5
    assert (
        "belongs to another user (uid 12345), so it is not used." in ran.stderr
    )
    assert sorted(
        entry.name
        for entry in (victim.folder / ".task-orchestrator").iterdir()
    ) == ["config.toml"]


@needs_root
@pytest.mark.parametrize("words", HOOKS, ids=" ".join)
def test_hook_in_foreign_folder_is_silent(
    victim: Shell, words: tuple[str, ...]
) -> None:
    os.chown(victim.folder / ".task-orchestrator", ANOTHER_USER, ANOTHER_USER)

    ran = victim.run(BIN / words[0], *words[1:], stdin=b"{}")

    assert (ran.code, ran.stdout, ran.stderr) == (0, "", "")
