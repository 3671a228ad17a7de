"""Precedence of settings, the root, and the content of config files."""

from pathlib import Path

import pytest
from taskorch.config import trust, user_folder
from taskorch.config.settings import Settings, resolve
from taskorch.domain import errors, limits
from taskorch.transport import address
from taskorch.transport.address import socket_path

DAY_MS = 24 * 3_600_000


def resolved(
    folder: Path, agent_flag: str = "", url_flag: str = "", **environment: str
) -> Settings:
    return resolve(
        {"agent_id": agent_flag, "redis_url": url_flag},
        {"HOME": "/nowhere", **environment},
        folder,
    )


def config(folder: Path, text: str) -> Path:
    (folder / ".task-orchestrator").mkdir(exist_ok=True)
    (folder / ".task-orchestrator" / "config.toml").write_text(text)
    return folder


def test_first_place_that_sets_a_value_wins(tmp_path: Path) -> None:
    config(tmp_path, 'redis_url = "redis://root"')
    home = {"HOME": str(tmp_path / "home")}
    user_folder.write(home, "config.toml", b'redis_url = "redis://user"')
    trust.trust(
        home,
        f"{tmp_path}/.task-orchestrator/config.toml",
        b'redis_url = "redis://root"',
    )
    (tmp_path / "elsewhere" / ".task-orchestrator").mkdir(parents=True)

    urls = [
        resolved(
            tmp_path,
            url_flag="redis://flag",
            TASKORCH_REDIS_URL="redis://ours",
            **home,
        ),
        resolved(
            tmp_path,
            TASKORCH_REDIS_URL="redis://ours",
            REDIS_URL="redis://any",
            **home,
        ),
        resolved(tmp_path, REDIS_URL="redis://any", **home),
        resolved(tmp_path, **home),
        resolved(tmp_path / "elsewhere", **home),
        resolved(tmp_path / "elsewhere"),
    ]

    assert [
        (
            settings.redis_url.removeprefix("redis://"),
            settings.sources["redis_url"],
        )
        for settings in urls
    ] == [
        ("flag", "--redis-url"),
        ("ours", "TASKORCH_REDIS_URL"),
        ("any", "REDIS_URL"),
        ("root", "config.toml"),
        ("user", "your config.toml"),
        ("", "default"),
    ]


def test_default_address_is_the_bundled_server(tmp_path: Path) -> None:
    settings = resolved(tmp_path)

    assert settings.redis_url == ""
    assert (
        address.url_of(settings)
        == f"unix://{socket_path(f'{tmp_path}/.task-orchestrator')}"
    )


def test_agent_is_never_guessed(tmp_path: Path) -> None:
    assert resolved(tmp_path).agent == ""
    assert resolved(tmp_path, TM_AGENT_ID="old").agent == "old"
    assert resolved(tmp_path, TM_AGENT_ID="old", AGENT_ID="new").agent == "new"
    assert (
        resolved(tmp_path, agent_flag="flag", AGENT_ID="new").agent == "flag"
    )


def test_root_is_nearest_parent_with_our_folder(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / ".task-orchestrator").mkdir()
    (tmp_path / "a" / ".git").mkdir()

    assert resolved(deep).root == tmp_path


def test_root_without_our_folder_is_git_checkout(
    tmp_path: Path,
) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    repository(tmp_path)

    assert resolved(deep).root == tmp_path


def worktree(folder: Path, git: Path, name: str = "w") -> Path:
    """Make a linked worktree, as git does, of the repository whose `.git` is given."""
    own = git / "worktrees" / name
    own.mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (own / "HEAD").write_text("ref: refs/heads/other\n")
    (own / "commondir").write_text("../..\n")
    (own / "gitdir").write_text(f"{folder}/.git\n")
    (folder / "deep").mkdir(parents=True)
    (folder / ".git").write_text(f"gitdir: {own}\n")
    return folder


def repository(folder: Path) -> Path:
    """Make an empty git checkout."""
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    return folder


def test_worktree_belongs_to_its_main_checkout(tmp_path: Path) -> None:
    main = tmp_path / "main"

    assert (
        resolved(worktree(tmp_path / "worktree", main / ".git")).root == main
    )


@pytest.mark.parametrize("place", ["beside", "main/.trees/one"])
@pytest.mark.parametrize("is_set_up", [True, False])
def test_each_worktree_is_its_own_session(
    tmp_path: Path, place: str, *, is_set_up: bool
) -> None:
    main = tmp_path / "main"
    one, two = (
        worktree(tmp_path / place, main / ".git", "one"),
        worktree(tmp_path / "two", main / ".git", "two"),
    )
    if is_set_up:
        (main / ".task-orchestrator").mkdir()

    found = [resolved(folder) for folder in (one, one / "deep", two, main)]

    assert {settings.root for settings in found} == {main}
    assert found[0].session == found[1].session
    assert [settings.session[:4] for settings in found] == [
        "one-",
        "one-",
        "two-",
        "",
    ]
    assert [settings.sources["session"] for settings in found] == [
        "the git worktree"
    ] * 3 + ["default"]


