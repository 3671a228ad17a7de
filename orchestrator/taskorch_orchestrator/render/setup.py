"""The output of `orchestrate setup`: the state of each file, and hints."""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from taskorch.cli.text import line

from taskorch_orchestrator.setup.commands import (
    NAMES,
    Commands,
    profile_of,
)
from taskorch_orchestrator.setup.install import ProgramFile
from taskorch_orchestrator.setup.installed import Installed
from taskorch_orchestrator.setup.programs import Target
from taskorch_orchestrator.setup.remote_server import TOKEN

#: What each program may do without asking, after setup with approval.
APPROVED = {
    "claude": "Claude Code calls the tools of a worker, and those that only read, without asking.",
    "codex": "Codex calls all tools of our server without asking, those of an orchestrator, too.",
    "gemini": "Gemini calls all tools of our server without asking, those of an orchestrator, too.",
    "qwen": "Qwen Code calls all tools of our server without asking, those of an orchestrator, too.",
}
#: What a person still has to do.
STEPS = {
    "claude": (
        "Start `claude` here once, and answer that you trust the folder; `claude -p` works before that, too. Start it "
        "here, not in a subfolder: there, it reads no hooks."
    ),
    "codex": (
        "Start `codex` here once, and trust the folder (in a script: codex exec --trust PROMPT) and the hooks. Until "
        "then, it starts no server and no hook; `codex exec` does not mention the hooks. /hooks shows them."
    ),
    "gemini": (
        "Start `gemini` here once, and trust the folder (in a script: gemini --skip-trust): until then, it starts no "
        "server and no hook. Start it here, not in a subfolder: there, it reads GEMINI.md alone."
    ),
}
#: The same with --user, if it is something else: a program trusts its user's files.
USER_STEPS = {
    "claude": "Claude Code asks in each folder whether you trust it; `claude -p` does not.",
    "codex": (
        "Start `codex` once, and trust the hooks. Until then, it runs none; `codex exec` does not say so. /hooks shows "
        "them."
    ),
    "gemini": (
        "Gemini asks in each folder whether you trust it (in a script: gemini --skip-trust): until you do, it starts "
        "no server and no hook."
    ),
}
#: What else a person should know.
NOTES = {
    "cursor": (
        "Set AGENT_SESSION. Without it, agents in Cursor are not reminded of unfinished items.",
    ),
    "codex": (
        (
            "On a terminal, start an agent with: AGENT_ID=NAME codex --no-daemon. Otherwise, the background server "
            "of Codex has the variables of the first terminal."
        ),
        (
            "In the sandbox of Codex, `worker` and `orchestrate` cannot connect to the queue; our tools can. How to "
            "allow them: orchestrate docs agents#recipes"
        ),
    ),
}


def files(changed: Sequence[ProgramFile]) -> str:
    """Return a line for each file."""
    return "\n".join(
        f"{file.status:11}  {line(file.file)}" for file in changed
    )


def hints(
    program: str, target: Target, queue_root: Path, installed: Installed
) -> Iterator[str]:
    """Yield whose files and queue these are, and what the user has to do."""
    if target.remote or queue_root == target.root:
        yield f"These are the files of {target.root}."
    else:
        yield f"These are the files of {target.root}; its queue is that of {queue_root}."
    yield from _remote(target)
    yield from _paths(target)
    yield from _program(installed)
    if program in APPROVED:
        yield from _approval(program, target)
    steps = {**STEPS, **USER_STEPS} if target.is_user else STEPS
    if program in steps:
        yield steps[program]
    yield from NOTES.get(program, ())


def _remote(target: Target) -> Iterator[str]:
    """Yield what the program needs in its environment for the server of a gateway."""
    remote = target.remote
    if remote is None:
        return
    name = "AGENT_ID" if remote.role == "worker" else "ORCHESTRATOR_ID"
    yield f"Its MCP server is {remote.url}. No token is in the files: start the program with these variables."
    yield f"  TASKORCH_URL={remote.gateway} {TOKEN}=tok_… {name}=…"
    yield (
        f"{TOKEN} is an access token for that name: orchestrate token create NAME --role {remote.role}. The hooks and "
        "commands need all three."
    )


def _program(installed: Installed) -> Iterator[str]:
    """Yield what is wrong with the program on this machine."""
    if not installed.path:
        yield f"`{installed.command}` is not on the PATH of this shell. It will read these files when it is installed."
    elif installed.is_too_old:
        yield (
            f"`{installed.command}` is version {installed.version}, which ignores a part of these files. Update it to "
            f"{installed.minimum} or newer."
        )


def _paths(target: Target) -> Iterator[str]:
    """Yield why the files contain paths, and how to do without them."""
    commands = target.commands
    if commands.folder is None:
        return
    yield (
        f"The files contain the path of `worker` and `orchestrate` in {commands.folder}, because a login shell "
        f"({commands.shell}) does not find them."
    )
    if not target.is_user:
        yield "Do not commit these files: the path may not exist on other machines."
    yield (
        "To have them found, also in the agent's shell, run this line. Then use --remove and set up again, for files "
        "without the path."
    )
    yield f"  {_links(commands)}"


def _links(commands: Commands) -> str:
    """Return the command after which a login shell finds our commands."""
    home = commands.home
    on_path = [
        Path(name)
        for name in commands.login_path.split(":")
        if name and Path(name).is_relative_to(home)
    ]
    folder = on_path[0] if on_path else home / ".local" / "bin"
    steps = [*_linked(commands, folder)]
    if not (on_path and steps):
        export = f'export PATH={shlex.quote(str(folder))}:"$PATH"'
        profile = shlex.quote(str(profile_of(commands.shell, home)))
        # The last line of the profile may have no line break.
        steps.append(rf"printf '\n%s\n' {shlex.quote(export)} >> {profile}")
    return " && ".join(steps)


def _linked(commands: Commands, folder: Path) -> Iterator[str]:
    """Yield the commands that link ours into a folder, if they are not in it."""
    sources = [
        commands.program(name)
        for name in NAMES
        if (folder / name).resolve() != Path(commands.program(name)).resolve()
    ]
    if sources:
        yield shlex.join(["mkdir", "-p", str(folder)])
        yield shlex.join(["ln", "-s", *sources, f"{folder}/"])


def _approval(program: str, target: Target) -> Iterator[str]:
    words = ["orchestrate", "setup", program]
    if target.is_user:
        words.append("--user")
    if target.approves:
        undo = shlex.join([*words, "--no-approve"])
        yield APPROVED[program]
        yield f"  Undo: {undo}"
    else:
        again = shlex.join([*words, "--approve"])
        yield "The program asks before it calls a tool of ours."
        yield f"  Change: {again}"


def lost_parts(
    removed: Sequence[ProgramFile], others: Mapping[str, Collection[Path]]
) -> Iterator[str]:
    """Yield the files that another program reads as well, and needs set up again."""
    for file in removed:
        for other, shared in others.items():
            if (
                file.status != "unchanged"
                and Path(file.file).resolve() in shared
            ):
                yield f"{file.file} is a file of {other} as well. If {other} needs it, set {other} up again."
