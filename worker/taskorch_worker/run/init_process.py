"""`worker run` as a process that adopts orphans, such as PID 1 of a container.

PID 1: worker run ----forks----> worker run, which works on the items
         |  reaps every child that ends, and passes signals on
         '-- ends when the other one does

The process that works adopts no orphans, so nothing else reaps its commands.
"""

import os
import signal
from contextlib import suppress
from time import monotonic, sleep

#: Numbers of Linux's prctl: the signal that a process gets when its parent ends, and
#: whether a process adopts the orphans among its descendants.
PR_SET_PDEATHSIG, PR_GET_CHILD_SUBREAPER = 1, 37
#: Time for the other children to end after the run: the reaper still has to clean up,
#: and the kernel kills it when PID 1 ends.
LAST_REAPED_S = 1.0
POLL_S = 0.01
PASSED_ON = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def split_off_init() -> None:
    """Fork if this process adopts orphans: the child returns, the parent never does."""
    if not _adopts_orphans():
        return
    # If our starter ignores SIGCHLD, the exit status of the child would be lost.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, (signal.SIGCHLD, *PASSED_ON)
    )
    parent = os.getpid()
    child = os.fork()
    if child:
        os._exit(_reap_until_end_of(child))
    _die_with(parent)
    # Ctrl-C must reach the parent alone, which passes it on: it would count twice.
    os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _adopts_orphans() -> bool:
    if os.getpid() == 1:
        return True
    # Other systems than Linux have no such processes.
    with suppress(OSError, AttributeError, ImportError):
        import ctypes

        libc = ctypes.CDLL(None)
        adopts = ctypes.c_int(0)
        libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(adopts), 0, 0, 0)
        return adopts.value == 1
    return False


def _die_with(parent: int) -> None:
    """Have this process killed when its parent ends, as after the end of PID 1."""
    with suppress(OSError, AttributeError, ImportError):
        import ctypes

        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # the parent had already ended
        os.kill(os.getpid(), signal.SIGKILL)


def _reap_until_end_of(child: int) -> int:
    """Reap children and pass signals on to `child` until it ends; return its code."""
    while True:
        number = signal.sigwait((signal.SIGCHLD, *PASSED_ON))
        if number != signal.SIGCHLD:
            os.kill(child, number)
            continue
        while (ended := _reaped()) is not None:
            pid, status = ended
            if pid == child:
                _reap_the_others()
                return _exit_code(status)


def _exit_code(status: int) -> int:
    """Return the exit code for a wait status; after a signal, as shells do."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return 128 - code
    return code


def _reap_the_others() -> None:
    deadline = monotonic() + LAST_REAPED_S
    with suppress(ChildProcessError):  # no child is left
        while monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                sleep(POLL_S)


def _reaped() -> tuple[int, int] | None:
    """Reap a child that has ended, and return its pid and status; None without one."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    if not pid:
        return None
    return pid, status
