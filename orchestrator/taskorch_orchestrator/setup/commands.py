"""How an agent program calls our commands: by name, or by an absolute path.

A program starts them from its own environment, or from a login shell, which may reset
PATH. So the name is written if a login shell finds the command, else the path.
"""

import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from taskorch.config import user_folder
from taskorch.domain.frozen import Frozen

NAMES = ("worker", "orchestrate")
#: A profile may take its time; one that waits for input never ends.
LOGIN_LIMIT_S = 5.0
#: What a login shell begins with, before its profile.
LOGIN_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
#: Variables that a login shell has.
LOGIN_VARIABLES = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR")
#: The files that a login shell reads from the home, the first one that exists.
PROFILES = {
    "bash": (".bash_profile", ".bash_login", ".profile"),
    "fish": (".config/fish/config.fish",),
    "zsh": (".zprofile",),
}
PRINT_PATH = """printf '\\ntaskorch-path:%s\\n' "$PATH\""""


class Commands(Frozen):
    """The form in which a program calls `worker` and `orchestrate`."""

    #: The folder of both commands; None to call them by name.
    folder: Path | None = None
    #: The login shell that does not find them; "" if it does.
    shell: str = ""
    #: The PATH of the login shell.
    login_path: str = ""

    def program(self, name: str) -> str:
        """Return the first argument with which a command is started."""
        return str(self.folder / name) if self.folder else name

    def line(self, command: str) -> str:
        """Return a command line for a shell; the command is its first word."""
        name, separator, arguments = command.partition(" ")
        return shlex.quote(self.program(name)) + separator + arguments

    @property
    def home(self) -> Path:
        """The home of the user, whose login shell it is."""
        return Path(user_folder.home(os.environ))


def find(environment: Mapping[str, str]) -> Commands:
    """Return names if a login shell finds our commands, else their absolute paths."""
    shell = _login_shell(environment)
    path = _login_path(shell, environment)
    folder = _own_folder()
    if folder is None or all(_is_found(name, path, folder) for name in NAMES):
        return Commands(login_path=path)
    return Commands(folder=folder, shell=shell, login_path=path)


def profile_of(shell: str, home: Path) -> Path:
    """Return the file that a login shell reads at its start, or would read."""
    names = PROFILES.get(Path(shell).name, (".profile",))
    files = [home / name for name in names]
    return next(filter(Path.exists, files), files[-1])


def _login_shell(environment: Mapping[str, str]) -> str:
    shell = environment.get("SHELL")
    if not shell:
        with suppress(KeyError):  # the uid of a container may have none
            shell = pwd.getpwuid(os.getuid()).pw_shell
    return shell or "/bin/sh"


def _own_folder() -> Path | None:
    """Return the folder of the commands of this installation, None if it has none."""
    started = Path(sys.argv[0]).absolute().parent
    for folder in (started, Path(sysconfig.get_path("scripts"))):
        if all(os.access(folder / name, os.X_OK) for name in NAMES):
            return folder
    return None


def _is_found(name: str, path: str, folder: Path) -> bool:
    """Return whether a PATH leads to our command, not to one of the same name."""
    found = shutil.which(name, path=path)
    if not found:
        return False
    return (folder / name).samefile(found) or is_ours(found, name)


def is_ours(file: str, name: str) -> bool:
    """Return whether a command is one of any version of Task Orchestrator."""
    output = output_of([file, "--version"], dict(os.environ), LOGIN_LIMIT_S)
    return re.match(rf"{name} \d", output) is not None


def _login_path(shell: str, environment: Mapping[str, str]) -> str:
    """Return the PATH of a login shell; that of /bin/sh if the shell prints none."""
    known = {
        name: environment[name]
        for name in LOGIN_VARIABLES
        if name in environment
    }
    login = {**known, "PATH": LOGIN_PATH, "TERM": "dumb"}
    for each in (shell, "/bin/sh"):
        output = output_of([each, "-lc", PRINT_PATH], login, LOGIN_LIMIT_S)
        found = re.search(r"(?m)^taskorch-path:(.*)$", output)
        if found:
            return found[1]
    return LOGIN_PATH


def output_of(
    words: list[str], environment: Mapping[str, str], limit_s: float
) -> str:
    """Return what a command prints, "" if it cannot be started or takes too long."""
    home = user_folder.home(os.environ)
    try:
        process = subprocess.Popen(
            words,
            env=environment,
            cwd=home if Path(home).is_dir() else "/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return ""
    with process:
        try:
            output, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            # Its children hold the pipe open.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return ""
    return output.decode(errors="replace")