@pytest.mark.parametrize(
    ("environment", "pools", "source"),
    [
        ({}, ("ours",), "config.toml"),
        ({"AGENT_POOLS": "b, a"}, ("b", "a"), "AGENT_POOLS"),
        ({"AGENT_POOLS": ""}, (), "AGENT_POOLS"),
    ],
)
def test_empty_pools_differ_from_none(
    tmp_path: Path,
    environment: dict[str, str],
    pools: tuple[str, ...],
    source: str,
) -> None:
    unset = resolved(tmp_path)
    config(tmp_path, 'pools = ["ours"]')

    settings = resolved(tmp_path, **environment)

    assert (settings.pools, settings.sources["pools"]) == (pools, source)
    assert unset.pools is None


@pytest.mark.parametrize(
    ("value", "source"), [("monday", "AGENT_SESSION"), ("", "default")]
)
def test_agent_session_overrides_worktree(
    tmp_path: Path, value: str, source: str
) -> None:
    settings = resolved(
        worktree(tmp_path / "tree", tmp_path / "main" / ".git"),
        AGENT_SESSION=value,
    )

    assert (settings.session, settings.sources["session"]) == (value, source)


def test_worktrees_of_bare_repository_are_sessions(
    tmp_path: Path,
) -> None:
    (tmp_path / ".task-orchestrator").mkdir()
    one, two = (
        worktree(tmp_path / name, tmp_path / ".bare", name)
        for name in ("one", "two")
    )

    assert resolved(one).session != resolved(two).session != ""


def test_worktrees_with_same_name_are_two_sessions(
    tmp_path: Path,
) -> None:
    one, two = (
        worktree(tmp_path / name, tmp_path / f"of-{name}" / ".git")
        for name in ("one", "two")
    )

    assert (
        resolved(one, TASKORCH_ROOT=str(tmp_path)).session
        != resolved(two, TASKORCH_ROOT=str(tmp_path)).session
    )


@pytest.mark.parametrize("root", [".", "deep"])
def test_worktree_with_its_own_root_is_no_session(
    tmp_path: Path, root: str
) -> None:
    tree = worktree(tmp_path / "tree", tmp_path / "main" / ".git")
    (tree / root / ".task-orchestrator").mkdir()

    assert resolved(tree / "deep").session == ""


@pytest.mark.parametrize(
    "name", ["größe 設計", "設計", "..", "-x", "x" * 200, "a..b"]
)
def test_any_worktree_name_makes_a_session_name(
    tmp_path: Path, name: str
) -> None:
    git = tmp_path / "main" / ".git"
    tree = worktree(tmp_path / "tree", git, f"{name} of mine")

    session = resolved(tree).session

    assert limits.name(session, "a session") == session


@pytest.mark.parametrize("text", ["", "gitdir: /nowhere\n", "\0"])
def test_broken_git_file_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / ".git").write_text(text)

    assert resolved(tmp_path).root == tmp_path


def test_taskorch_root_takes_precedence(tmp_path: Path) -> None:
    (tmp_path / ".task-orchestrator").mkdir()

    assert resolved(tmp_path, TASKORCH_ROOT="/elsewhere").root == Path(
        "/elsewhere"
    )


@pytest.mark.parametrize(
    "spelling", ["link", "place/../place", "./place//", "link/../place"]
)
def test_root_path_is_normalized(tmp_path: Path, spelling: str) -> None:
    root = tmp_path / "place"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)

    assert resolved(tmp_path, TASKORCH_ROOT=spelling).root_path == str(root)
    assert resolved(
        root, TASKORCH_ROOT=f"{tmp_path}/{spelling}"
    ).root_path == str(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('redis_ulr = "redis://x"', "unknown key 'redis_ulr'"),
        ("namespace = 3", "namespace must be text"),
        ("namespace = true", "namespace must be text"),
        ("service = 1", "service must be text"),
        ("namespace =", "not TOML"),
    ],
)
def test_invalid_config_file_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    config(tmp_path, text)

    with pytest.raises(errors.Usage, match=message):
        resolved(tmp_path)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("true", True),
        ("false", False),
        ('"on"', True),
        ('"off"', False),
        ('"No"', False),
        ('"1"', True),
        ('"0"', False),
    ],
)
def test_service_is_a_word_or_a_boolean(
    tmp_path: Path, value: str, *, wanted: bool
) -> None:
    config(tmp_path, f"service = {value}")

    settings = resolved(tmp_path)

    assert (settings.service, settings.sources["service"]) == (
        wanted,
        "config.toml",
    )
    assert resolved(tmp_path, TASKORCH_SERVICE="YES").service
    assert not resolved(tmp_path, TASKORCH_SERVICE="Off").service


