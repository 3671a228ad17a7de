"""The commands of "Three deployments" of docs/operations.md, with real processes.

tests/compose/walk runs those with Docker.
"""

import re
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support import gateways, servers, services
from support.commands import BIN, Shell, eventually
from support.services import handoff_items
from taskorch.bundled import server as bundled_server

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
PASSWORD = "open-sesame"
#: The commands that are not ours, as far as a block uses them.
STAND_INS = """
set -euo pipefail
pipx() { [ "$*" = "install --force ." ]; }
scp() { install -m 600 "$1" ~/"${2#*:}"; }
"""


def blocks(title: str) -> list[str]:
    """Return the blocks of commands of a deployment, in order."""
    section = PAGE.partition(f"### {title}\n")[2]
    section = re.split(r"^##+ ", section, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def home_of(shell: Shell) -> Path:
    """Return the home of the user of a shell."""
    home = shell.folder / "home"
    home.mkdir(exist_ok=True)
    return home


def keep(secret: str, file: Path) -> None:
    """Write a private file."""
    file.touch(mode=0o600)
    file.write_text(secret)


def run(block: str, shell: Shell, **names: str) -> str:
    """Run a block in the folder and home of a shell, with other names of hosts."""
    for name, other in names.items():
        block = block.replace(name.replace("_", "."), other)
    done = subprocess.run(
        ["bash", "-c", STAND_INS + block],
        cwd=shell.folder,
        env={
            **shell.environment(),
            "HOME": str(home_of(shell)),
            "PATH": f"{BIN}:/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def machine() -> Iterator[Shell]:
    """A shell in a short folder, because the bundled server's socket has a short path."""
    with TemporaryDirectory(prefix="machine-") as folder:
        shell = Shell(Path(folder), {"TASKORCH_ROOT": folder})
        yield shell
        for root in (folder, f"{folder}/restored"):
            shell.having(TASKORCH_ROOT=root).orchestrate("server", "stop")


def test_one_machine_is_backed_up_and_upgraded(machine: Shell) -> None:
    first, backup, upgrade = blocks("One machine")

    popped = run(first, machine)
    run(backup, machine)
    checked = run(upgrade, machine)

    assert "Monthly report" in popped
    restored = machine.having(TASKORCH_ROOT=f"{machine.folder}/restored")
    assert "Monthly report" in restored.orchestrate("list").stdout
    assert "\nproblem " not in checked
    assert "in_progress" in machine.orchestrate("list").stdout


@pytest.fixture
def team_redis(tmp_path: Path) -> Iterator[str]:
    """A Redis with the users and settings of the page, by its address."""
    redis_conf, users = re.findall(
        r"# redis\.conf\n(.*?)# users\.acl\n(.*?)```", PAGE, re.DOTALL
    )[0]
    folder = tmp_path / "redis"
    folder.mkdir()
    hashed = sha256(PASSWORD.encode()).hexdigest()
    (folder / "users.acl").write_text(users.replace("HASH", hashed))
    options = [
        word.replace("/etc/redis", str(folder))
        for line in redis_conf.splitlines()
        for word in f"--{line}".split()
    ]
    with servers.running(bundled_server.binary(), folder, *options) as url:
        yield url


def test_one_team_works_on_one_redis(team_redis: str, machine: Shell) -> None:
    users, agent, backup, restore = blocks("One team on one Redis")
    keep(PASSWORD, home_of(machine) / "redis-administrator")
    path = team_redis.removeprefix("unix://")

    def on_socket(block: str) -> str:
        """Reach the server by its socket, as it has no port."""
        return re.sub(
            r"redis://([^@]+)@redis\.example:6379/0",
            rf"unix://\1@{path}",
            block,
        )

    run(on_socket(users), machine)
    checked = run(on_socket(agent) + "worker whoami\n", machine)
    run(on_socket(backup), machine)
    run(on_socket(restore), machine)

    assert "ada" in checked
    passwords = machine.folder / ".task-orchestrator" / "passwords"
    service = machine.having(
        TASKORCH_REDIS_URL=f"unix://taskorch+default+service@{path}",
        TASKORCH_REDIS_PASSWORD_FILE=str(
            passwords / "taskorch+default+service"
        ),
    )
    planner = machine.having(
        TASKORCH_REDIS_URL=f"unix://taskorch+default+orchestrator@{path}",
        TASKORCH_REDIS_PASSWORD_FILE=str(
            passwords / "taskorch+default+orchestrator"
        ),
    )
    with services.running(service):
        project = planner.orchestrate("project", "Build").stdout.strip()
        item = planner.orchestrate(
            "create", project, "It", "--assign", "ada"
        ).stdout.strip()
        eventually(lambda: handoff_items(service.folder) == {item})


def test_many_machines_work_through_the_gateway(machine: Shell) -> None:
    certificate, tokens, agent, backup = blocks("Many machines and sandboxes")
    run(certificate, machine, queue_example="localhost")
    options = ("--tls-cert", "tls/cert.pem", "--tls-key", "tls/key.pem")
    queue = machine.having(TASKORCH_NAMESPACE="default")

    with gateways.running(queue, *options) as gateway:
        names = {"queue_example:8650": f"localhost:{gateway.port}"}
        operator = gateway.token("operator", "admin")
        keep(operator, home_of(machine) / "operator-token")
        _, token = run(tokens, machine, **names).split()
        keep(token, home_of(machine) / "ada-token")
        trusting = machine.having(
            SSL_CERT_FILE=str(machine.folder / "tls" / "cert.pem")
        )
        run(agent, trusting, **names)
        listed = run(backup, trusting, **names)

    assert "ada" in listed
    assert "planner" in listed
