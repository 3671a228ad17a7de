#!/usr/bin/env python3
"""The `orchestrate` command from a checkout; needs the dependencies of pyproject.toml."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent / root) for root in ("shared", "orchestrator")]

from taskorch_orchestrator.cli import main  # noqa: E402  after the source roots are known

if __name__ == "__main__":
    main()
