"""Sources of the Redis password, and password files that are refused."""

import os
from pathlib import Path

import pytest
from taskorch.config import trust, user_folder
from taskorch.config.settings import Settings, resolve
from taskorch.domain import errors

URL = "redis://host"


def resolved(folder: Path, url: str = URL, **environment: str) -> Settings:
    return resolve(
        {"redis_url": url}, {"HOME": f"{folder}/home", **environment}, folder
    )


def written(
    folder: Path,
    content: bytes = b"from-file\n",
    mode: int = 0o600,
    name: str = "secret",
) -> Path:
    file = folder / name
    file.write_bytes(content)
    file.chmod(mode)
    return file


def test_variable_supplies_missing_password(
    tmp_path: Path,
) -> None:
    settings = resolved(tmp_path, TASKORCH_REDIS_PASSWORD="sesame")

    assert (settings.redis_password, settings.sources["redis_password"]) == (
        "sesame",
        "TASKORCH_REDIS_PASSWORD",
    )
    assert "sesame" not in repr(settings)


@pytest.mark.parametrize(
    "variable", ["TASKORCH_REDIS_PASSWORD", "TASKORCH_REDIS_PASSWORD_FILE"]
)
def test_variable_holding_its_own_name_is_ignored(
    tmp_path: Path, variable: str
) -> None:
    assert (
        resolved(tmp_path, **{variable: f"${variable}"}).redis_password == ""
    )


def test_password_precedence_is_address_variable_file(
    tmp_path: Path,
) -> None:
    both = {
        "TASKORCH_REDIS_PASSWORD": "variable",
        "TASKORCH_REDIS_PASSWORD_FILE": str(written(tmp_path)),
    }

    found = [
        resolved(tmp_path, "redis://ada:own@host", **both),
        resolved(tmp_path, "redis+sentinel://ada:own@one,two/main", **both),
        resolved(tmp_path, "redis://host?password=own", **both),
        resolved(tmp_path, "redis://ada@host", **both),
        resolved(
            tmp_path,
            TASKORCH_REDIS_PASSWORD_FILE=both["TASKORCH_REDIS_PASSWORD_FILE"],
        ),
        resolved(tmp_path),
    ]

    assert [each.redis_password for each in found] == [
        "",
        "",
        "",
        "variable",
        "from-file",
        "",
    ]
    assert [each.sources["redis_password"] for each in found] == [
        *["the address"] * 3,
        "TASKORCH_REDIS_PASSWORD",
        "TASKORCH_REDIS_PASSWORD_FILE",
        "default",
    ]


def config(root: Path, text: str, *, trusted: bool = True) -> None:
    """Write the config file of a root, trusted by the user with the home `home`."""
    file = root / ".task-orchestrator" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    if trusted:
        trust.trust({"HOME": f"{root}/home"}, str(file), text.encode())


def test_config_file_names_password_file_in_root(tmp_path: Path) -> None:
    config(tmp_path, 'redis_password_file = "keys/redis"')
    (tmp_path / "deep").mkdir()
    (tmp_path / "keys").mkdir()
    written(tmp_path / "keys", name="redis")

    settings = resolved(tmp_path / "deep", HOME=f"{tmp_path}/home")

    assert (settings.redis_password, settings.sources["redis_password"]) == (
        "from-file",
        "config.toml",
    )


def test_user_config_may_name_any_password_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", f"{tmp_path}/home")
    home = {"HOME": f"{tmp_path}/home"}
    beside = 'redis_password_file = "secret"'
    user_folder.write(home, "config.toml", beside.encode())
    user_folder.write(home, "secret", b"beside")
    found = [resolved(tmp_path)]
    for name in (written(tmp_path), "~/linked"):
        user_folder.write(
            home, "config.toml", f'redis_password_file = "{name}"'.encode()
        )
        (tmp_path / "home" / "linked").unlink(missing_ok=True)
        (tmp_path / "home" / "linked").symlink_to(tmp_path / "secret")
        found.append(resolved(tmp_path))

    assert [each.redis_password for each in found] == [
        "beside",
        "from-file",
        "from-file",
    ]
    assert {each.sources["redis_password"] for each in found} == {
        "your config.toml"
    }


