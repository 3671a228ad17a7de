"""The signature of a file: a text that changes whenever the file is written."""

import os


def of(status: os.stat_result) -> str:
    """Return the signature of a file from its status."""
    return f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"
