"""Becomes a command when its starter is ready.

It runs as a script. Its starter first registers the process group with the reaper, and
then writes a byte. If the starter ends before that, so does this process.
"""

import os
import signal
import sys

#: The exit status that releases the item: EX_TEMPFAIL of sysexits.h.
RELEASES = 75


def main(stdin: str, *command: str) -> None:
    """Wait for a byte on stdin, then become the command, which reads the file `stdin`."""
    if not os.read(0, 1):
        return
    try:
        os.dup2(os.open(stdin, os.O_RDONLY), 0)
        # Python ignores these signals, and the command would inherit that.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606  the user asked for this command
    except OSError as error:
        os.write(2, f"the command could not be started: {error}\n".encode())
        os._exit(RELEASES)


if __name__ == "__main__":
    main(*sys.argv[1:])
