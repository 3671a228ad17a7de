"""Where the password of Redis comes from, which files are refused, and that the settings do not show it."""

import os
from pathlib import Path

import pytest
from taskorch import errors
from taskorch.settings import Settings, resolve

URL = "redis://host"


def resolved(folder: Path, url: str = URL, **environment: str) -> Settings:
    return resolve({"redis_url": url}, environment, folder)


def written(folder: Path, content: bytes = b"from-file\n", mode: int = 0o600, name: str = "secret") -> Path:
    file = folder / name
    file.write_bytes(content)
    file.chmod(mode)
    return file


def test_a_variable_has_the_password_of_an_address_that_has_none(tmp_path: Path) -> None:
    settings = resolved(tmp_path, TASKORCH_REDIS_PASSWORD="sesame")

    assert (settings.redis_password, settings.sources["redis_password"]) == ("sesame", "TASKORCH_REDIS_PASSWORD")
    assert "sesame" not in repr(settings)


@pytest.mark.parametrize("variable", ["TASKORCH_REDIS_PASSWORD", "TASKORCH_REDIS_PASSWORD_FILE"])
def test_a_variable_that_says_its_own_name_says_nothing(tmp_path: Path, variable: str) -> None:
    assert resolved(tmp_path, **{variable: f"${variable}"}).redis_password == ""


def test_the_address_wins_over_the_variable_and_that_over_the_file(tmp_path: Path) -> None:
    both = {"TASKORCH_REDIS_PASSWORD": "variable", "TASKORCH_REDIS_PASSWORD_FILE": str(written(tmp_path))}

    found = [
        resolved(tmp_path, "redis://ada:own@host", **both),
        resolved(tmp_path, "redis+sentinel://ada:own@one,two/main", **both),
        resolved(tmp_path, "redis://host?password=own", **both),
        resolved(tmp_path, "redis://ada@host", **both),
        resolved(tmp_path, TASKORCH_REDIS_PASSWORD_FILE=both["TASKORCH_REDIS_PASSWORD_FILE"]),
        resolved(tmp_path),
    ]

    assert [each.redis_password for each in found] == ["", "", "", "variable", "from-file", ""]
    assert [each.sources["redis_password"] for each in found] == [
        *["the address"] * 3,
        "TASKORCH_REDIS_PASSWORD",
        "TASKORCH_REDIS_PASSWORD_FILE",
        "default",
    ]


def test_a_config_file_may_name_a_file_of_the_root(tmp_path: Path) -> None:
    (tmp_path / ".task-orchestrator").mkdir()
    (tmp_path / ".task-orchestrator" / "config.toml").write_text('redis_password_file = "secret"')
    (tmp_path / "deep").mkdir()
    written(tmp_path)

    settings = resolved(tmp_path / "deep")

    assert (settings.redis_password, settings.sources["redis_password"]) == ("from-file", "config.toml")


@pytest.mark.parametrize(
    ("content", "password"),
    [(b"a", "a"), (b"a\n", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b" a ", " a "), ("ä".encode(), "ä")],
)
def test_one_line_break_at_the_end_of_a_file_is_dropped(tmp_path: Path, content: bytes, password: str) -> None:
    file = written(tmp_path, content)

    assert resolved(tmp_path, TASKORCH_REDIS_PASSWORD_FILE=str(file)).redis_password == password


def test_a_file_that_only_its_owner_can_read_is_taken(tmp_path: Path) -> None:
    file = written(tmp_path, mode=0o400)

    assert resolved(tmp_path, TASKORCH_REDIS_PASSWORD_FILE="secret").redis_password == "from-file"
    assert file.stat().st_uid == os.getuid()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620, 0o611])
def test_a_file_that_others_can_get_at_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    file = written(tmp_path, mode=mode)

    with pytest.raises(errors.Usage, match=f"chmod 600 {file}"):
        resolved(tmp_path, TASKORCH_REDIS_PASSWORD_FILE=str(file))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to somebody else")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path)
    os.chown(file, 12345, 12345)

    with pytest.raises(errors.Usage, match="not yours alone"):
        resolved(tmp_path, TASKORCH_REDIS_PASSWORD_FILE=str(file))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "is empty"), (b"\n", "is empty"), (b"\xff", "UTF-8"), (b"x" * 5000, "longer than 4096")],
)
def test_a_file_that_holds_no_password_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = written(tmp_path, content)

    with pytest.raises(errors.Usage, match=complaint):
        resolved(tmp_path, TASKORCH_REDIS_PASSWORD_FILE=str(file))


def test_what_is_no_file_is_refused_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)

    for name, complaint in {"pipe": "is not a file", "none": "No such file", ".": "directory"}.items():
        with pytest.raises(errors.Usage, match=complaint):
            resolved(tmp_path, TASKORCH_REDIS_PASSWORD_FILE=name)


def test_the_bundled_server_needs_no_password_and_no_file(tmp_path: Path) -> None:
    settings = resolved(tmp_path, "", TASKORCH_REDIS_PASSWORD="sesame", TASKORCH_REDIS_PASSWORD_FILE="none")

    assert (settings.redis_password, settings.sources["redis_password"]) == ("", "default")


def test_replicas_to_wait_for_are_a_number_and_a_time(tmp_path: Path) -> None:
    (tmp_path / ".task-orchestrator").mkdir()
    config = tmp_path / ".task-orchestrator" / "config.toml"
    config.write_text('wait_replicas = 2\nwait_timeout = "500ms"')

    filed, default = resolved(tmp_path), resolved(tmp_path.parent)
    varied = resolved(tmp_path, TASKORCH_WAIT_REPLICAS="1", TASKORCH_WAIT_TIMEOUT="3s")

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
    ],
)
def test_a_number_or_a_time_that_is_none_is_refused_by_its_name(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(errors.Usage, match=rf"{name.lower()} \(TASKORCH_{name}\): .*{value}"):
        resolved(tmp_path, **{f"TASKORCH_{name}": value})
