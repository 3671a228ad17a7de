#!/usr/bin/env python3
"""The `worker` command from a checkout; needs the dependencies of pyproject.toml."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent / root) for root in ("shared", "worker")]

try:
    from taskorch_worker.cli import main
except ModuleNotFoundError as missing:
    sys.exit(f"Error: the module {missing.name} is not installed. In the checkout: pip install .")

if __name__ == "__main__":
    main()
