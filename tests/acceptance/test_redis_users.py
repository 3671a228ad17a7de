"""`orchestrate acl`: the users of Redis of one team, in the user's workflow."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import redis
from support import servers
from support.commands import BIN, Shell, eventually

PASSWORD = "open-sesame"


class Team(NamedTuple):
    """A Redis with an ACL file, seen by its administrator."""

    shell: Shell
    raw: redis.Redis

    def user(self, *role: str) -> Shell:
        """Set the user of a role, and return a shell with its variables alone."""
        applied = self.shell.orchestrate("acl", *role, "--apply")
        assert applied.code == 0, applied.stderr
        exported = dict(
            line.removeprefix("export ").split("=", 1)
            for line in applied.stdout.splitlines()
        )
        variables = {
            name: shlex.split(value)[0] for name, value in exported.items()
        }
        lacking = self.shell.lacking("TASKORCH_REDIS_PASSWORD", "AGENT_ID")
        return lacking.having(**variables)


@pytest.fixture(params=list(servers.binaries()))
def team(
    request: pytest.FixtureRequest, shell: Shell, tmp_path: Path
) -> Iterator[Team]:
    folder = tmp_path / "redis"
    folder.mkdir()
    users = folder / "users.acl"
    users.write_text(f"user default on >{PASSWORD} ~* &* +@all\n")
    binary = servers.binaries()[request.param]
    with servers.running(binary, folder, "--aclfile", str(users)) as url:
        secret = url.replace("://", f"://:{PASSWORD}@")
        with redis.Redis.from_url(secret, decode_responses=True) as raw:
            variables = {
                "TASKORCH_REDIS_URL": url,
                "TASKORCH_REDIS_PASSWORD": PASSWORD,
            }
            yield Team(shell.having(**variables), raw)


def test_team_works_with_a_user_for_each_agent(team: Team) -> None:
    planner = team.user("orchestrator", "planner")
    ada, bob = team.user("worker", "ada"), team.user("worker", "bob")
    viewer = team.user("viewer")

    project = planner.orchestrate("project", "Build").stdout.strip()
    first = planner.orchestrate(
        "create", project, "Design", "--assign", "ada"
    ).stdout.strip()
    second = planner.orchestrate(
        *("create", project, "Build", "--assign", "bob"),
        *("--depends-on", first),
    ).stdout.strip()
    steps = [
        ada.worker("pop"),
        ada.worker("progress", first, "Half", "--percent", "50"),
        ada.worker("notes", first, "A memo"),
        ada.worker("discover", first, "A find"),
        ada.worker("blocker", first, "Which?"),
        planner.orchestrate("answer", first, "Both"),
        ada.worker("complete", first, "Designed"),
        bob.worker("pop", "--wait", "5"),
        bob.worker("complete", second, "Built"),
        viewer.orchestrate("progress", project),
        viewer.orchestrate("show", first),
        planner.orchestrate("complete", project),
    ]

    assert [step.code for step in steps] == [0] * len(steps), steps


def test_confused_agent_changes_nothing_of_others(team: Team) -> None:
    planner = team.user("orchestrator")
    ada, viewer = team.user("worker", "ada"), team.user("viewer")
    project = planner.orchestrate("project", "Build").stdout.strip()
    item = planner.orchestrate(
        "create", project, "It", "--assign", "bob"
    ).stdout.strip()
    before = planner.orchestrate("show", item, "--json").data()

    refused = [
        ada.having(AGENT_ID="bob").worker("pop"),
        ada.having(AGENT_ID="bob").worker("complete", item, "Done"),
        ada.having(ORCHESTRATOR_ID="ada").orchestrate("cancel", item),
        ada.having(ORCHESTRATOR_ID="ada").orchestrate("project", "Mine"),
        viewer.orchestrate("cancel", item),
        viewer.orchestrate("project", "Mine"),
        viewer.having(AGENT_ID="bob").worker("pop"),
    ]

    assert [result.code for result in refused] == [7] * len(refused), refused
    assert planner.orchestrate("show", item, "--json").data() == before


def test_password_is_in_a_private_file_alone(team: Team) -> None:
    applied = team.shell.orchestrate("acl", "worker", "ada", "--apply")
    file = Path(
        re.findall(r"PASSWORD_FILE=(\S+)", applied.stdout)[0].strip("'")
    )
    password = file.read_text().strip()

    assert len(password) == 64
    assert file.stat().st_mode & 0o077 == 0
    assert password not in applied.stdout + applied.stderr
    assert password not in str(team.raw.acl_list())


def test_repeat_keeps_the_password(team: Team) -> None:
    ada = team.user("worker", "ada")
    (name,) = (user for user in team.raw.acl_users() if user != "default")
    assert isinstance(name, str)
    rule = team.raw.acl_getuser(name)
    team.raw.execute_command("ACL", "SETUSER", name, "+@all", "~*")  # type: ignore[no-untyped-call]

    again = team.user("worker", "ada")

    assert again == ada
    assert team.raw.acl_getuser(name) == rule


def test_users_are_saved_in_the_acl_file(team: Team) -> None:
    ada = team.user("worker", "ada")

    team.raw.acl_load()

    assert ada.worker("check").code in (0, 8)


def test_printed_rule_changes_nothing(team: Team) -> None:
    printed = team.shell.orchestrate("acl", "worker", "ada")

    words = shlex.split(printed.stdout)
    assert words[:4] == ["redis-cli", "acl", "setuser", words[3]]
    assert team.raw.acl_users() == ["default"]
    team.raw.execute_command(*words[1:])  # type: ignore[no-untyped-call]
    assert words[3] in team.raw.acl_users()


@pytest.mark.parametrize(
    "words",
    [
        ("worker",),
        ("worker", "../x"),
        ("worker", "a b", "--apply"),
        ("admin", "ada"),
        ("service", "ada", "--apply"),
        ("king",),
    ],
)
def test_bad_role_or_name_is_refused(
    team: Team, words: tuple[str, ...]
) -> None:
    result = team.shell.orchestrate("acl", *words)

    assert result.code in (2, 5)
    assert team.raw.acl_users() == ["default"]


def test_password_file_of_others_is_refused(
    team: Team, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("guess\n")
    file.chmod(0o644)

    result = team.shell.orchestrate(
        *("acl", "viewer", "--apply", "--password-file", str(file)),
    )

    assert result.code == 2
    assert team.raw.acl_users() == ["default"]


def test_agent_cannot_set_users(team: Team) -> None:
    ada = team.user("worker", "ada").having(ORCHESTRATOR_ID="ada")

    result = ada.orchestrate("acl", "worker", "eve", "--apply")

    assert result.code in (4, 7)
    assert not any("eve" in name for name in team.raw.acl_users())


def test_user_is_not_set_without_functions(team: Team) -> None:
    team.raw.acl_setuser("default", enabled=True, commands=["-function|load"])

    result = team.shell.orchestrate("acl", "worker", "ada", "--apply")

    assert result.code == 4
    assert "functions of this version" in result.stderr
    assert team.raw.acl_users() == ["default"]


def test_service_runs_as_its_own_user(team: Team) -> None:
    planner = team.user("orchestrator")
    service = team.user("service")
    running = service.start(BIN / "orchestrate", "service")
    try:
        project = planner.orchestrate("project", "Build").stdout.strip()
        item = planner.orchestrate(
            "create", project, "It", "--assign", "ada"
        ).stdout.strip()
        handoffs = service.folder / ".task-orchestrator" / "handoffs"

        eventually(
            lambda: any(item in str(file) for file in handoffs.rglob("*"))
        )
    finally:
        running.terminate()
        _, stderr = running.communicate(timeout=20)

    assert "NOPERM" not in stderr
    assert running.returncode == 0, stderr
