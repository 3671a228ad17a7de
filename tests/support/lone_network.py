"""Runs a command that reaches the network only through a proxy on a Unix socket.

    unshare -rn python lone_network.py SOCKET USER:PASSWORD COMMAND …

Its network has no other way out, as in the sandbox of a cloud agent. Without unshare
the command has the network of the machine, and is told of the same proxy.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from threading import Thread

GET_FLAGS, SET_FLAGS, IS_UP = 0x8913, 0x8914, 1
READ_BYTES = 65536


def switch_loopback_on() -> None:
    """Switch on the loopback of a new network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        request = struct.pack("16sH14x", b"lo", 0)
        _, flags = struct.unpack(
            "16sH14x", fcntl.ioctl(asked, GET_FLAGS, request)
        )
        if not flags & IS_UP:
            request = struct.pack("16sH14x", b"lo", flags | IS_UP)
            fcntl.ioctl(asked, SET_FLAGS, request)


def forward(listening: socket.socket, path: str) -> None:
    """Forward each connection to a Unix socket, for ever."""
    while True:
        client, _ = listening.accept()
        there = socket.socket(socket.AF_UNIX)
        there.connect(path)
        for ends in ((client, there), (there, client)):
            Thread(target=pump, args=ends, daemon=True).start()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes in one direction until they end."""
    with suppress(OSError):
        while data := source.recv(READ_BYTES):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def main(path: str, user: str, *command: str) -> int:
    """Run the command, and return its exit code."""
    switch_loopback_on()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        Thread(target=forward, args=(listening, path), daemon=True).start()
        proxy = f"http://{user}@127.0.0.1:{port}"
        variables = {**os.environ, "HTTPS_PROXY": proxy}
        return subprocess.run(command, env=variables, check=False).returncode


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
