"""A root's config file takes effect if it is trusted or concerns only its own folder."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from taskorch.config import settings, trust, user_folder
from taskorch.config.settings import Settings, resolve
from taskorch.domain import errors

URL = "redis://of-the-user"
ADDRESS = 'redis_url = "redis://attacker.example"'


@pytest.fixture
def environment(home: Path) -> Mapping[str, str]:
    return {"HOME": str(home)}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "checkout" / ".task-orchestrator").mkdir(parents=True)
    return tmp_path / "checkout"


def write_config(root: Path, text: str) -> str:
    file = settings.config_file_of(str(root))
    Path(file).write_text(text)
    return file


def resolved(
    folder: Path, environment: Mapping[str, str], **more: str
) -> Settings:
    return resolve({}, {**environment, **more}, folder)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (ADDRESS, "redis_url"),
        (f'namespace = "x"\n{ADDRESS}', "redis_url"),
    ],
)
def test_untrusted_config_names_no_address(
    checkout: Path, environment: Mapping[str, str], text: str, key: str
) -> None:
    file = write_config(checkout, text)

    with pytest.raises(errors.UntrustedConfig) as refusal:
        resolved(checkout, environment, TASKORCH_REDIS_PASSWORD="sesame")

    assert refusal.value.details == {"file": file, "key": key}
    assert refusal.value.exit_code == 5
    assert "orchestrate trust" in refusal.value.hint()


def test_trusted_file_takes_effect_until_it_changes(
    checkout: Path, environment: Mapping[str, str]
) -> None:
    file = write_config(checkout, ADDRESS)
    trust.trust(environment, file, ADDRESS.encode())
    trusted = resolved(checkout, environment, TASKORCH_REDIS_PASSWORD="sesame")

    write_config(checkout, ADDRESS.replace("attacker", "another"))

    assert (trusted.redis_url, trusted.redis_password) == (
        "redis://attacker.example",
        "sesame",
    )
    with pytest.raises(errors.UntrustedConfig):
        resolved(checkout, environment)


def test_trust_is_for_one_path(
    checkout: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "copy" / ".task-orchestrator").mkdir(parents=True)
    trust.trust(environment, write_config(checkout, ADDRESS), ADDRESS.encode())
    write_config(tmp_path / "copy", ADDRESS)

    with pytest.raises(errors.UntrustedConfig):
        resolved(tmp_path / "copy", environment)


def test_trust_is_for_one_user(
    checkout: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    trust.trust(environment, write_config(checkout, ADDRESS), ADDRESS.encode())

    with pytest.raises(errors.UntrustedConfig):
        resolved(checkout, {"HOME": str(tmp_path / "another")})


def test_removed_trust_no_longer_applies(
    checkout: Path, environment: Mapping[str, str]
) -> None:
    file = write_config(checkout, ADDRESS)
    trust.trust(environment, file, ADDRESS.encode())

    first, second = (
        trust.forget(environment, file),
        trust.forget(environment, file),
    )

    assert (first, second) == (True, False)
    assert trust.records(environment) == ()
    with pytest.raises(errors.UntrustedConfig):
        resolved(checkout, environment)


def test_damaged_trust_record_is_not_listed(
    checkout: Path, environment: Mapping[str, str]
) -> None:
    file = write_config(checkout, ADDRESS)
    trust.trust(environment, "/z/config.toml", b"")
    trust.trust(environment, file, ADDRESS.encode())
    user_folder.write(environment, "trust/damaged", b"\xff[")

    assert [record.file for record in trust.records(environment)] == sorted(
        [file, "/z/config.toml"]
    )


@pytest.mark.parametrize(
    "text",
    [
        'namespace = "theirs"',
        "wait_replicas = 0",
        'wait_timeout = "1h"',
        'retention = "1s"',
    ],
)
def test_untrusted_config_sets_nothing_for_named_redis(
    checkout: Path, environment: Mapping[str, str], text: str
) -> None:
    write_config(checkout, text)

    with pytest.raises(errors.UntrustedConfig):
        resolved(checkout, environment, TASKORCH_REDIS_URL=URL)
    user_folder.write(
        environment, "config.toml", f'redis_url = "{URL}"'.encode()
    )
    with pytest.raises(errors.UntrustedConfig):
        resolved(checkout, environment)


def test_untrusted_config_may_configure_bundled_server(
    checkout: Path, environment: Mapping[str, str]
) -> None:
    write_config(
        checkout, 'namespace = "theirs"\nservice = false\nwait_timeout = "3s"'
    )

    settings = resolved(checkout, environment)

    assert (settings.redis_url, settings.namespace, settings.service) == (
        "",
        "theirs",
        False,
    )
    assert settings.wait_timeout_ms == 3000


def test_untrusted_value_without_effect_is_accepted(
    checkout: Path, environment: Mapping[str, str]
) -> None:
    write_config(
        checkout,
        f'{ADDRESS}\nnamespace = "theirs"\nredis_password_file = "key"\nservice = "off"',
    )

    settings = resolved(
        checkout,
        environment,
        TASKORCH_REDIS_URL=URL,
        TASKORCH_NAMESPACE="mine",
        TASKORCH_REDIS_PASSWORD="sesame",
    )

    assert (
        settings.redis_url,
        settings.namespace,
        settings.redis_password,
    ) == (
        URL,
        "mine",
        "sesame",
    )


def test_user_config_needs_no_trust(
    checkout: Path, environment: Mapping[str, str]
) -> None:
    user_folder.write(
        environment,
        "config.toml",
        f'redis_url = "{URL}"\nnamespace = "mine"'.encode(),
    )

    settings = resolved(checkout, environment)

    assert (settings.redis_url, settings.namespace) == (URL, "mine")
    assert settings.sources["namespace"] == "your config.toml"


def test_mistake_in_user_config_names_the_file(
    checkout: Path, environment: Mapping[str, str], home: Path
) -> None:
    user_folder.write(environment, "config.toml", b"redis = 1")

    with pytest.raises(
        errors.Usage,
        match=f"{home}/.config/task-orchestrator/config.toml has an unknown key",
    ):
        resolved(checkout, environment)


def test_long_config_file_is_refused(
    checkout: Path, environment: Mapping[str, str]
) -> None:
    write_config(checkout, "#" * (user_folder.LONGEST_BYTES + 1))

    with pytest.raises(errors.Usage, match="longer than 65536 bytes"):
        resolved(checkout, environment)
