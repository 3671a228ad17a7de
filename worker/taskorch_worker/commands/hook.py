"""The command for the moment before an agent stops: hook stop."""

from taskorch_worker.group import WorkerGroup, worker


@worker.group(cls=WorkerGroup, epilog="Example: worker hook stop")
def hook() -> None:
    """Answer the hooks of the program that you run in."""


@hook.command(epilog="Example: worker hook stop")
def stop() -> None:
    """Say once a turn what to do before stopping, if you hold an item. Reads the hook's JSON; is never an error."""
    from taskorch.cli import hooks

    from taskorch_worker import stop_hook

    hooks.stop(stop_hook.before_stopping)
