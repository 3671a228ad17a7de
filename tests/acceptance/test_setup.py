"""`orchestrate setup` adds, checks and removes its parts of the files of programs."""

import json
import os
import re
import shutil
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.commands import BIN, Shell

WITH_HOOKS = ("claude", "codex", "gemini", "cursor")
PROGRAMS = (*WITH_HOOKS, "opencode", "qwen")

#: What people have in these files, in all the forms that they have it in.
FOREIGN: Mapping[str, bytes] = {
    ".claude/settings.json": b"""{
    "model" : "opus",
  "permissions": {"allow": ["Bash(ls:*)" , "Read"], "deny":[]},
    "hooks": {
        "Stop": [
            { "hooks": [ {"type": "command", "command": "say done"} ] }
        ],
        "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "./check.sh"}]}]
    }
}""",
    ".claude/skills/mine/SKILL.md": b"---\nname: mine\n---\nMine\n",
    ".mcp.json": '{\r\n\t"mcpServers": {\r\n\t\t"größe": {"command": "npx"}\r\n\t}\r\n}\r\n'.encode(),
    "CLAUDE.md": "# Mine\n\nBe kind 🙂, no line break at the end".encode(),
    ".codex/config.toml": b'# mine\nmodel = "x"   #\n\n[mcp_servers.other]\ncommand = "npx"\n[features]\nhooks=true',
    ".codex/hooks.json": b'{"hooks":{}}',
    "AGENTS.md": b"Windows wrote this.\r\n\r\n",
    ".claude/settings.local.json": b"""{
	"permissions": {"allow": ["Bash(ls:*)"]}
}
""",
    ".gemini/settings.json": b"""// My settings
{
  "theme": "Dark", // not light
  /* "hooks": {} */
  "mcpServers": {
  }
}
""",
    "GEMINI.md": b"",
    ".cursor/hooks.json": b'{"version": 1, "hooks": {"stop": [{"command": "./done.sh"}], "afterFileEdit": []}}\n',
    ".cursor/mcp.json": b"{}",
    ".cursor/rules/mine.mdc": b"---\nalwaysApply: true\n---\nMine\n",
    "opencode.json": b'{"$schema": "https://opencode.ai/config.json", "mcp": {"other": {"type": "remote"}}}',
    ".qwen/settings.json": b'{\n  "tools": {"approvalMode": "default"}\n}',
    "QWEN.md": b"Mine, with no line break",
}


def login_shell(folder: Path, path: str) -> str:
    """Write a shell whose PATH is known, whatever the profiles of the machine do."""
    folder.mkdir()
    file = folder / "sh"
    file.write_text(
        f'#!/bin/sh\nPATH={path}; export PATH; exec /bin/sh -c "$2"\n',
        encoding="utf-8",
    )
    file.chmod(0o755)
    return str(file)


@pytest.fixture
def shell(shell: Shell, tmp_path: Path) -> Shell:
    """A shell of a user whose login shell finds our commands."""
    path = f"{BIN}:/usr/bin:/bin"
    return shell.having(SHELL=login_shell(tmp_path / "login", path))


