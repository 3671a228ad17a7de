"""The streams that a command prints to."""

from enum import StrEnum


class Stream(StrEnum):
    """A stream of a command, as the log with `--json` names it."""

    STDOUT = "stdout"
    STDERR = "stderr"
