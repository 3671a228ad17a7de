"""What a process has to do that adopts orphans, as PID 1 of a container does: reap them when they end.

PID 1: worker run ----forks----> worker run, which works on the items
         |  reaps every child that ends, passes signals on
         '-- ends as the other one does

The process that works does not adopt anything, so nothing takes the exit status of a command away from it.
"""

import os
import signal
from contextlib import suppress
from time import monotonic, sleep

#: Of Linux: the signal that a process gets when its parent ends; whether it adopts the orphans among its descendants.
PR_SET_PDEATHSIG, PR_GET_CHILD_SUBREAPER = 1, 37
#: How long others may take to end after the run: the guard removes the folder of the run, and dies with PID 1.
LAST_REAPED_S = 1.0
LOOK_AGAIN_S = 0.01
PASSED_ON = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def split_off_init() -> None:
    """In a process that adopts orphans, fork: the child returns from this call, the parent reaps and never returns."""
    if not _adopts_orphans():
        return
    signal.signal(
        signal.SIGCHLD, signal.SIG_DFL
    )  # ignored by the starter, it would take exit statuses away
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD, *PASSED_ON))
    parent = os.getpid()
    child = os.fork()
    if child:
        os._exit(_reap_until_end_of(child))
    _end_with(parent)
    os.setpgid(
        0, 0
    )  # Ctrl-C reaches the parent alone, which passes it on: it must not count twice
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _adopts_orphans() -> bool:
    if os.getpid() == 1:
        return True
    with suppress(
        OSError, AttributeError, ImportError
    ):  # other systems have no such processes
        import ctypes

        adopts = ctypes.c_int(0)
        ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(adopts), 0, 0, 0)
        return adopts.value == 1
    return False


def _end_with(parent: int) -> None:
    """Have this process killed when its parent is, as the kernel does with every process below PID 1."""
    with suppress(OSError, AttributeError, ImportError):
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it ended before that
        os.kill(os.getpid(), signal.SIGKILL)


def _reap_until_end_of(child: int) -> int:
    """Reap every child that ends, and pass signals on to `child`; return its exit code when it has ended."""
    while True:
        number = signal.sigwait((signal.SIGCHLD, *PASSED_ON))
        if number != signal.SIGCHLD:
            os.kill(child, number)
            continue
        while (ended := _reaped()) is not None:
            pid, status = ended
            if pid == child:
                _reap_the_others()
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def _reap_the_others() -> None:
    deadline = monotonic() + LAST_REAPED_S
    with suppress(ChildProcessError):  # none is left
        while monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                sleep(LOOK_AGAIN_S)


def _reaped() -> tuple[int, int] | None:
    """Return a child that has ended, with its wait status; None where none has."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None