@pytest.fixture
def project(shell: Shell) -> Shell:
    """A project with files of every program, and its own home."""
    home = shell.folder.parent / "home"
    home.mkdir()
    (shell.folder / ".git").mkdir()
    (shell.folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    for name, content in FOREIGN.items():
        file = shell.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return shell.having(HOME=str(home)).lacking("AGENT_ID")


def files(folder: Path) -> dict[str, bytes]:
    """Return every file and every empty folder below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        if path.is_file()
        else b""
        for path in folder.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


def commands(hooks: Any) -> list[str]:
    """Return the commands in a list of hooks, grouped or not."""
    return [
        each["command"]
        for group in hooks
        for each in group.get("hooks", [group])
    ]


#: The files of a program with hooks and with servers.
CONFIGURATION = {
    "claude": (".claude/settings.json", ".mcp.json"),
    "codex": (".codex/hooks.json", ".codex/config.toml"),
    "gemini": (".gemini/settings.json", ".gemini/settings.json"),
    "cursor": (".cursor/hooks.json", ".cursor/mcp.json"),
    "opencode": ("opencode.json", "opencode.json"),
    "qwen": (".qwen/settings.json", ".qwen/settings.json"),
}


def parsed(file: Path) -> Any:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".toml":
        return tomllib.loads(text)
    return json.loads(re.sub(r"(?s)/\*.*?\*/|(?<!:)//[^\n]*", "", text))


def commands_of(project: Shell, program: str) -> list[str]:
    """Return the commands of our hooks and then of our server."""
    hooks_file, servers_file = CONFIGURATION[program]
    hooks = parsed(project.folder / hooks_file).get("hooks", {})
    found = [
        command
        for event in (
            "sessionStart",
            "SessionStart",
            "AfterAgent",
            "Stop",
            "stop",
        )
        for command in commands(hooks.get(event, ()))
        if "prime" in command or "hook stop" in command
    ]
    servers = parsed(project.folder / servers_file)
    for name in ("mcpServers", "mcp_servers", "mcp"):
        for server in servers.get(name, {}).values():
            command = server.get("command", "")
            words = command if isinstance(command, list) else [command]
            if "orchestrate" in words[0]:
                found.append(words[0])
    return found


def approvals(project: Shell, program: str, user: list[str]) -> object:
    """Return what a program may do without asking, according to its files."""
    folder = Path(project.variables["HOME"]) if user else project.folder
    hooks_file, servers_file = CONFIGURATION[program]
    file = folder / (hooks_file if program == "claude" else servers_file)
    if program == "claude" and not user:
        file = file.with_name("settings.local.json")
    if not file.exists():
        return None
    content = parsed(file)
    if program == "claude":
        asked = content.get("permissions", {}).get("allow", [])
        return sorted(set(asked) - {"Bash(ls:*)", "Read"}) or None
    table = content.get("mcpServers") or content.get("mcp_servers") or {}
    server = table.get("task-orchestrator", {})
    return server.get("trust") or server.get("default_tools_approval_mode")


@pytest.mark.parametrize("program", PROGRAMS)
def test_removal_restores_files_byte_for_byte(
    project: Shell, program: str
) -> None:
    before = files(project.folder)

    done = project.orchestrate("setup", program)
    between = files(project.folder)
    undone = project.orchestrate("setup", program, "--remove")

    assert (done.code, undone.code) == (0, 0), done.stderr + undone.stderr
    assert between != before
    assert files(project.folder) == before


@pytest.mark.parametrize("program", PROGRAMS)
def test_created_files_and_folders_are_removed(
    shell: Shell, program: str
) -> None:
    bare = shell.lacking("AGENT_ID")

    done = bare.orchestrate("setup", program, "--json").data()
    made = files(shell.folder)
    bare.orchestrate("setup", program, "--remove")

    assert {each["status"] for each in done} == {"created"}
    assert {each["file"] for each in done} == {
        str(shell.folder / name) for name in made
    }
    assert files(shell.folder) == {}


@pytest.mark.parametrize("program", PROGRAMS)
def test_second_setup_changes_nothing(project: Shell, program: str) -> None:
    before = project.orchestrate("setup", program, "--check")
    project.orchestrate("setup", program)
    once = files(project.folder)

    again = project.orchestrate("setup", program)
    after = project.orchestrate("setup", program, "--check")

    assert (before.code, after.code) == (5, 0)
    assert "not current" in before.stdout
    assert {line.split()[0] for line in again.stdout.splitlines()} == {
        "unchanged"
    }
    assert {line.split()[0] for line in after.stdout.splitlines()} == {
        "current"
    }
    assert files(project.folder) == once


@pytest.mark.parametrize("program", PROGRAMS)
def test_lost_commands_are_called_by_their_path(
    project: Shell, tmp_path: Path, program: str
) -> None:
    prefix = tmp_path / "my prefix"
    prefix.mkdir()
    for name in ("worker", "orchestrate"):
        (prefix / name).symlink_to(BIN / name)
    lost = project.having(
        SHELL=login_shell(tmp_path / "bare", "/usr/bin:/bin")
    )
    before = files(project.folder)

    done = lost.run(prefix / "orchestrate", "setup", program)
    checked = project.orchestrate("setup", program, "--check")
    written = commands_of(project, program)
    undone = project.orchestrate("setup", program, "--remove")

    assert done.code == checked.code == undone.code == 0, done.stderr
    assert "a login shell" in done.stderr
    assert f"mkdir -p {project.variables['HOME']}/.local/bin && ln -s" in (
        done.stderr
    )
    hooks = [
        f"'{prefix}/worker' prime --hook-json",
        f"'{prefix}/orchestrate' prime --hook-json",
        f"'{prefix}/worker' hook stop",
    ]
    expected = hooks if program in WITH_HOOKS else []
    assert written == [*expected, f"{prefix}/orchestrate"]
    assert files(project.folder) == before


@pytest.mark.parametrize("profile", ["", "true\n", "if true; then true; fi"])
def test_login_shell_finds_commands_after_advice(
    project: Shell, tmp_path: Path, profile: str
) -> None:
    home = Path(project.variables["HOME"])
    (home / ".profile").write_text(profile, encoding="utf-8")
    reads_profile = tmp_path / "sh"
    reads_profile.write_text(
        "#!/bin/sh\nPATH=/usr/bin:/bin; export PATH\n"
        '[ -f "$HOME/.profile" ] && . "$HOME/.profile"\nexec /bin/sh -c "$2"\n',
        encoding="utf-8",
    )
    reads_profile.chmod(0o755)
    lost = project.having(SHELL=str(reads_profile))
    done = lost.orchestrate("setup", "claude")
    found = re.search(r"(?m)^  (mkdir .*)$", done.stderr)
    assert found, done.stderr

    followed = lost.run("sh", "-c", found[1])
    lost.orchestrate("setup", "claude", "--remove")
    again = lost.orchestrate("setup", "claude")

    assert followed.code == 0, followed.stderr
    assert "a login shell" not in again.stderr
    assert commands_of(project, "claude")[-1] == "orchestrate"


@pytest.mark.parametrize("program", PROGRAMS)
def test_path_replaces_name_that_is_not_found(
    project: Shell, tmp_path: Path, program: str
) -> None:
    project.orchestrate("setup", program)
    lost = project.having(
        SHELL=login_shell(tmp_path / "bare", "/usr/bin:/bin")
    )

    checked = lost.orchestrate("setup", program, "--check")
    done = lost.orchestrate("setup", program)

    assert checked.code == done.code == 0
    assert f"{BIN}/orchestrate" in commands_of(project, program)


def test_missing_path_is_replaced_by_name(
    project: Shell, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    for name in ("worker", "orchestrate"):
        (gone / name).symlink_to(BIN / name)
    lost = project.having(
        SHELL=login_shell(tmp_path / "bare", "/usr/bin:/bin")
    )
    lost.run(gone / "orchestrate", "setup", "claude")
    shutil.rmtree(gone)

    checked = project.orchestrate("setup", "claude", "--check")
    project.orchestrate("setup", "claude")

    assert checked.code == 5
    assert commands_of(project, "claude")[-1] == "orchestrate"


def test_stranger_named_worker_is_not_our_command(
    project: Shell, tmp_path: Path
) -> None:
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    for name in ("worker", "orchestrate"):
        (strangers / name).symlink_to("/bin/true")
    found = login_shell(tmp_path / "other", f"{strangers}:/usr/bin:/bin")

    project.having(SHELL=found).orchestrate("setup", "claude")

    assert commands_of(project, "claude")[-1] == f"{BIN}/orchestrate"


def test_login_shell_that_hangs_is_given_up(
    project: Shell, tmp_path: Path
) -> None:
    hanging = tmp_path / "hanging"
    hanging.write_text("#!/bin/sh\nsleep 600 & wait\n", encoding="utf-8")
    hanging.chmod(0o755)

    ran = project.having(SHELL=str(hanging)).orchestrate("setup", "claude")

    assert ran.code == 0, ran.stderr


def program_on_path(project: Shell, tmp_path: Path, script: str) -> Shell:
    """Return a shell in which `codex` is a script."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "codex").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / "codex").chmod(0o755)
    return project.having(PATH=f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("version", "is_old"),
    [
        ("codex-cli 0.99.12", True),
        ("codex-cli 0.171.0", False),
        ("codex-cli 1.0.0", False),
        ("not a number", False),
    ],
)
def test_program_that_is_too_old_is_named(
    project: Shell, tmp_path: Path, version: str, *, is_old: bool
) -> None:
    shell = program_on_path(project, tmp_path, f"echo {version}")

    ran = shell.orchestrate("setup", "codex")

    assert ran.code == 0, ran.stderr
    assert (
        "`codex` is version 0.99.12, which ignores a part" in ran.stderr
    ) == is_old
    assert "0.118.0 or newer" in ran.stderr or not is_old
    assert "not on the PATH" not in ran.stderr


@pytest.mark.parametrize("program", ["claude", "codex", "gemini"])
def test_missing_program_is_set_up_and_reported(
    project: Shell, program: str
) -> None:
    ran = project.having(PATH="/usr/bin:/bin").orchestrate("setup", program)

    assert ran.code == 0
    assert f"`{program}` is not on the PATH of this shell" in ran.stderr
    assert project.orchestrate("setup", program, "--check").code == 0


def test_program_without_version_is_set_up(
    project: Shell, tmp_path: Path
) -> None:
    shell = program_on_path(project, tmp_path, "exit 3")

    ran = shell.orchestrate("setup", "codex")

    assert ran.code == 0, ran.stderr
    assert "codex` is" not in ran.stderr


@pytest.mark.parametrize("words", [[], ["--remove"]], ids=str)
def test_read_only_file_changes_no_file(
    project: Shell, words: list[str]
) -> None:
    if words:
        project.orchestrate("setup", "claude")
    file = project.folder / "CLAUDE.md"
    file.chmod(0o444)
    before = files(project.folder)

    ran = project.orchestrate("setup", "claude", *words)

    assert ran.code == 5
    assert (
        f"Cannot write {file}: it is read-only. Nothing was changed."
        in ran.stderr
    )
    assert files(project.folder) == before


@pytest.mark.parametrize("home", ["nowhere", "file"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_unusable_home_is_refused_and_not_made(
    project: Shell, tmp_path: Path, program: str, home: str
) -> None:
    (tmp_path / "file").write_bytes(b"not a folder")
    shell = project.having(HOME=str(tmp_path / home))

    ran = shell.orchestrate("setup", program, "--user")

    assert ran.code == 5
    assert f"Your home {tmp_path / home} is not a folder" in ran.stderr
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("program", PROGRAMS)
def test_unwritable_home_is_named(project: Shell, program: str) -> None:
    # No user can create a file there.
    shell = project.having(HOME="/proc")

    ran = shell.orchestrate("setup", program, "--user")

    assert ran.code == 5
    assert "Cannot write /proc/." in ran.stderr
    assert "Nothing was changed." in ran.stderr


def test_broken_file_is_named_with_its_line(project: Shell) -> None:
    broken = {
        "claude": (".mcp.json", b'{\n  "mcpServers": {\n    "x": }\n}'),
        "codex": (".codex/config.toml", b"a = 1\n\n[x\nb = 2\n"),
    }
    for name, content in broken.values():
        (project.folder / name).write_bytes(content)
    before = files(project.folder)

    said = {
        program: project.orchestrate("setup", program).stderr
        for program in broken
    }

    assert f"{project.folder}/.mcp.json is not valid JSON" in said["claude"]
    assert "line 3" in said["claude"]
    assert "is not valid TOML" in said["codex"]
    assert "line 3" in said["codex"]
    assert files(project.folder) == before


@pytest.mark.parametrize("user", [[], ["--user"]], ids=str)
@pytest.mark.parametrize("program", ["claude", "codex", "gemini", "qwen"])
def test_approval_is_said_and_taken_back(
    project: Shell, program: str, user: list[str]
) -> None:
    done = project.orchestrate("setup", program, *user)
    approved = approvals(project, program, user)
    asks = project.orchestrate("setup", program, *user, "--no-approve")
    left = approvals(project, program, user)
    states = [
        project.orchestrate("setup", program, *user, "--check", *flag).code
        for flag in ([], ["--no-approve"], ["--approve"])
    ]
    project.orchestrate("setup", program, *user, "--approve")
    again = approvals(project, program, user)
    project.orchestrate("setup", program, *user, "--remove")

    undo = " ".join(["orchestrate setup", program, *user, "--no-approve"])
    assert f"Undo: {undo}\n" in done.stderr
    assert "asks before it calls" in asks.stderr
    assert approved == again != left
    assert states == [0, 0, 5]
    assert approvals(project, program, user) == left


def test_approval_of_claude_covers_no_shell_command(project: Shell) -> None:
    project.orchestrate("setup", "claude")

    settings = json.loads(
        (project.folder / ".claude/settings.local.json").read_bytes()
    )
    allowed = settings["permissions"]["allow"]
    assert {"mcp__task-orchestrator__pop", "Bash(ls:*)"} <= set(allowed)
    assert "mcp__task-orchestrator__mend" not in allowed
    assert [each for each in allowed if "Bash" in each] == ["Bash(ls:*)"]
    assert settings["enabledMcpjsonServers"] == ["task-orchestrator"]


def test_approval_of_claude_has_its_own_file(shell: Shell) -> None:
    own = shell.folder / ".claude/settings.local.json"

    shell.orchestrate("setup", "claude", "--no-approve")
    asked = own.exists()
    shell.orchestrate("setup", "claude")
    approved = own.exists()
    shell.orchestrate("setup", "claude", "--no-approve")

    assert (asked, approved, own.exists()) == (False, True, False)


def test_decision_of_user_survives_approval(project: Shell) -> None:
    project.orchestrate("setup", "codex")
    file = project.folder / ".codex/config.toml"
    theirs = file.read_text(encoding="utf-8").replace(
        'mode = "approve"', 'mode = "prompt"'
    )
    file.write_text(theirs, encoding="utf-8")

    states = [
        project.orchestrate("setup", "codex", *flag).code
        for flag in ([], ["--no-approve"], ["--check"])
    ]

    assert states == [0, 0, 0]
    assert file.read_text(encoding="utf-8") == theirs


def test_all_programs_are_set_up_side_by_side(project: Shell) -> None:
    before = files(project.folder)
    for program in PROGRAMS:
        project.orchestrate("setup", program)

    checks = [
        project.orchestrate("setup", program, "--check").code
        for program in PROGRAMS
    ]
    for program in PROGRAMS:
        project.orchestrate("setup", program, "--remove")

    assert set(checks) == {0}
    assert files(project.folder) == before


def test_claude_gets_hooks_servers_instructions_and_skills(
    project: Shell,
) -> None:
    project.orchestrate("setup", "claude")

    settings = json.loads(
        (project.folder / ".claude/settings.json").read_bytes()
    )
    servers = json.loads((project.folder / ".mcp.json").read_bytes())[
        "mcpServers"
    ]
    assert commands(settings["hooks"]["SessionStart"]) == [
        "worker prime --hook-json",
        "orchestrate prime --hook-json",
    ]
    assert sorted(commands(settings["hooks"]["Stop"])) == [
        "say done",
        "worker hook stop",
    ]
    assert settings["model"] == "opus"
    assert servers["task-orchestrator"] == {
        "command": "orchestrate",
        "args": ["mcp"],
        "alwaysLoad": True,
    }
    assert set(servers) == {"task-orchestrator", "größe"}
    assert "`worker prime`" in (project.folder / "CLAUDE.md").read_text(
        encoding="utf-8"
    )
    for name in ("task-orchestrator", "task-orchestrator-worker"):
        skill = (project.folder / f".claude/skills/{name}/SKILL.md").read_text(
            encoding="utf-8"
        )
        assert skill.startswith(f"---\nname: {name}\n")


def test_codex_gets_json_hooks_and_toml_server(project: Shell) -> None:
    project.orchestrate("setup", "codex")

    hooks = json.loads((project.folder / ".codex/hooks.json").read_bytes())[
        "hooks"
    ]
    config = tomllib.loads(
        (project.folder / ".codex/config.toml").read_text(encoding="utf-8")
    )
    assert commands(hooks["Stop"]) == ["worker hook stop"]
    servers = config["mcp_servers"]
    assert set(servers) == {"task-orchestrator", "other"}
    assert servers["task-orchestrator"]["command"] == "orchestrate"
    assert servers["task-orchestrator"]["required"] is True
    assert servers["other"] == {"command": "npx"}
    assert config["features"] == {"hooks": True}
    assert "`worker prime`" in (project.folder / "AGENTS.md").read_text(
        encoding="utf-8"
    )


def test_gemini_gets_its_hook_names_and_milliseconds(shell: Shell) -> None:
    shell.orchestrate("setup", "gemini")

    settings = json.loads(
        (shell.folder / ".gemini/settings.json").read_bytes()
    )
    assert set(settings["hooks"]) == {"SessionStart", "AfterAgent"}
    assert settings["hooks"]["AfterAgent"][0]["hooks"][0]["timeout"] == 10_000
    server = settings["mcpServers"].pop("task-orchestrator")
    assert (
        server["env"]["TASKORCH_REDIS_PASSWORD"] == "$TASKORCH_REDIS_PASSWORD"
    )
    assert settings["mcpServers"] == {}


def test_opencode_gets_its_server_format(project: Shell) -> None:
    project.orchestrate("setup", "opencode")

    settings = parsed(project.folder / "opencode.json")
    assert settings["mcp"]["task-orchestrator"] == {
        "type": "local",
        "command": ["orchestrate", "mcp"],
        "enabled": True,
        "timeout": 600_000,
    }
    assert settings["mcp"]["other"] == {"type": "remote"}
    instructions = (project.folder / "AGENTS.md").read_text(encoding="utf-8")
    assert "worker prime" in instructions


def test_qwen_gets_a_trusted_server_without_hooks(project: Shell) -> None:
    project.orchestrate("setup", "qwen")

    settings = parsed(project.folder / ".qwen/settings.json")
    assert settings == {
        "tools": {"approvalMode": "default"},
        "mcpServers": {
            "task-orchestrator": {
                "command": "orchestrate",
                "args": ["mcp"],
                "trust": True,
            }
        },
    }
    assert "worker prime" in (project.folder / "QWEN.md").read_text(
        encoding="utf-8"
    )


#: The servers that earlier versions wrote into a new file of each program.
OLD_SERVERS: Mapping[str, tuple[str, str]] = {
    "claude": (".mcp.json", '{\n  "mcpServers": {%s\n  }\n}\n'),
    "gemini": (".gemini/settings.json", '{\n  "mcpServers": {%s\n  }\n}\n'),
    "cursor": (".cursor/mcp.json", '{\n  "mcpServers": {%s\n  }\n}\n'),
    "codex": (".codex/config.toml", "%s"),
}


def write_old_servers(project: Shell, program: str) -> Path:
    """Write both servers as earlier versions did, and return the file."""
    name, form = OLD_SERVERS[program]
    entry = '\n    "%s": {\n      "command": "%s",\n      "args": [\n        "mcp"\n      ]\n    }'
    separator = ","
    if program == "codex":
        entry = '[mcp_servers.%s]\ncommand = "%s"\nargs = ["mcp"]\nenv_vars = ["AGENT_ID"]\ntool_timeout_sec = 600\n'
        separator = "\n"
    servers = separator.join(
        entry % each
        for each in (
            ("task-orchestrator", "orchestrate"),
            ("task-orchestrator-worker", "worker"),
        )
    )
    file = project.folder / name
    file.write_text(form % servers, encoding="utf-8")
    return file


def server_names(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".toml":
        return list(tomllib.loads(text)["mcp_servers"])
    return list(json.loads(text)["mcpServers"])


@pytest.mark.parametrize("program", OLD_SERVERS)
def test_setup_replaces_both_old_servers(project: Shell, program: str) -> None:
    project.orchestrate("setup", program)
    file = write_old_servers(project, program)

    before = project.orchestrate("setup", program, "--check")
    done = project.orchestrate("setup", program)
    after = project.orchestrate("setup", program, "--check")
    names = server_names(file)
    project.orchestrate("setup", program, "--remove")

    assert (before.code, done.code, after.code) == (5, 0, 0)
    assert f"not current  {file}" in before.stdout
    assert names == ["task-orchestrator"]
    assert not file.exists()


@pytest.mark.parametrize("program", OLD_SERVERS)
def test_removal_takes_out_both_old_servers(
    project: Shell, program: str
) -> None:
    file = write_old_servers(project, program)

    ran = project.orchestrate("setup", program, "--remove")

    assert ran.code == 0, ran.stderr
    assert not file.exists()


def test_server_of_others_with_old_name_stays(project: Shell) -> None:
    file = project.folder / ".mcp.json"
    file.write_text(
        '{"mcpServers": {"task-orchestrator-worker": {"command": "theirs"}}}',
        encoding="utf-8",
    )
    before = files(project.folder)

    done = project.orchestrate("setup", "claude")
    checked = project.orchestrate("setup", "claude", "--check")
    names = server_names(file)
    project.orchestrate("setup", "claude", "--remove")

    assert (done.code, checked.code) == (0, 0)
    assert set(names) == {"task-orchestrator", "task-orchestrator-worker"}
    assert files(project.folder) == before


def test_cursor_gets_its_hook_format_and_a_rule(project: Shell) -> None:
    project.orchestrate("setup", "cursor")

    hooks = json.loads((project.folder / ".cursor/hooks.json").read_bytes())
    rule = (project.folder / ".cursor/rules/task-orchestrator.mdc").read_text(
        encoding="utf-8"
    )
    assert hooks["version"] == 1
    assert sorted(commands(hooks["hooks"]["stop"])) == [
        "./done.sh",
        "worker hook stop",
    ]
    assert commands(hooks["hooks"]["sessionStart"]) == [
        "worker prime --hook-json",
        "orchestrate prime --hook-json",
    ]
    assert "alwaysApply: true" in rule


@pytest.mark.parametrize("program", PROGRAMS)
def test_user_setup_changes_home_only(project: Shell, program: str) -> None:
    home = Path(project.variables["HOME"])
    before = files(project.folder)

    done = project.orchestrate("setup", program, "--user", "--json").data()
    checked = [
        project.orchestrate("setup", program, "--check", *where).code
        for where in (["--user"], [])
    ]
    made = files(home)
    project.orchestrate("setup", program, "--user", "--remove")

    assert {each["file"] for each in done} == {
        str(home / name) for name in made
    }
    assert checked == [0, 5]
    assert files(home) == {}
    assert files(project.folder) == before


def test_configured_folders_of_opencode_and_qwen_are_used(
    project: Shell,
) -> None:
    elsewhere = project.folder.parent / "elsewhere"
    named = project.having(
        XDG_CONFIG_HOME=str(elsewhere), QWEN_HOME=str(elsewhere / "mine")
    )

    for program in ("opencode", "qwen"):
        named.orchestrate("setup", program, "--user")

    assert set(files(elsewhere)) == {
        "opencode/opencode.json",
        "opencode/AGENTS.md",
        "mine/settings.json",
        "mine/QWEN.md",
    }


def test_configured_folders_of_claude_and_codex_are_used(
    project: Shell,
) -> None:
    elsewhere = project.folder.parent / "elsewhere"
    named = project.having(
        CLAUDE_CONFIG_DIR=str(elsewhere / "claude"),
        CODEX_HOME=str(elsewhere / "codex"),
    )

    hints = [
        named.orchestrate("setup", program, "--user").stderr
        for program in ("claude", "codex")
    ]
    made = set(files(elsewhere))
    for program in ("claude", "codex"):
        named.orchestrate("setup", program, "--user", "--remove")

    assert {
        "claude/settings.json",
        "claude/.claude.json",
        "codex/config.toml",
    } <= made
    assert f"These are the files of {elsewhere}/claude.\n" in hints[0]
    assert f"These are the files of {elsewhere}/codex.\n" in hints[1]
    assert files(elsewhere) == {"claude": b"", "codex": b""}
    assert files(Path(project.variables["HOME"])) == {}


@pytest.mark.parametrize(
    ("program", "name", "content", "message"),
    [
        (
            "claude",
            ".claude/settings.json",
            b'{"hooks": }',
            "is not valid JSON",
        ),
        ("claude", ".mcp.json", b"[]", "is not a JSON object"),
        (
            "claude",
            ".claude/settings.json",
            b'{"hooks": null}',
            "where hooks should be an object",
        ),
        ("claude", ".mcp.json", b'{"mcpServers": {},}', "is not valid JSON"),
        (
            "claude",
            ".mcp.json",
            b'{"mcpServers": []}',
            "has a different value where mcpServers should be",
        ),
        (
            "claude",
            ".mcp.json",
            b'{"mcpServers": {"task-orchestrator": {"command": "x"}}}',
            "has another",
        ),
        ("claude", "CLAUDE.md", b"\xff\xfe", "Cannot read"),
        (
            "claude",
            ".claude/skills/task-orchestrator/SKILL.md",
            b"mine",
            "was not written by orchestrate setup",
        ),
        ("codex", ".codex/config.toml", b"model = ", "is not valid TOML"),
        (
            "codex",
            ".codex/config.toml",
            b"[mcp_servers.task-orchestrator]\n",
            "has another mcp_servers.task-orchestrator",
        ),
        (
            "codex",
            ".codex/config.toml",
            b"mcp_servers = {}",
            "conflicts with our tables",
        ),
        (
            "codex",
            "AGENTS.md",
            b"mine\n<!-- task-orchestrator: begin (orchestrate setup) -->\nmine\n",
            "in line 2.",
        ),
        (
            "gemini",
            ".gemini/settings.json",
            b'{"hooks": {"AfterAgent": {}}}',
            "where hooks.AfterAgent should be",
        ),
        ("cursor", ".cursor/hooks.json", b"{}", 'has no "version"'),
    ],
)
def test_unsupported_file_leaves_all_files_unchanged(
    project: Shell, program: str, name: str, content: bytes, message: str
) -> None:
    (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
    (project.folder / name).write_bytes(content)
    before = files(project.folder)

    ran = project.orchestrate("setup", program)

    assert ran.code == 5
    assert f"{project.folder / name}" in ran.stderr
    assert message in ran.stderr
    assert files(project.folder) == before


def test_invalid_file_stops_removal_from_all_files(
    project: Shell,
) -> None:
    project.orchestrate("setup", "claude")
    (project.folder / ".mcp.json").write_bytes(b'{"mcpServers": {')
    before = files(project.folder)

    ran = project.orchestrate("setup", "claude", "--remove")

    assert ran.code == 5
    assert files(project.folder) == before


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf \r\n"])
def test_blank_file_is_treated_as_missing(
    project: Shell, content: bytes
) -> None:
    blank = {
        "claude": [".mcp.json", ".claude/settings.json"],
        "cursor": [".cursor/hooks.json", ".cursor/mcp.json"],
    }
    for name in [*blank["claude"], *blank["cursor"]]:
        (project.folder / name).write_bytes(content)

    for program, names in blank.items():
        before = project.orchestrate("setup", program, "--check")
        removed_before = project.orchestrate("setup", program, "--remove")
        done = project.orchestrate("setup", program)
        after = project.orchestrate("setup", program, "--check")

        assert (before.code, removed_before.code, done.code, after.code) == (
            5,
            0,
            0,
            0,
        )
        for name in names:
            assert f"not current  {project.folder / name}\n" in before.stdout
            assert (
                f"unchanged    {project.folder / name}\n"
                in removed_before.stdout
            )
            assert json.loads((project.folder / name).read_bytes())
        assert project.orchestrate("setup", program, "--remove").code == 0
        assert not any((project.folder / name).exists() for name in names)


def test_config_rewritten_by_codex_is_still_managed(
    project: Shell,
) -> None:
    home = Path(project.variables["HOME"])
    config = home / ".codex/config.toml"
    config.parent.mkdir()
    config.write_bytes(b'model = "x"   # mine\n')
    project.orchestrate("setup", "codex", "--user")
    # What Codex 0.171 makes of it by `codex mcp add x -- y` and `codex features enable
    # hooks`.
    ours = (
        config.read_text(encoding="utf-8")
        .removeprefix('model = "x"   # mine\n')
        .replace("= 600", "= 600.0")
    )
    added = '\n[mcp_servers.x]\ncommand = "y"\n\n[features]\nhooks = true\n'
    rewritten = (
        f'model = "x"   # mine\n{ours}{added}# task-orchestrator: end\n'
    )
    config.write_bytes(rewritten.encode())

    checked = project.orchestrate("setup", "codex", "--user", "--check")
    again = project.orchestrate("setup", "codex", "--user")
    same = config.read_text(encoding="utf-8")
    config.write_bytes(
        rewritten.replace("tool_timeout_sec = 600.0\n", "", 1).encode()
    )
    lost = project.orchestrate("setup", "codex", "--user", "--check")
    repaired = project.orchestrate("setup", "codex", "--user")
    servers = tomllib.loads(config.read_text(encoding="utf-8"))["mcp_servers"]
    removed = project.orchestrate("setup", "codex", "--user", "--remove")

    assert (
        checked.code,
        again.code,
        lost.code,
        repaired.code,
        removed.code,
    ) == (
        0,
        0,
        5,
        0,
        0,
    )
    assert same == rewritten
    assert servers["task-orchestrator"]["tool_timeout_sec"] == 600
    assert (
        config.read_text(encoding="utf-8") == f'model = "x"   # mine\n{added}'
    )


def _linked_outside(project: Shell) -> tuple[Path, Path]:
    """Replace a file by a symbolic link; return the link and its target."""
    target = project.folder.parent / "dotfiles.json"
    link = project.folder / ".claude/settings.json"
    link.rename(target)
    link.symlink_to(target)
    return link, target


@pytest.mark.parametrize("words", [[], ["--remove"]])
@pytest.mark.parametrize(
    "linked", [".claude/settings.json", ".claude"], ids=["file", "folder"]
)
def test_link_out_of_project_is_refused_with_target(
    project: Shell, linked: str, words: list[str]
) -> None:
    if words:
        project.orchestrate("setup", "claude")
    target = project.folder.parent / "elsewhere"
    (project.folder / linked).rename(target)
    (project.folder / linked).symlink_to(target)
    before = files(project.folder), files(project.folder.parent)

    ran = project.orchestrate("setup", "claude", *words, "--json")

    assert ran.code == 5
    assert ran.error()["code"] == "LEAVES_PROJECT"
    assert str(target) in ran.error()["message"]
    assert "--yes" in ran.error()["hint"]
    assert (files(project.folder), files(project.folder.parent)) == before


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 5)])
def test_terminal_is_asked_before_leaving_project(
    project: Shell, answer: str, code: int
) -> None:
    link, target = _linked_outside(project)
    before = target.read_bytes()

    exit_code, screen = project.on_terminal(
        BIN / "orchestrate", "setup", "claude", width=300, typed=f"{answer}\n"
    )

    assert exit_code == code
    assert f"{link} -> {target}" in screen
    assert (target.read_bytes() != before) == (answer == "y")


def test_link_within_user_configuration_is_followed(project: Shell) -> None:
    home, dotfiles = (
        Path(project.variables["HOME"]),
        project.folder.parent / "dotfiles",
    )
    dotfiles.mkdir()
    (home / ".claude").symlink_to(dotfiles)

    assert project.orchestrate("setup", "claude", "--user").code == 0
    assert (dotfiles / "settings.json").exists()


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_setup_keeps_symbolic_link_and_mode(project: Shell, mode: int) -> None:
    link, real = _linked_outside(project)
    real.chmod(mode)

    project.orchestrate("setup", "claude", "--yes")
    between, between_mode = (
        real.read_bytes(),
        stat.S_IMODE(real.stat().st_mode),
    )
    project.orchestrate("setup", "claude", "--remove", "--yes")

    assert link.is_symlink()
    assert between_mode == stat.S_IMODE(real.stat().st_mode) == mode
    assert b"worker hook stop" in between
    assert real.read_bytes() == FOREIGN[".claude/settings.json"]


@pytest.mark.parametrize(
    ("removed", "other"), [("claude", "codex"), ("codex", "claude")]
)
def test_removal_reports_file_shared_by_programs(
    project: Shell, removed: str, other: str
) -> None:
    (project.folder / "CLAUDE.md").unlink()
    (project.folder / "CLAUDE.md").symlink_to("AGENTS.md")
    for program in ("claude", "codex"):
        project.orchestrate("setup", program)

    hints, again = (
        project.orchestrate("setup", removed, "--remove").stderr
        for _ in range(2)
    )

    assert [
        line
        for line in hints.splitlines()
        if f"is a file of {other} as well" in line
    ]
    assert len(hints.splitlines()) == 1
    assert again == ""


@pytest.mark.parametrize("is_there", [True, False])
def test_removal_reports_shared_file_of_present_program(
    project: Shell, *, is_there: bool
) -> None:
    project.orchestrate("setup", "codex")
    if is_there:
        project.orchestrate("setup", "opencode", "--no-approve")

    hints = project.orchestrate("setup", "codex", "--remove").stderr

    assert ("AGENTS.md is a file of opencode as well" in hints) == is_there


@pytest.mark.parametrize("words", [[], ["--check"], ["--remove"]])
def test_pipe_instead_of_file_is_refused_immediately(
    project: Shell, words: list[str]
) -> None:
    (project.folder / ".mcp.json").unlink()
    os.mkfifo(project.folder / ".mcp.json")

    ran = project.run(
        "timeout", "20", BIN / "orchestrate", "setup", "claude", *words
    )

    assert ran.code == 5
    assert (
        f"Cannot read {project.folder}/.mcp.json: it is not a file."
        in ran.stderr
    )


def test_foreign_skill_of_our_name_is_kept(project: Shell) -> None:
    skill = project.folder / ".claude/skills/task-orchestrator/SKILL.md"
    skill.parent.mkdir()
    skill.write_bytes(b"---\nname: task-orchestrator\n---\nTheirs\n")
    (skill.parent / "more.md").write_bytes(b"Theirs, too\n")
    before = files(project.folder)

    done = project.orchestrate("setup", "claude")
    checked = project.orchestrate("setup", "claude", "--check")
    undone = project.orchestrate("setup", "claude", "--remove")

    assert (done.code, checked.code, undone.code) == (5, 5, 0)
    assert f"{skill} was not written by orchestrate setup" in done.stderr
    assert f"not current  {skill}" in checked.stdout
    assert f"unchanged    {skill}" in undone.stdout
    assert files(project.folder) == before


def test_file_beside_our_skill_stays(project: Shell) -> None:
    before = files(project.folder)
    project.orchestrate("setup", "claude")
    (project.folder / ".claude/skills/task-orchestrator/mine.md").write_bytes(
        b"Mine\n"
    )

    undone = project.orchestrate("setup", "claude", "--remove")

    assert undone.code == 0
    assert files(project.folder) == before | {
        ".claude/skills/task-orchestrator/mine.md": b"Mine\n"
    }


@pytest.mark.parametrize("arguments", [[], ["--remove"]])
def test_full_disk_changes_no_file(
    project: Shell, arguments: list[str]
) -> None:
    instructions = project.folder / "CLAUDE.md"
    if arguments:
        project.orchestrate("setup", "claude")
    instructions.write_bytes(b"# Mine\n" * 30_000 + instructions.read_bytes())
    before = files(project.folder)

    ran = project.run(
        "sh",
        "-c",
        'ulimit -f 200; exec "$@"',
        "sh",
        BIN / "orchestrate",
        "setup",
        "claude",
        *arguments,
    )

    assert ran.code == 5
    assert (
        f"Cannot write {instructions}: File too large. Nothing was changed."
        in ran.stderr
    )
    assert files(project.folder) == before


def test_file_instead_of_folder_changes_nothing(
    project: Shell,
) -> None:
    shutil.rmtree(project.folder / ".claude/skills")
    (project.folder / ".claude/skills").write_bytes(b"mine")
    before = files(project.folder)

    ran = project.orchestrate("setup", "claude")

    assert ran.code == 5
    assert f"{project.folder}/.claude/skills" in ran.stderr
    assert "Not a directory" in ran.stderr
    assert files(project.folder) == before


@pytest.mark.parametrize("where", ["a worktree", "TASKORCH_ROOT"])
def test_setup_changes_files_of_the_checkout(shell: Shell, where: str) -> None:
    main, checkout = shell.folder / "main", shell.folder / "home/checkout"
    own = main / ".git/worktrees/x"
    own.mkdir(parents=True)
    (own / "HEAD").write_bytes(b"ref: refs/heads/x\n")
    (own / "commondir").write_bytes(b"../..\n")
    (own / "gitdir").write_bytes(f"{checkout}/.git\n".encode())
    (checkout / "src").mkdir(parents=True)
    (checkout / ".git").write_bytes(
        f"gitdir: {main}/.git/worktrees/x\n".encode()
    )
    if where == "TASKORCH_ROOT":
        shell = shell.having(TASKORCH_ROOT=str(main))
    before = files(shell.folder)

    done = shell.within(checkout / "src").orchestrate("setup", "claude")
    made = set(files(shell.folder)) - set(before)
    undone = shell.within(checkout).orchestrate("setup", "claude", "--remove")

    assert (
        f"These are the files of {checkout}; its queue is that of {main}."
        in done.stderr
    )
    assert made
    assert all(name.startswith("home/checkout/") for name in made)
    assert undone.code == 0
    assert files(shell.folder) == before


def test_user_additions_to_our_part_stay(project: Shell) -> None:
    before = files(project.folder)
    changes = {
        "claude": (
            ".mcp.json",
            '"command": "orchestrate"',
            '"env": {"AGENT_ID": "ada"}, "command": "orchestrate"',
        ),
        "codex": (
            ".codex/config.toml",
            "tool_timeout_sec = 600",
            "tool_timeout_sec = 900\nstartup_timeout_sec = 30",
        ),
        "gemini": (
            ".gemini/settings.json",
            '"timeout": 10000',
            '"timeout": 20000, "name": "mine"',
        ),
        "cursor": (
            ".cursor/mcp.json",
            '"orchestrate"',
            f'"{BIN}/orchestrate"',
        ),
        "opencode": (
            "opencode.json",
            '"orchestrate",',
            f'"{BIN}/orchestrate", "--namespace=shop",',
        ),
        "qwen": (
            ".qwen/settings.json",
            '"command": "orchestrate"',
            '"timeout": 30000, "command": "orchestrate"',
        ),
    }
    for program, (name, ours, theirs) in changes.items():
        project.orchestrate("setup", program)
        text = (project.folder / name).read_bytes().decode()
        assert ours in text
        (project.folder / name).write_bytes(
            text.replace(ours, theirs).encode()
        )
    changed = files(project.folder)

    checks = [
        project.orchestrate("setup", program, "--check").code
        for program in PROGRAMS
    ]
    again = [
        project.orchestrate("setup", program).code for program in PROGRAMS
    ]
    since = files(project.folder)
    for program in PROGRAMS:
        project.orchestrate("setup", program, "--remove")

    assert {*checks, *again} == {0}
    assert since == changed
    assert files(project.folder) == before


def test_program_file_is_replaced_atomically(project: Shell) -> None:
    file = project.folder / "CLAUDE.md"
    opened = file.open("rb")

    project.orchestrate("setup", "claude")

    with opened:
        assert opened.read() == FOREIGN["CLAUDE.md"]
    assert list(project.folder.glob(".CLAUDE*")) == []


def test_concurrent_changes_of_others_stay(project: Shell) -> None:
    project.orchestrate("setup", "claude")
    file = project.folder / ".claude/settings.json"
    settings = json.loads(file.read_bytes())
    settings["hooks"]["SessionStart"].append(
        {"hooks": [{"type": "command", "command": "hello"}]}
    )
    file.write_text(json.dumps(settings, indent=2), encoding="utf-8")

    current = project.orchestrate("setup", "claude", "--check")
    project.orchestrate("setup", "claude", "--remove")

    left = json.loads(file.read_bytes())
    assert current.code == 0
    assert commands(left["hooks"]["SessionStart"]) == ["hello"]
    assert commands(left["hooks"]["Stop"]) == ["say done"]


def test_installed_commands_can_be_run(shell: Shell) -> None:
    shell.orchestrate("setup", "claude")
    hooks = json.loads((shell.folder / ".claude/settings.json").read_bytes())[
        "hooks"
    ]
    program = shell.having(PATH=f"{BIN}:/usr/bin:/bin")

    ran = {
        command: program.run("sh", "-c", command, stdin=b"{}")
        for event in hooks.values()
        for command in commands(event)
    }

    assert [each.code for each in ran.values()] == [0, 0, 0]
    context = json.loads(ran["worker prime --hook-json"].stdout)[
        "hookSpecificOutput"
    ]["additionalContext"]
    assert context.startswith("# You are the agent `ada`")


def test_unwritable_folder_is_an_error(project: Shell) -> None:
    (project.folder / ".codex/config.toml").unlink()
    (project.folder / ".codex/config.toml").mkdir()

    ran = project.orchestrate("setup", "codex")

    assert ran.code == 5
    assert "config.toml" in ran.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Missing argument"),
        (["vim"], "'vim' is not one of"),
        (
            ["claude", "--check", "--remove"],
            "leave it out, or leave out --remove",
        ),
    ],
)
def test_invalid_setup_call_is_refused(
    shell: Shell, words: list[str], message: str
) -> None:
    ran = shell.orchestrate("setup", *words)

    assert ran.code == 2
    assert message in ran.stderr


def test_setup_needs_no_redis_and_no_root(shell: Shell) -> None:
    away = shell.having(TASKORCH_REDIS_URL="redis://127.0.0.1:1")

    assert away.orchestrate("setup", "claude").code == 0
    assert not (shell.folder / ".task-orchestrator").exists()
