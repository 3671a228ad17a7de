#!/usr/bin/env python3
"""Run `worker` from a checkout, by this Python or by that of `.venv`."""

import sys
from pathlib import Path

sys.path[:0] = [
    str(Path(__file__).resolve().parent / root)
    for root in ("shared", "worker")
]

from taskorch.checkout import use_environment  # noqa: E402

if __name__ == "__main__":
    use_environment(__file__)

    from taskorch_worker.cli import main

    main()
