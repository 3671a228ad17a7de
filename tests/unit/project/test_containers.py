"""What the files of the containers promise, read without an engine; tests/compose/walk tries them with one."""

import os
import re
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[3]
COMPOSE = REPOSITORY / "docker-compose.yml"
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+):-([^}]*)\}")


def test_ports_are_published_on_loopback_by_default() -> None:
    published = {
        name: service["ports"]
        for name, service in _services().items()
        if "ports" in service
    }

    assert published == {
        "redis": ["127.0.0.1:6379:6379"],
        "gateway": ["127.0.0.1:8650:8650"],
    }


def test_redis_and_its_clients_share_an_internal_network() -> None:
    networks = {
        name: service.get("networks", [])
        for name, service in _services().items()
    }
    defined = _compose()["networks"]

    assert defined["queue"] == {"internal": True}
    assert networks.pop("prepare") == []
    assert networks.pop("redis") == ["queue", "published"]
    assert networks.pop("gateway") == ["queue", "outside"]
    assert set(map(tuple, networks.values())) == {("queue",)}


def test_variable_makes_the_published_network_internal() -> None:
    text = COMPOSE.read_text()

    assert _compose()["networks"]["published"] == {"internal": False}
    assert "    internal: ${REDIS_INTERNAL:-false}\n" in text


def test_every_compose_variable_has_a_documented_default() -> None:
    text = re.sub(r"^ *#.*", "", COMPOSE.read_text(), flags=re.MULTILINE)
    variables = dict(VARIABLE.findall(text))

    example = dict(
        re.findall(
            r"^#(\w+)=(.*)$",
            (REPOSITORY / ".env.example").read_text(),
            re.MULTILINE,
        )
    )

    assert len(re.findall(r"(?<!\$)\$(?!\$)", text)) == len(
        VARIABLE.findall(text)
    )
    assert set(example) == {
        *variables,
        "COMPOSE_PROJECT_NAME",
    }  # which compose itself reads
    # There an example helps more than the default.
    explained = {"TASKORCH_ROOT", "TASKORCH_NO_RQ", "TZ"}
    assert {name: example[name] for name in variables.keys() - explained} == {
        name: variables[name] for name in variables.keys() - explained
    }


def test_root_container_runs_as_owner_of_folder() -> None:
    ours = {
        name: service
        for name, service in _services().items()
        if name != "redis"
    }

    assert set(ours) == {
        *("prepare", "users", "service", "gateway", "administrator"),
        *("demo", "demo-users", "database_expert", "security_specialist"),
        "backend_developer",
    }
    for name, service in ours.items():
        check = service.get("healthcheck", {}).get(
            "test", ["CMD", *service["entrypoint"]]
        )
        for start in (service["entrypoint"], check[1:]):
            assert start[:2] in (["sh", "-c"], ["sh", "-euc"])
            assert (
                'exec setpriv --reuid "$(stat -c %u "$0")" --regid "$(stat -c %g "$0")" '
                in start[2]
            )
            assert start[3] in {
                *("/project", "/project/.task-orchestrator"),
                *("/demo", "/gateway", "/passwords"),
            }
        more = ["CHOWN"] if name == "prepare" else []
        assert service["cap_drop"] == ["ALL"]
        assert service["cap_add"] == ["SETUID", "SETGID", "KILL", *more]


def test_every_container_is_confined() -> None:
    for name, service in _services().items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert service["mem_limit"], name
        assert service["pids_limit"], name


def test_service_sees_only_its_folder() -> None:
    services = _services()

    assert services["service"]["volumes"] == [
        "./.task-orchestrator:/project/.task-orchestrator",
        "service-password:/service:ro",
    ]
    assert services["prepare"]["network_mode"] == "none"
    for name, first in {
        "redis": "prepare",
        "users": "prepare",
        "service": "users",
        "gateway": "users",
    }.items():
        assert services[name]["depends_on"][first] == {
            "condition": "service_completed_successfully"
        }


def test_password_of_a_role_reaches_its_containers_alone() -> None:
    mounted: dict[str, dict[str, str]] = {}
    for name, service in _services().items():
        for volume in service.get("volumes", []):
            source, _, place = str(volume).partition(":")
            mounted.setdefault(source, {})[name] = place
    makers = {"prepare", "users"}
    administrators = {
        *("prepare", "redis", "users", "administrator", "demo-users")
    }

    assert set(mounted["administrator"]) == administrators
    assert set(mounted["service-password"]) == {*makers, "service"}
    assert set(mounted["gateway-password"]) == {*makers, "gateway"}
    assert mounted["service-password"]["service"].endswith(":ro")
    assert mounted["gateway-password"]["gateway"].endswith(":ro")


