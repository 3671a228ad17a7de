"""The browser of the person who types the command, here or on another machine."""

import os
import sys
from collections.abc import Mapping
from threading import Thread

#: Variables of a session over SSH, and of a display.
SSH = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
#: The browser that the user has chosen.
CHOSEN = "BROWSER"
#: SSH_CONNECTION is: address and port of the client, address and port of the server.
CONNECTION_WORDS = 4
SSH_PORT = "22"
#: A browser has started after this time. Its starter may end then.
STARTED_WITHIN_S = 5.0


def is_here(environment: Mapping[str, str]) -> bool:
    """Return whether a browser that is opened here is in front of the person."""
    if environment.get(CHOSEN):
        return True
    if _has_one(environment, SSH):
        return False
    return sys.platform == "darwin" or _has_one(environment, DISPLAYS)


def open_link(link: str, *, wait_s: float = 0.0) -> None:
    """Open a link, and wait at most `wait_s` seconds for the start of the browser.

    Some browsers end only when they are closed.
    """
    import webbrowser

    opening = Thread(target=webbrowser.open, args=(link,), daemon=True)
    opening.start()
    opening.join(wait_s)


def forwarding(url: str, environment: Mapping[str, str]) -> str:
    """Return the command by which another machine reaches an address of this one."""
    port = url.rpartition(":")[2]
    words = environment.get(SSH[0], "").split()
    options, host = "", os.uname().nodename
    if len(words) == CONNECTION_WORDS:
        host = words[2]
        options = "" if words[3] == SSH_PORT else f" -p {words[3]}"
    user = environment.get("USER", "")
    place = f"{user}@{host}" if user else host
    return f"ssh -N -L {port}:127.0.0.1:{port}{options} {place}"


def _has_one(
    environment: Mapping[str, str], variables: tuple[str, ...]
) -> bool:
    return any(environment.get(variable) for variable in variables)
