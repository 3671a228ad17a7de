"""The command for the moment before an agent stops: hook stop."""

from taskorch_worker.role import WorkerGroup, worker


@worker.group(cls=WorkerGroup, epilog="Example: worker hook stop")
def hook() -> None:
    """Answer the hooks of the tool that you run in."""


@hook.command(epilog="Example: worker hook stop")
def stop() -> None:
    """Say once a turn what to do before stopping, if you hold an item. Reads the hook's JSON; is never an error."""
    from contextlib import suppress

    from taskorch import hooked

    from taskorch_worker import turn

    said, reason = hooked.payload(), ""
    with hooked.bounded(), suppress(Exception):  # whatever is wrong here must not keep the agent from stopping
        reason = turn.before_stopping(said)
    if reason:
        hooked.answer(hooked.stop(said, reason))
