"""A process that forks gateways: each is ready within moments, and may be killed.

    python gateway_parent.py

It reads lines of a port, the address of a Redis and a namespace from stdin, and prints
the process id of the gateway there.
"""

import os
import signal
import sys

import taskorch_gateway.server  # noqa: F401  so that no gateway has to import it
from taskorch_orchestrator.cli import main as orchestrate
from taskorch_orchestrator.commands import gateway  # noqa: F401  as above


def main() -> None:
    """Fork a gateway for each line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            serve(*line.split())
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def serve(port: str, url: str, namespace: str) -> None:
    """Be a gateway."""
    address = ("--listen", f"127.0.0.1:{port}")
    queue = ("--redis-url", url, "--namespace", namespace)
    sys.argv = ["orchestrate", *queue, "gateway", *address, "--rate", "0"]
    orchestrate()


if __name__ == "__main__":
    main()
