"""A connection to a Unix socket, opened only if the server behind it belongs to a user who may feed this process."""

import os
import socket
import stat
import struct
from errno import EACCES

from taskorch.domain import errors

#: Linux has one option for pid and uid; macOS has one for each, whose numbers Python does not name.
_PEER_CREDENTIALS = getattr(socket, "SO_PEERCRED", 0)
_MACOS_LEVEL, _MACOS_PEER_USER, _MACOS_PEER_PID = 0, 1, 2


def connected(path: str, timeout_s: float, *, private: bool) -> socket.socket:
    """Return an open connection to the socket at `path`, to which nothing has been sent yet.

    `private` is for the bundled server: its folder must belong to this user, and its process to this user or to root.
    The user may name any other socket, but where everyone can make files, a server of another user is refused.
    Raises OSError if nobody listens or this process may not connect, errors.ForeignServer.
    """
    if private:
        need_own_folder(path)
    opened = socket.socket(socket.AF_UNIX)
    try:
        opened.settimeout(timeout_s)
        _connect(opened, path)
        _need_known_peer(opened, path, private=private)
    except BaseException:
        opened.close()
        raise
    return opened


def _connect(opened: socket.socket, path: str) -> None:
    try:
        opened.connect(path)
    except PermissionError as error:
        if error.errno == EACCES and not os.access(path, os.W_OK):
            raise PermissionError(
                EACCES, "its mode keeps this user out", path
            ) from None
        raise


def peer(opened: socket.socket) -> tuple[int, int]:
    """Return pid and uid of the process that listens at the other end; pid 0 if it is in another pid namespace."""
    if _PEER_CREDENTIALS:
        pid, uid, _ = struct.unpack(
            "3i", opened.getsockopt(socket.SOL_SOCKET, _PEER_CREDENTIALS, 12)
        )
        return pid, uid
    _, uid = struct.unpack_from(
        "Ii", opened.getsockopt(_MACOS_LEVEL, _MACOS_PEER_USER, 76)
    )
    (pid,) = struct.unpack("i", opened.getsockopt(_MACOS_LEVEL, _MACOS_PEER_PID, 4))
    return pid, uid


def _need_known_peer(opened: socket.socket, path: str, *, private: bool) -> None:
    _, uid = peer(opened)
    if uid not in (os.getuid(), 0) and (private or _is_open_to_everyone(path)):
        raise errors.ForeignServer(
            place=path,
            reason=f"it belongs to another user (uid {uid})",
            bundled=int(private),
        )


def need_own_folder(path: str) -> None:
    """Refuse a folder, or a link in the place of the socket, that another user or a checkout may have put there.

    Raises errors.ForeignServer, OSError for a folder that does not exist.
    """
    folder = os.path.dirname(path)
    status = os.lstat(folder)
    if stat.S_ISLNK(status.st_mode):
        raise errors.ForeignServer(
            place=folder, reason="it is a symbolic link", bundled=1
        )
    if status.st_uid != os.getuid():
        raise errors.ForeignServer(
            place=folder,
            reason=f"it belongs to another user (uid {status.st_uid})",
            bundled=1,
        )
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        os.chmod(folder, stat.S_IRWXU)
    if stat.S_ISLNK(_mode(path)):
        raise errors.ForeignServer(
            place=path, reason="it is a symbolic link", bundled=1
        )


def _mode(path: str) -> int:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:  # connecting reports that
        return 0


def _is_open_to_everyone(path: str) -> bool:
    """Return whether any folder on the way to the socket is one that every user can write to, as /tmp is."""
    folder = os.path.realpath(os.path.dirname(path))
    while True:
        if os.stat(folder).st_mode & stat.S_IWOTH:
            return True
        above = os.path.dirname(folder)
        if above == folder:
            return False
        folder = above
