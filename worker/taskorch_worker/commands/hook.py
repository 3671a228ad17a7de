"""The command `hook stop`."""

from taskorch_worker.group import WorkerGroup, worker


@worker.group(cls=WorkerGroup, epilog="Example: worker hook stop")
def hook() -> None:
    """Answer the hooks of your agent program."""


@hook.command(epilog="Example: worker hook stop")
def stop() -> None:
    """Remind the agent of unfinished items, once per turn. Always exits 0.

    For the stop hook of an agent program, whose JSON it reads from standard input.
    """
    from taskorch.cli import hooks

    from taskorch_worker import stop_hook

    hooks.stop(stop_hook.reminder)
