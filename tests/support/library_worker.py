"""A `Worker` among several processes, whose handler meets every kind of trouble.

Run as `python library_worker.py THREADS PREFETCH URL NAMESPACE AGENT LOG SEED`. It logs
one line of JSON for each end of a handler, except for results that the worker delivers,
and stops when standard input has a line. With the seed -1, its handler never ends, and
it keeps its leases even if it is delayed.
"""

import json
import sys
from pathlib import Path
from random import Random
from threading import Event, Lock, Thread
from time import sleep

from taskorch import Queue, Task, Worker, errors

LEASE_MS, HOUR_MS = 500, 3_600_000


def main(*words: str) -> None:
    """Work until standard input has a line."""
    threads, prefetch, url, namespace, agent, log, seed = words
    random, lock = Random(seed), Lock()

    def note(task: Task, end: str) -> None:
        with lock, Path(log).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"item": task.id, "end": end}) + "\n")

    def handler(task: Task) -> str | None:
        if seed == "-1":
            Event().wait()
        with lock:
            chance = random.random()
        try:
            task.progress("Begun")
            sleep(chance / 50)
            if chance < 0.2:
                note(task, "failed")
                raise ValueError(f"chance {chance}")
            if chance < 0.23:
                note(task, "released")
                task.release(reason="Not now")
                return None
            if chance > 0.7:
                return "Done by the worker"
            if chance < 0.4:
                Path(log).touch()
                sleep(0.3)  # the lease may be lost
            task.complete(f"Done in {seed}", deliverables={"chance": chance})
        except errors.Conflict:
            note(task, "lost")
            raise
        note(task, "completed")
        return None

    with Queue.open(url, namespace, "planner") as queue:
        worker = Worker(
            agent,
            handler,
            concurrency=int(threads),
            queue=queue,
            lease_ms=HOUR_MS if seed == "-1" else LEASE_MS,
            prefetch=int(prefetch),
        )
        Thread(target=stop_at_line, args=[worker], daemon=True).start()
        worker.run()


def stop_at_line(worker: Worker) -> None:
    """Stop the worker when standard input has a line."""
    sys.stdin.readline()
    worker.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