def test_service_is_on_by_default(tmp_path: Path) -> None:
    assert resolved(tmp_path).service
    assert resolved(tmp_path, TASKORCH_SERVICE="").service


def test_invalid_switch_is_refused_with_its_source(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        errors.Usage,
        match=r"service \(TASKORCH_SERVICE\) must be on or off, not 'enabled'",
    ):
        resolved(tmp_path, TASKORCH_SERVICE="enabled")

    config(tmp_path, 'service = "never"')
    with pytest.raises(
        errors.Usage,
        match=r"service \(config.toml\) must be on or off, not 'never'",
    ):
        resolved(tmp_path)


@pytest.mark.parametrize(
    "name", ["../evil", "a..b", "", " ", "x" * 65, "a/b", "{a}", "-a"]
)
def test_invalid_namespace_is_refused(tmp_path: Path, name: str) -> None:
    if not name:
        assert (
            resolved(tmp_path, TASKORCH_NAMESPACE=name).namespace == "default"
        )
        return

    with pytest.raises(errors.Invalid, match="a name for a namespace"):
        resolved(tmp_path, TASKORCH_NAMESPACE=name)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:pa:ss@host:6379/0", "redis://***@host:6379/0"),
        ("redis://:p@ss@host", "redis://***@host"),
        (
            "redis://host/0?password=secret&db=1",
            "redis://host/0?password=***&db=1",
        ),
        ("redis://PASSWORD@host:6379/0", "redis://***@host:6379/0"),
        ("redis://host:PASSWORD", "redis://…"),
        ("PASSWORD@host:6379", "…"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert address.redacted(url) == shown


@pytest.mark.parametrize(
    ("value", "retention_ms"),
    [("", 90 * DAY_MS), ("30d", 30 * DAY_MS), ("off", 0), ("OFF", 0)],
)
def test_retention_is_a_duration_or_off(
    tmp_path: Path, value: str, retention_ms: int
) -> None:
    settings = resolve(
        {}, {"TASKORCH_RETENTION": value, "HOME": str(tmp_path)}, tmp_path
    )

    assert settings.retention_ms == retention_ms


def test_wrong_retention_names_a_duration_and_off(tmp_path: Path) -> None:
    with pytest.raises(errors.Usage) as refusal:
        resolved(tmp_path, TASKORCH_RETENTION="never")

    message = str(refusal.value)
    assert (
        "retention (TASKORCH_RETENTION): 'never' is not a duration" in message
    )
    assert message.endswith("To keep all projects in Redis: off.")


def test_gateway_takes_the_place_of_redis(tmp_path: Path) -> None:
    gateway = "https://queue.example"

    found = [
        resolved(tmp_path, TASKORCH_URL=gateway, REDIS_URL="redis://any"),
        resolved(
            tmp_path, TASKORCH_URL=gateway, TASKORCH_REDIS_URL="redis://ours"
        ),
        resolved(tmp_path, url_flag="redis://flag", TASKORCH_URL=gateway),
        resolve(
            {"url": gateway, "redis_url": ""},
            {"HOME": "/nowhere", "TASKORCH_REDIS_URL": "redis://ours"},
            tmp_path,
        ),
    ]

    assert [(each.redis_url, each.sources["redis_url"]) for each in found] == [
        (gateway, "TASKORCH_URL"),
        (gateway, "TASKORCH_URL"),
        ("redis://flag", "--redis-url"),
        (gateway, "--url"),
    ]


def test_access_token_is_read_for_a_gateway_only(tmp_path: Path) -> None:
    token = {"TASKORCH_TOKEN": "tok_secret"}

    over_gateway = resolved(tmp_path, TASKORCH_URL="https://host", **token)
    over_redis = resolved(tmp_path, TASKORCH_REDIS_URL="redis://host", **token)

    assert over_gateway.access_token == "tok_secret"
    assert over_redis.access_token == ""
    assert "tok_secret" not in repr(over_gateway)


@pytest.mark.parametrize("key", ["url", "token_file"])
def test_gateway_of_a_checkout_needs_trust(tmp_path: Path, key: str) -> None:
    config(tmp_path, f'{key} = "https://queue.example"')
    environment = {"TASKORCH_URL": "https://host"} if key != "url" else {}

    with pytest.raises(errors.UntrustedConfig, match=f"sets {key}"):
        resolved(tmp_path, **environment)
