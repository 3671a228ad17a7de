"""Which setting wins, where the root is, and what a config file may say."""

from pathlib import Path

import pytest
from taskorch.config import trust, user_folder
from taskorch.config.settings import Settings, resolve
from taskorch.domain import errors, limits
from taskorch.transport import address
from taskorch.transport.server_address import socket_path


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
            tmp_path, url_flag="redis://flag", TASKORCH_REDIS_URL="redis://ours", **home
        ),
        resolved(
            tmp_path, TASKORCH_REDIS_URL="redis://ours", REDIS_URL="redis://any", **home
        ),
        resolved(tmp_path, REDIS_URL="redis://any", **home),
        resolved(tmp_path, **home),
        resolved(tmp_path / "elsewhere", **home),
        resolved(tmp_path / "elsewhere"),
    ]

    assert [
        (settings.redis_url.removeprefix("redis://"), settings.sources["redis_url"])
        for settings in urls
    ] == [
        ("flag", "--redis-url"),
        ("ours", "TASKORCH_REDIS_URL"),
        ("any", "REDIS_URL"),
        ("root", "config.toml"),
        ("user", "your config.toml"),
        ("", "default"),
    ]


def test_with_no_address_it_is_the_bundled_server_of_the_root(tmp_path: Path) -> None:
    settings = resolved(tmp_path)

    assert settings.redis_url == ""
    assert (
        address.of(settings)
        == f"unix://{socket_path(f'{tmp_path}/.task-orchestrator')}"
    )


def test_the_agent_is_never_guessed(tmp_path: Path) -> None:
    assert resolved(tmp_path).agent == ""
    assert resolved(tmp_path, TM_AGENT_ID="old").agent == "old"
    assert resolved(tmp_path, TM_AGENT_ID="old", AGENT_ID="new").agent == "new"
    assert resolved(tmp_path, agent_flag="flag", AGENT_ID="new").agent == "flag"


def test_the_root_is_the_nearest_parent_that_has_our_folder(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / ".task-orchestrator").mkdir()
    (tmp_path / "a" / ".git").mkdir()

    assert resolved(deep).root == tmp_path


def test_the_root_is_the_git_checkout_where_nobody_has_our_folder(
    tmp_path: Path,
) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    repository(tmp_path)

    assert resolved(deep).root == tmp_path


def worktree(folder: Path, git: Path, name: str = "w") -> Path:
    """Make a worktree as git does, of the repository in a folder."""
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


def test_a_worktree_belongs_to_its_main_checkout(tmp_path: Path) -> None:
    main = tmp_path / "main"

    assert resolved(worktree(tmp_path / "worktree", main / ".git")).root == main


@pytest.mark.parametrize("place", ["beside", "main/.trees/one"])
@pytest.mark.parametrize("is_set_up", [True, False])
def test_a_worktree_is_a_session_of_its_own_wherever_it_is(
    tmp_path: Path, place: str, *, is_set_up: bool
) -> None:
    main = tmp_path / "main"
    one, two = (
        worktree(tmp_path / place, main / ".git", "one"),
        worktree(tmp_path / "two", main / ".git", "two"),
    )
    if is_set_up:
        (main / ".task-orchestrator").mkdir()

    told = [resolved(folder) for folder in (one, one / "deep", two, main)]

    assert {settings.root for settings in told} == {main}
    assert told[0].session == told[1].session
    assert [settings.session[:4] for settings in told] == ["one-", "one-", "two-", ""]
    assert [settings.sources["session"] for settings in told] == [
        "the git worktree"
    ] * 3 + ["default"]


@pytest.mark.parametrize(
    ("said", "source"), [("monday", "AGENT_SESSION"), ("", "default")]
)
def test_what_was_said_of_the_session_holds_in_a_worktree_too(
    tmp_path: Path, said: str, source: str
) -> None:
    settings = resolved(
        worktree(tmp_path / "tree", tmp_path / "main" / ".git"), AGENT_SESSION=said
    )

    assert (settings.session, settings.sources["session"]) == (said, source)


def test_worktrees_of_a_bare_repository_that_share_a_root_are_sessions(
    tmp_path: Path,
) -> None:
    (tmp_path / ".task-orchestrator").mkdir()
    one, two = (
        worktree(tmp_path / name, tmp_path / ".bare", name) for name in ("one", "two")
    )

    assert resolved(one).session != resolved(two).session != ""


