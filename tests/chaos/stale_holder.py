"""A holder that is suspended past its lease, and then tries every verb."""

import os
import signal

from chaos.api_agent import STEPS, ApiClient
from chaos.process_config import ProcessConfig, start
from chaos.worker import Worker


def run(config: ProcessConfig) -> None:
    """Claim one item, suspend this process, and try every verb after SIGCONT."""
    start(config)
    worker = Worker(config, ApiClient(config))
    while config.is_running():
        if claimed := worker.claim():
            worker.record_fault("suspended", claimed.lease)
            os.kill(os.getpid(), signal.SIGSTOP)
            for verb in STEPS:
                worker.step(verb, claimed.lease)
            return
