"""What the files of the containers promise, read without an engine; tests/compose/walk tries them with one."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[3]
COMPOSE = REPOSITORY / "docker-compose.yml"
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+):-([^}]*)\}")


def test_redis_is_published_on_loopback_by_default() -> None:
    assert _services()["redis"]["ports"] == ["127.0.0.1:6379:6379"]
    assert [
        name for name, service in _services().items() if "ports" in service
    ] == ["redis"]


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
    explained = {"REDIS_PASSWORD", "TASKORCH_ROOT", "TASKORCH_NO_RQ", "TZ"}
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
        "prepare",
        "service",
        "demo",
        "database_expert",
        "security_specialist",
        "backend_developer",
    }
    for service in ours.values():
        check = service.get("healthcheck", {}).get(
            "test", ["CMD", *service["entrypoint"]]
        )
        for start in (service["entrypoint"], check[1:]):
            assert start[:2] == ["sh", "-c"]
            assert start[2].startswith(
                'exec setpriv --reuid "$(stat -c %u "$0")" --regid "$(stat -c %g "$0")" '
            )
            assert start[3] in {
                "/project",
                "/project/.task-orchestrator",
                "/demo",
            }
        assert service["cap_drop"] == ["ALL"]
        assert service["cap_add"] == ["SETUID", "SETGID", "KILL"]


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
        "./.task-orchestrator:/project/.task-orchestrator"
    ]
    assert services["prepare"]["network_mode"] == "none"
    assert services["service"]["depends_on"]["prepare"] == {
        "condition": "service_completed_successfully"
    }


def test_no_compose_address_has_a_password() -> None:
    services = _services().values()
    addresses = [
        service["environment"].get("TASKORCH_REDIS_URL")
        for service in services
        if "environment" in service
    ]

    assert {address for address in addresses if address} == {
        "redis://redis:6379/0"
    }


def test_checkouts_share_no_image_name() -> None:
    ours = [
        service for name, service in _services().items() if name != "redis"
    ]

    assert [service["build"]["context"] for service in ours] == ["."] * len(
        ours
    )
    assert [service for service in ours if "image" in service] == []


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "192.168.1.2", "::", "1127.0.0.1"]
)
def test_published_redis_requires_a_password(
    address: str, tmp_path: Path
) -> None:
    ran = _start_redis(tmp_path, REDIS_BIND=address, REDIS_PASSWORD="")

    assert ran.returncode == 1
    assert ran.stdout == ""
    assert f"REFUSED: REDIS_BIND={address}" in ran.stderr
    assert "Set REDIS_PASSWORD" in ran.stderr


@pytest.mark.parametrize(
    "password",
    [
        'with"quote',
        "with space",
        "with@at",
        "with/slash",
        "new\nline",
        "%41",
        "é",
    ],
)
def test_password_must_fit_into_a_url(password: str, tmp_path: Path) -> None:
    ran = _start_redis(
        tmp_path, REDIS_BIND="127.0.0.1", REDIS_PASSWORD=password
    )

    assert ran.returncode == 1
    assert "REFUSED: REDIS_PASSWORD" in ran.stderr
    assert password not in ran.stderr


@pytest.mark.parametrize(
    ("address", "password"),
    [
        ("127.0.0.1", ""),
        ("127.0.0.2", ""),
        ("[::1]", ""),
        ("127.0.0.1", "a.B~3_-"),
        ("0.0.0.0", "a.B~3_-"),
    ],
)
def test_redis_reads_configuration_from_standard_input(
    address: str, password: str, tmp_path: Path
) -> None:
    ran = _start_redis(tmp_path, REDIS_BIND=address, REDIS_PASSWORD=password)

    command, *configuration = ran.stdout.splitlines()
    lines = [
        line for line in configuration if line and not line.startswith("#")
    ]
    assert command == "redis-server -"
    assert lines[:5] == [
        *(
            "appendonly yes",
            "appendfsync always",
            'save ""',
            "maxmemory 512mb",
            "maxmemory-policy noeviction",
        ),
    ]
    assert [line for line in lines if line.startswith("requirepass")] == (
        [f"requirepass {password}"] * bool(password)
    )


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
    text = VARIABLE.sub(lambda found: found[2], COMPOSE.read_text()).replace(
        "$$", "$"
    )
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


def _start_redis(
    folder: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the entry point of the container, with an image's own entry point that tells how it was called."""
    theirs = folder / "docker-entrypoint.sh"
    theirs.write_text('#!/bin/sh\necho "$*"\ncat\n')
    theirs.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "REDIS_MAXMEMORY": "512mb",
        **variables,
    }
    entry_point = _services()["redis"]["entrypoint"]
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
