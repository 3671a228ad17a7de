"""The tables `[[notify]]` of config.toml: what they may say, and where secrets are."""

from pathlib import Path

import pytest
from taskorch.config import settings, trust, user_folder
from taskorch.config.notify_target import NotifyTarget, hosts, targets
from taskorch.domain import errors
from taskorch.domain.notification import NotificationKind

URL = "https://hooks.example/T1/s3cret"


def target(**table: object) -> NotifyTarget:
    (found,) = targets([{"url": URL, **table}], "/home/ada/config.toml")
    return found


def test_url_alone_wants_all_events_as_json() -> None:
    found = target()

    assert found.events == tuple(NotificationKind)
    assert (found.format, found.host, found.port) == (
        "json",
        "hooks.example",
        443,
    )
    assert not found.include_text
    assert not found.allow_private
    assert found.board_url == ""


def test_address_is_in_no_text_of_target() -> None:
    found = target()

    assert "s3cret" not in repr(found)
    assert "s3cret" not in found.id


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"ulr": URL}, "unknown key 'ulr'"),
        ({}, "it has no url"),
        ({"url": 5}, "url must be text"),
        ({"url": "ftp://x/"}, "must be an address"),
        ({"url": "https://user:pass@x/"}, "must be an address"),
        ({"url": "https://x/a b"}, "must be an address"),
        ({"url": "https://x/a\r\nHost: y"}, "must be an address"),
        ({"url": "https://x:0/"}, "must be an address"),
        ({"url": "https://x:70000/"}, "must be an address"),
        ({"url": "https:///x"}, "must be an address"),
        ({"url": "https://x/" + "y" * 2000}, "must be an address"),
        ({"url": URL, "events": ["block"]}, "unknown event 'block'"),
        ({"url": URL, "events": [["blocked"]]}, "unknown event"),
        ({"url": URL, "events": []}, "events must be a list"),
        ({"url": URL, "events": "blocked"}, "events must be a list"),
        ({"url": URL, "format": "xml"}, "unknown format 'xml'"),
        ({"url": URL, "include_text": "yes"}, "must be true or false"),
        ({"url": URL, "allow_private": 1}, "must be true or false"),
        ({"url": URL, "board_url": "board"}, "board_url must be an address"),
        ({"url": URL, "secret_env": "A B"}, "the name of a variable"),
        (
            {"url": URL, "secret_env": "A", "secret_file": "b"},
            "exclude each other",
        ),
    ],
)
def test_wrong_table_is_refused_by_its_place(
    table: dict[str, object], words: str
) -> None:
    with pytest.raises(errors.Usage) as refusal:
        targets([table], "/x/config.toml")

    message = str(refusal.value)
    assert message.startswith("/x/config.toml, [[notify]] 1: ")
    assert words in message
    assert "s3cret" not in message


@pytest.mark.parametrize("tables", [{"url": URL}, "x", [1], [[]]])
def test_what_is_no_table_is_refused(tables: object) -> None:
    with pytest.raises(errors.Usage):
        targets(tables, "config.toml")


def test_two_tables_with_one_address_are_refused() -> None:
    with pytest.raises(errors.Usage, match="have the same url") as refusal:
        targets([{"url": URL}, {"url": URL, "format": "slack"}], "c")

    assert "s3cret" not in str(refusal.value)


def test_targets_of_one_host_have_different_names() -> None:
    found = targets(
        [{"url": URL}, {"url": URL + "2"}, {"url": "https://x/"}], "c"
    )

    assert hosts(found) == ["hooks.example (1)", "hooks.example (2)", "x"]


def test_secret_comes_from_variable_or_private_file(tmp_path: Path) -> None:
    file = tmp_path / "hook.key"
    file.write_text("k3y\n")
    file.chmod(0o600)

    by_file = target(secret_file=str(file)).secret({})
    by_variable = target(secret_env="HOOK").secret({"HOOK": "other"})

    assert (by_file, by_variable, target().secret({})) == ("k3y", "other", "")


def test_missing_and_open_secrets_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "hook.key"
    file.write_text("k3y\n")
    file.chmod(0o644)

    with pytest.raises(errors.Usage, match="chmod 600") as is_open:
        target(secret_file=str(file)).secret({})
    with pytest.raises(errors.Usage, match="HOOK"):
        target(secret_env="HOOK").secret({})

    assert "k3y" not in str(is_open.value)


def config(folder: Path, text: str) -> Path:
    file = folder / ".task-orchestrator" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def of_root(folder: Path, home: Path) -> tuple[NotifyTarget, ...]:
    environment = {"HOME": str(home)}
    resolved = settings.resolve({}, environment, folder)
    return settings.notify_targets(resolved, environment)


def test_targets_of_root_need_trust(tmp_path: Path) -> None:
    file = config(tmp_path, f'[[notify]]\nurl = "{URL}"\n')

    with pytest.raises(errors.UntrustedConfig):
        of_root(tmp_path, tmp_path / "home")
    environment = {"HOME": str(tmp_path / "home")}
    trust.trust(environment, str(file), file.read_bytes())

    (found,) = of_root(tmp_path, tmp_path / "home")
    assert (found.url, found.stays_inside) == (URL, True)
    assert found.folder == str(tmp_path)


def test_targets_of_user_count_without_those_of_root(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path / "home")}
    (tmp_path / ".task-orchestrator").mkdir()
    user_folder.write(
        environment, "config.toml", f'[[notify]]\nurl = "{URL}"\n'.encode()
    )

    (found,) = of_root(tmp_path, tmp_path / "home")

    assert (found.url, found.stays_inside) == (URL, False)


def test_typo_in_table_stops_every_command(tmp_path: Path) -> None:
    config(tmp_path, f'[[notify]]\nurl = "{URL}"\nevent = ["failed"]\n')

    with pytest.raises(errors.Usage, match="unknown key 'event'"):
        settings.resolve({}, {"HOME": str(tmp_path / "home")}, tmp_path)
