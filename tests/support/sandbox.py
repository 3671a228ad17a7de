"""Runs a command where the kernel refuses sockets, like a sandbox of an agent program.

python sandbox.py EPERM orchestrate projects
"""

import ctypes
import errno
import os
import platform
import struct
import sys

#: The numbers of connect and bind.
CALLS = {"x86_64": (42, 49), "aarch64": (203, 200)}
NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER_MODE = 38, 22, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000


class Program(ctypes.Structure):
    """The `sock_fprog` of the kernel."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def is_available() -> bool:
    """Return whether the filter works on this kernel and processor."""
    return sys.platform == "linux" and platform.machine() in CALLS


def refuse_sockets(number: int) -> None:
    """Make connect and bind fail with an error number, here and in child processes."""
    connect, bind = CALLS[platform.machine()]
    instructions = (
        (LOAD_WORD, 0, 0, 0),
        (JUMP_IF_EQUAL, 1, 0, connect),
        (JUMP_IF_EQUAL, 0, 1, bind),
        (RETURN, 0, 0, REFUSE | number),
        (RETURN, 0, 0, ALLOW),
    )
    packed = b"".join(
        struct.pack("HBBI", *instruction) for instruction in instructions
    )
    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(instructions), packed)
    for words in (
        (NO_NEW_PRIVILEGES, 1, 0, 0, 0),
        (SET_SECCOMP, FILTER_MODE, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*words):
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    refuse_sockets(getattr(errno, sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
