"""Becomes a command as soon as it is told to, so that whoever starts it can make its group known to the guard before.

It runs as a script. Where its starter ends without a word, so does this.
"""

import os
import signal
import sys

#: EX_TEMPFAIL of sysexits.h, not now: the item is released.
RELEASES = 75


def main(item: str, *command: str) -> None:
    """Wait for a byte on standard input; be the command then, with the file `item` as standard input."""
    if not os.read(0, 1):
        return
    try:
        os.dup2(os.open(item, os.O_RDONLY), 0)
        for number in (
            signal.SIGPIPE,
            signal.SIGXFSZ,
        ):  # Python ignores them, and so would the command
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606  that is what it is for
    except OSError as error:
        os.write(2, f"the command could not be started: {error}\n".encode())
        os._exit(RELEASES)


if __name__ == "__main__":
    main(*sys.argv[1:])
