#!/usr/bin/env python3
"""The `worker` command from a checkout; needs the dependencies of pyproject.toml."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent / root) for root in ("shared", "worker")]

from taskorch_worker.cli import main  # noqa: E402  after the source roots are known

if __name__ == "__main__":
    main()