def test_compose_address_names_a_user_without_password() -> None:
    users = {
        name: service["environment"]["TASKORCH_REDIS_URL"]
        for name, service in _services().items()
        if "TASKORCH_REDIS_URL" in service.get("environment", {})
    }

    assert {
        name: re.fullmatch(r"redis://([^:@]+)@redis:6379/0", address)[1]  # type: ignore[index]
        for name, address in users.items()
    } == {
        **dict.fromkeys(
            ("users", "administrator", "demo-users"), "administrator"
        ),
        "service": "taskorch+default+service",
        "gateway": "taskorch+default+admin",
        "demo": "taskorch+demo+admin",
        **{
            name: f"taskorch+demo+worker+{name}"
            for name in ("database_expert", "security_specialist")
        },
        "backend_developer": "taskorch+demo+worker+backend_developer",
    }


def test_checkouts_share_no_image_name() -> None:
    ours = [
        service for name, service in _services().items() if name != "redis"
    ]

    assert [service["build"]["context"] for service in ours] == ["."] * len(
        ours
    )
    assert [service for service in ours if "image" in service] == []


PASSWORD = "open-sesame"
HASH = sha256(PASSWORD.encode()).hexdigest()


def test_redis_reads_configuration_from_standard_input(
    tmp_path: Path,
) -> None:
    ran = _start_redis(tmp_path)

    command, *configuration = ran.stdout.splitlines()
    lines = [
        line for line in configuration if line and not line.startswith("#")
    ]
    assert command == "redis-server -"
    assert lines[:6] == [
        f"aclfile {tmp_path}/users.acl",
        *("appendonly yes", "appendfsync always", 'save ""'),
        *("maxmemory 512mb", "maxmemory-policy noeviction"),
    ]
    assert PASSWORD not in ran.stdout + ran.stderr


def test_file_of_users_has_hashes_alone(tmp_path: Path) -> None:
    _start_redis(tmp_path)

    users = (tmp_path / "users.acl").read_text()

    # a user that is off keeps its rights, under which Redis replays its file
    assert users.splitlines() == [
        "user default off ~* &* +@all",
        f"user administrator on #{HASH} ~* &* +@all",
    ]


def test_restart_keeps_the_users_of_roles(tmp_path: Path) -> None:
    users = tmp_path / "users.acl"
    others = "user taskorch+default+worker+ada on #00 ~x +get\n"
    users.write_text(f"user administrator on #11\nuser default on\n{others}")

    _start_redis(tmp_path)

    assert users.read_text().endswith(f"#{HASH} ~* &* +@all\n{others}")
    assert users.read_text().count("user administrator ") == 1
    assert "user default on" not in users.read_text()


def test_image_has_plain_user_and_no_build_tools() -> None:
    instructions = _instructions()
    last = max(
        number
        for number, (word, _) in enumerate(instructions)
        if word == "FROM"
    )
    stage = instructions[last:]

    users = [argument for word, argument in stage if word == "USER"]

    assert [word for word, _ in instructions].count("FROM") == 2
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    assert not [
        argument
        for word, argument in stage
        if word == "RUN" and re.search(r"\b(pip|apt-get)\b", argument)
    ]


def test_engine_receives_only_the_image_sources() -> None:
    lines = [
        line
        for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
        if not line.startswith("#")
    ]
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}

    copied = [
        argument.split()[:-1]
        for word, argument in _instructions()
        if word == "COPY" and "--from" not in argument
    ]

    assert lines[0] == "*"
    assert sent == {name for names in copied for name in names}


def test_image_installs_nothing_that_the_lock_lacks() -> None:
    installs = re.findall(
        r"pip --python \S+ install .*?(?=&&|$)",
        "\n".join(argument for _, argument in _instructions()),
        re.MULTILINE,
    )

    assert len(installs) == 3
    for install in installs:
        assert (
            "--require-hashes --requirement lock/" in install
            or "--no-index --no-deps" in install
        )


def _services() -> dict[str, Any]:
    """Return the services as they are with no variable set."""
    services: dict[str, Any] = _compose()["services"]
    return services


def _compose() -> dict[str, Any]:
    """Return the file as it is with no variable set."""
    text = VARIABLE.sub(lambda found: found[2], COMPOSE.read_text()).replace(
        "$$", "$"
    )
    compose: dict[str, Any] = yaml.safe_load(text)
    return compose


def _start_redis(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the entry point of the container, with an image's own entry point that tells how it was called."""
    theirs = folder / "docker-entrypoint.sh"
    theirs.write_text('#!/bin/sh\necho "$*"\ncat\n')
    theirs.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "REDIS_MAXMEMORY": "512mb",
    }
    password = folder / "password"
    password.write_text(PASSWORD)
    places = {"/data": str(folder), "/administrator": str(folder)}
    entry_point = _services()["redis"]["entrypoint"]
    for place, here in places.items():
        entry_point = [word.replace(place, here) for word in entry_point]
    return subprocess.run(
        entry_point,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _instructions() -> list[tuple[str, str]]:
    text = re.sub(
        r"^#.*\n",
        "",
        (REPOSITORY / "Dockerfile").read_text(),
        flags=re.MULTILINE,
    ).replace("\\\n", "")
    return [
        (word, argument)
        for word, _, argument in (
            line.partition(" ") for line in text.splitlines() if line
        )
    ]
