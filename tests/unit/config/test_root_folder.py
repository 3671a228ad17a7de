"""How the root is found, and which folders are no root by accident."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from taskorch.config import root_folder
from taskorch.config.settings import resolve
from taskorch.domain import errors

OURS = ".task-orchestrator"
ANOTHER_USER = 12345
needs_root = pytest.mark.skipif(
    os.getuid() != 0, reason="only root can give a folder to another user"
)


@pytest.fixture
def environment(home: Path) -> Mapping[str, str]:
    return {"HOME": str(home)}


def made(folder: Path) -> Path:
    """Make a folder and its parents."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def repository(place: Path) -> Path:
    """Make a real git checkout with one commit."""
    git(made(place), "init", "--quiet")
    git(
        place,
        "-c",
        "user.name=x",
        "-c",
        "user.email=x@example",
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "x",
    )
    return place


def git(place: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=place, check=True)


def root_of(environment: Mapping[str, str], place: Path) -> Path:
    return Path(root_folder.find(environment, str(place))[0])


def test_root_is_found_within_the_checkout(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    checkout = repository(tmp_path / "checkout")
    deep = made(checkout / "package" / "deep")
    made(tmp_path / OURS)

    before = root_of(environment, deep)
    made(checkout / "package" / OURS)

    assert before == checkout
    assert root_of(environment, deep) == checkout / "package"
    assert root_of(environment, checkout) == checkout


@pytest.mark.parametrize("holds_config", [True, False])
def test_git_folder_without_head_is_no_checkout(
    environment: Mapping[str, str], tmp_path: Path, *, holds_config: bool
) -> None:
    made(tmp_path / "project" / "src" / ".git")
    if holds_config:
        (tmp_path / "project" / "src" / ".git" / "config").write_text(
            "[core]\n"
        )
    made(tmp_path / "project" / OURS)

    assert (
        root_of(environment, tmp_path / "project" / "src")
        == tmp_path / "project"
    )


@pytest.mark.parametrize(
    "relative", ["--relative-paths", "--no-relative-paths"]
)
def test_linked_worktree_uses_root_of_main_checkout(
    environment: Mapping[str, str], tmp_path: Path, relative: str
) -> None:
    main = repository(tmp_path / "main")
    words = ["worktree", "add", "--quiet", str(tmp_path / "tree")]
    done = subprocess.run(
        ["git", *words, relative], cwd=main, check=False, capture_output=True
    )
    if done.returncode:  # an older git has no such option, and absolute paths
        git(main, *words)

    assert root_of(environment, made(tmp_path / "tree" / "deep")) == main


@pytest.mark.parametrize(
    ("content", "is_root"),
    [
        (("config.toml",), False),
        ((), True),
        (("config.toml", ".gitignore"), True),
        (("config.toml", "data"), True),
    ],
)
def test_committed_config_makes_no_root_of_worktree(
    environment: Mapping[str, str],
    tmp_path: Path,
    content: tuple[str, ...],
    *,
    is_root: bool,
) -> None:
    main, tree = repository(tmp_path / "main"), tmp_path / "tree"
    git(main, "worktree", "add", "--quiet", str(tree))
    for folder in (main, tree):
        for name in content:
            (made(folder / OURS) / name).touch()
        made(folder / OURS)

    roots = [root_of(environment, folder) for folder in (main, tree)]

    assert roots == [main, tree if is_root else main]


def test_worktree_of_bare_repository_uses_queue_beside_it(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    place, origin = made(tmp_path / "place"), repository(tmp_path / "origin")
    git(place, "clone", "--quiet", "--bare", str(origin), ".bare")
    git(place / ".bare", "worktree", "add", "--quiet", str(place / "tree"))

    alone = root_of(environment, place / "tree")
    made(place / OURS)

    assert alone == place / "tree"
    assert root_of(environment, place / "tree") == place


def test_moved_worktree_is_its_own_checkout(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    main = repository(tmp_path / "main")
    git(main, "worktree", "add", "--quiet", str(tmp_path / "tree"))
    (tmp_path / "tree").rename(tmp_path / "moved")

    assert root_of(environment, tmp_path / "moved") == tmp_path / "moved"


def forged(place: Path, victim: Path, *, listed: str = "") -> Path:
    """Make a folder whose `.git` file claims to be a worktree of a victim's checkout."""
    made(place)
    own = victim / ".git" / "worktrees" / "tree"
    (place / ".git").write_text(f"gitdir: {own}\n")
    if listed:
        made(own)
        (own / "HEAD").write_text("ref: refs/heads/x\n")
        (own / "commondir").write_text("../..\n")
        (own / "gitdir").write_text(f"{listed}\n")
    return place


def test_forged_worktree_leads_to_no_other_checkout(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    victim = repository(tmp_path / "victim")
    git(victim, "worktree", "add", "--quiet", str(tmp_path / "tree"))
    made(victim / OURS)

    place = forged(tmp_path / "archive", victim)

    assert root_of(environment, place) == place


def test_forged_git_file_names_no_root(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    place, target = made(tmp_path / "archive"), made(tmp_path / "target")
    own = made(place / "own")
    (own / "HEAD").write_text("ref: refs/heads/x\n")
    (own / "commondir").write_text(f"{target}/.git\n")
    (own / "gitdir").write_text(f"{place}/.git\n")
    (place / ".git").write_text("gitdir: own\n")
    made(target / ".git")

    assert root_of(environment, place) == place


@needs_root
def test_worktree_ignores_checkout_of_another_user(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    attacker = repository(tmp_path / "attacker")
    place = forged(
        tmp_path / "archive",
        attacker,
        listed=str(tmp_path / "archive" / ".git"),
    )
    ours = root_of(environment, place)

    os.chown(attacker, ANOTHER_USER, ANOTHER_USER)

    assert (ours, root_of(environment, place)) == (attacker, place)


@pytest.mark.parametrize("kind", [OURS, ".git"])
@pytest.mark.parametrize("shared", ["home", "TMPDIR", "sticky"])
def test_shared_folder_is_not_a_root(
    environment: Mapping[str, str],
    home: Path,
    tmp_path: Path,
    shared: str,
    kind: str,
) -> None:
    place = home if shared == "home" else made(tmp_path / shared)
    if shared == "sticky":
        place.chmod(0o1777)
    variables = {**environment, "TMPDIR": str(tmp_path / "TMPDIR")}
    made(place / kind)
    (place / kind / "HEAD").write_text("ref: refs/heads/x\n")
    project = made(place / "project")

    assert root_of(variables, project) == project


def test_slash_and_tmp_are_shared_folders(
    environment: Mapping[str, str],
) -> None:
    assert root_folder.is_shared(environment, "/")
    assert root_folder.is_shared(environment, "/tmp")
    assert not root_folder.is_shared(environment, "/usr")


def test_allowed_shared_folder_is_a_root(
    environment: Mapping[str, str], home: Path
) -> None:
    made(home / OURS)
    project = made(home / "project")

    root_folder.allow_shared(environment, str(home))

    assert root_of(environment, project) == home
    assert (
        root_of({"HOME": str(home), "XDG_CONFIG_HOME": "/nowhere"}, project)
        == project
    )


def test_root_is_not_created_in_shared_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        errors.SharedRoot, match=f"A queue in {home} would be"
    ) as refusal:
        root_folder.create(home / OURS)
    untouched = list(home.iterdir())
    monkeypatch.setenv("TASKORCH_ROOT", str(home))
    root_folder.create(home / OURS)
    root_folder.create(tmp_path / OURS)

    assert (refusal.value.exit_code, untouched) == (5, [])
    assert "orchestrate init" in refusal.value.hint()


@needs_root
@pytest.mark.parametrize("named", [True, False])
def test_folder_of_another_user_is_refused(
    environment: Mapping[str, str], tmp_path: Path, *, named: bool
) -> None:
    ours = made(tmp_path / "project" / OURS)
    os.chown(ours, ANOTHER_USER, ANOTHER_USER)
    variables = (
        {**environment, "TASKORCH_ROOT": str(tmp_path / "project")}
        if named
        else environment
    )

    with pytest.raises(
        errors.ForeignFolder, match=r"belongs to another user \(uid 12345\)"
    ) as refusal:
        resolve({"redis_url": "redis://mine"}, variables, tmp_path / "project")

    assert refusal.value.exit_code == 5
    assert "TASKORCH_ROOT" in refusal.value.hint()


def test_symbolic_link_to_root_folder_is_refused(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    made(tmp_path / "neighbour" / OURS)
    project = made(tmp_path / "project")
    (project / OURS).symlink_to(tmp_path / "neighbour" / OURS)

    with pytest.raises(errors.ForeignFolder, match="is a symbolic link"):
        resolve({}, environment, project)
