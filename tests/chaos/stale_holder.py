"""The fencing test, staged so that it takes place in every run: a holder sleeps past its lease, and wakes up stale."""

import os
import signal

from chaos.api_agent import STEPS, Api
from chaos.process_config import Duty, begin
from chaos.worker import Worker


def run(duty: Duty) -> None:
    """Claim one item, stop as SIGSTOP does, and try every verb of a holder when woken up."""
    begin(duty)
    worker = Worker(duty, Api(duty))
    while duty.goes_on():
        if taken := worker.claim():
            worker.suffer("asleep", taken.lease)
            os.kill(os.getpid(), signal.SIGSTOP)
            for verb in STEPS:
                worker.step(verb, taken.lease)
            return