def test_worktrees_of_two_repositories_that_have_one_name_and_one_root_are_two_sessions(
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
def test_a_worktree_with_a_root_of_its_own_is_no_session(
    tmp_path: Path, root: str
) -> None:
    tree = worktree(tmp_path / "tree", tmp_path / "main" / ".git")
    (tree / root / ".task-orchestrator").mkdir()

    assert resolved(tree / "deep").session == ""


@pytest.mark.parametrize("name", ["größe 設計", "設計", "..", "-x", "x" * 200, "a..b"])
def test_a_worktree_of_any_name_has_a_name_for_its_session(
    tmp_path: Path, name: str
) -> None:
    git = tmp_path / "main" / ".git"
    tree = worktree(tmp_path / "tree", git, f"{name} of mine")

    session = resolved(tree).session

    assert limits.name(session, "a session") == session


@pytest.mark.parametrize("text", ["", "gitdir: /nowhere\n", "\0"])
def test_a_git_file_that_leads_nowhere_leaves_its_folder_the_root(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / ".git").write_text(text)

    assert resolved(tmp_path).root == tmp_path


def test_the_environment_names_the_root_before_all(tmp_path: Path) -> None:
    (tmp_path / ".task-orchestrator").mkdir()

    assert resolved(tmp_path, TASKORCH_ROOT="/elsewhere").root == Path("/elsewhere")


@pytest.mark.parametrize(
    "spelt", ["link", "place/../place", "./place//", "link/../place"]
)
def test_a_root_is_one_however_it_is_spelt(tmp_path: Path, spelt: str) -> None:
    root = tmp_path / "place"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)

    assert resolved(tmp_path, TASKORCH_ROOT=spelt).root_path == str(root)
    assert resolved(root, TASKORCH_ROOT=f"{tmp_path}/{spelt}").root_path == str(root)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('redis_ulr = "redis://x"', "unknown key 'redis_ulr'"),
        ("namespace = 3", "namespace must be text"),
        ("namespace = true", "namespace must be text"),
        ("service = 1", "service must be text"),
        ("namespace =", "not TOML"),
    ],
)
def test_a_config_file_with_a_mistake_is_refused(
    tmp_path: Path, text: str, complaint: str
) -> None:
    config(tmp_path, text)

    with pytest.raises(errors.Usage, match=complaint):
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
def test_a_config_file_says_with_a_word_or_a_boolean_whether_a_service_is_wanted(
    tmp_path: Path, value: str, *, wanted: bool
) -> None:
    config(tmp_path, f"service = {value}")

    settings = resolved(tmp_path)

    assert (settings.service, settings.sources["service"]) == (wanted, "config.toml")
    assert resolved(tmp_path, TASKORCH_SERVICE="YES").service
    assert not resolved(tmp_path, TASKORCH_SERVICE="Off").service


def test_a_service_is_wanted_where_nobody_says_anything(tmp_path: Path) -> None:
    assert resolved(tmp_path).service
    assert resolved(tmp_path, TASKORCH_SERVICE="").service


def test_a_word_that_is_neither_on_nor_off_is_refused_and_its_setting_named(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        errors.Usage,
        match=r"service \(TASKORCH_SERVICE\) must be on or off, not 'enabled'",
    ):
        resolved(tmp_path, TASKORCH_SERVICE="enabled")

    config(tmp_path, 'service = "never"')
    with pytest.raises(
        errors.Usage, match=r"service \(config.toml\) must be on or off, not 'never'"
    ):
        resolved(tmp_path)


@pytest.mark.parametrize(
    "name", ["../evil", "a..b", "", " ", "x" * 65, "a/b", "{a}", "-a"]
)
def test_a_namespace_that_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    if not name:
        assert resolved(tmp_path, TASKORCH_NAMESPACE=name).namespace == "default"
        return

    with pytest.raises(errors.Invalid, match="a name for a namespace"):
        resolved(tmp_path, TASKORCH_NAMESPACE=name)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:pa:ss@host:6379/0", "redis://***@host:6379/0"),
        ("redis://:p@ss@host", "redis://***@host"),
        ("redis://host/0?password=secret&db=1", "redis://host/0?password=***&db=1"),
        ("redis://PASSWORD@host:6379/0", "redis://***@host:6379/0"),
        ("redis://host:PASSWORD", "redis://…"),
        ("PASSWORD@host:6379", "…"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert address.shown(url) == shown
