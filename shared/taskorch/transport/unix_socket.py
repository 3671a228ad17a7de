"""Connects to a Unix socket, if the server behind it may be given this user's data."""

import os
import socket
import stat
import struct
from errno import EACCES

from taskorch.domain import errors

#: Linux has one option for pid and uid. macOS has two, without names in Python.
_PEER_CREDENTIALS = getattr(socket, "SO_PEERCRED", 0)
_MACOS_LEVEL, _MACOS_PEER_USER, _MACOS_PEER_PID = 0, 1, 2


def connect(path: str, timeout_s: float, *, private: bool) -> socket.socket:
    """Return a connection to the socket at `path`, to which nothing has been sent yet.

    `private` is for the bundled server: its folder must belong to this user, and its
    process to this user or to root. Any other socket may be in any folder, but if every
    user can write to one of the folders above it, a server of another user is refused.
    Raises errors.ForeignServer, and OSError if the connection is not possible.
    """
    if private:
        need_own_folder(path)
    opened = socket.socket(socket.AF_UNIX)
    try:
        opened.settimeout(timeout_s)
        try:
            opened.connect(path)
        except PermissionError as error:
            if error.errno == EACCES and not os.access(path, os.W_OK):
                reason = "its mode does not let this user in"
                raise PermissionError(EACCES, reason, path) from None
            raise
        _need_known_peer(opened, path, private=private)
    except BaseException:
        opened.close()
        raise
    return opened


def peer(opened: socket.socket) -> tuple[int, int]:
    """Return pid and uid of the process at the other end of a Unix socket.

    The pid is 0 if the process is in another pid namespace.
    """
    if _PEER_CREDENTIALS:
        pid, uid, _ = struct.unpack(
            "3i", opened.getsockopt(socket.SOL_SOCKET, _PEER_CREDENTIALS, 12)
        )
        return pid, uid
    _, uid = struct.unpack_from(
        "Ii", opened.getsockopt(_MACOS_LEVEL, _MACOS_PEER_USER, 76)
    )
    (pid,) = struct.unpack(
        "i", opened.getsockopt(_MACOS_LEVEL, _MACOS_PEER_PID, 4)
    )
    return pid, uid


def need_own_folder(path: str) -> None:
    """Check that another user or a checkout did not provide the socket at `path`.

    Its folder must belong to this user, and is made private. Neither may be a symbolic
    link. Raises errors.ForeignServer, and OSError if the folder does not exist.
    """
    folder = os.path.dirname(path)
    status = os.lstat(folder)
    owner, mode = status.st_uid, status.st_mode
    if stat.S_ISLNK(mode):
        raise _foreign(folder, "it is a symbolic link", is_bundled=True)
    if owner != os.getuid():
        reason = f"it belongs to another user (uid {owner})"
        raise _foreign(folder, reason, is_bundled=True)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        os.chmod(folder, stat.S_IRWXU)
    if os.path.islink(path):
        raise _foreign(path, "it is a symbolic link", is_bundled=True)


def _need_known_peer(
    opened: socket.socket, path: str, *, private: bool
) -> None:
    _, uid = peer(opened)
    if uid in (os.getuid(), 0):
        return
    if private or _is_open_to_everyone(path):
        reason = f"it belongs to another user (uid {uid})"
        raise _foreign(path, reason, is_bundled=private)


def _is_open_to_everyone(path: str) -> bool:
    """Return whether every user can write to a folder above the socket, such as /tmp."""
    folder = os.path.realpath(os.path.dirname(path))
    while True:
        if os.stat(folder).st_mode & stat.S_IWOTH:
            return True
        parent = os.path.dirname(folder)
        if parent == folder:
            return False
        folder = parent


def _foreign(
    place: str, reason: str, *, is_bundled: bool
) -> errors.ForeignServer:
    return errors.ForeignServer(
        place=place, reason=reason, bundled=int(is_bundled)
    )