@pytest.mark.parametrize(
    "name",
    [
        "{outside}",
        "~/key",
        "../key",
        "keys/../../key",
        "./secret",
        "link",
        "keys/secret",
        "keys//secret",
        "secret/",
    ],
)
def test_password_file_of_root_stays_inside(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    outside = written(tmp_path, b"PRIVATE KEY", name="key")
    written(root)
    (root / "home").mkdir()
    written(root / "home", b"PRIVATE KEY", name="key")
    (root / "link").symlink_to(outside)
    (root / "keys").symlink_to(root)
    config(root, f'redis_password_file = "{name.format(outside=outside)}"')

    with pytest.raises(
        errors.Usage,
        match=r"must be a relative path inside .*root, without symbolic links",
    ) as refusal:
        resolved(root)

    assert "PRIVATE KEY" not in str(refusal.value)


def test_untrusted_config_names_no_password_file(tmp_path: Path) -> None:
    written(tmp_path)
    config(tmp_path, 'redis_password_file = "secret"', trusted=False)

    with pytest.raises(
        errors.UntrustedConfig, match="sets redis_password_file"
    ):
        resolved(tmp_path)
    with_own_password = [
        resolved(tmp_path, TASKORCH_REDIS_PASSWORD="sesame"),
        resolved(tmp_path, "redis://:own@host"),
        resolved(tmp_path, ""),
    ]

    assert [each.redis_password for each in with_own_password] == [
        "sesame",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"a", "a"),
        (b"a\n", "a"),
        (b"a\r\n", "a"),
        (b"a\n\n", "a\n"),
        (b" a ", " a "),
        ("ä".encode(), "ä"),
    ],
)
def test_one_trailing_line_break_is_dropped(
    tmp_path: Path, content: bytes, password: str
) -> None:
    file = written(tmp_path, content)

    assert (
        resolved(
            tmp_path, TASKORCH_REDIS_PASSWORD_FILE=str(file)
        ).redis_password
        == password
    )


def test_private_password_file_is_used(tmp_path: Path) -> None:
    file = written(tmp_path, mode=0o400)

    assert (
        resolved(
            tmp_path, TASKORCH_REDIS_PASSWORD_FILE="secret"
        ).redis_password
        == "from-file"
    )
    assert file.stat().st_uid == os.getuid()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620, 0o611])
def test_password_file_open_to_others_is_refused(
    tmp_path: Path, mode: int
) -> None:
    file = written(tmp_path, mode=mode)

    with pytest.raises(errors.Usage, match=f"chmod 600 {file}"):
        resolved(tmp_path, TASKORCH_REDIS_PASSWORD_FILE=str(file))


@pytest.mark.skipif(
    os.getuid() != 0, reason="only root can give a file to another user"
)
def test_password_file_of_another_user_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path)
    os.chown(file, 12345, 12345)

    with pytest.raises(errors.Usage, match="Only you may own and read"):
        resolved(tmp_path, TASKORCH_REDIS_PASSWORD_FILE=str(file))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "UTF-8"),
        (b"x" * 5000, "longer than 4096"),
    ],
)
def test_invalid_password_file_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = written(tmp_path, content)

    with pytest.raises(errors.Usage, match=message):
        resolved(tmp_path, TASKORCH_REDIS_PASSWORD_FILE=str(file))


def test_password_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)

    for name, message in {
        "pipe": "is not a file",
        "none": "No such file",
        ".": "directory",
    }.items():
        with pytest.raises(errors.Usage, match=message):
            resolved(tmp_path, TASKORCH_REDIS_PASSWORD_FILE=name)


def test_bundled_server_needs_no_password(tmp_path: Path) -> None:
    settings = resolved(
        tmp_path,
        "",
        TASKORCH_REDIS_PASSWORD="sesame",
        TASKORCH_REDIS_PASSWORD_FILE="none",
    )

    assert (settings.redis_password, settings.sources["redis_password"]) == (
        "",
        "default",
    )


def test_replica_settings_come_from_config_and_environment(
    tmp_path: Path,
) -> None:
    config(tmp_path, 'wait_replicas = 2\nwait_timeout = "500ms"')

    filed, default = resolved(tmp_path), resolved(tmp_path.parent)
    varied = resolved(
        tmp_path, TASKORCH_WAIT_REPLICAS="1", TASKORCH_WAIT_TIMEOUT="3s"
    )

    assert (filed.wait_replicas, filed.wait_timeout_ms) == (2, 500)
    assert (varied.wait_replicas, varied.wait_timeout_ms) == (1, 3000)
    assert (default.wait_replicas, default.wait_timeout_ms) == (0, 2000)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WAIT_REPLICAS", "-1"),
        ("WAIT_REPLICAS", "101"),
        ("WAIT_REPLICAS", "one"),
        ("WAIT_REPLICAS", "1.5"),
        ("WAIT_TIMEOUT", "2"),
        ("WAIT_TIMEOUT", "0s"),
        ("WAIT_TIMEOUT", "soon"),
        ("RETENTION", "90"),
        ("RETENTION", "on"),
    ],
)
def test_invalid_number_is_refused_with_its_setting(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(
        errors.Usage, match=rf"{name.lower()} \(TASKORCH_{name}\): .*{value}"
    ):
        resolved(tmp_path, **{f"TASKORCH_{name}": value})
