"""Who the agent is: whoami."""

from typing import TYPE_CHECKING

from taskorch_worker.role import at_desk, worker

if TYPE_CHECKING:
    from taskorch_worker.desk import Desk


@worker.command(epilog="Example: worker whoami")
@at_desk
def whoami(desk: "Desk") -> None:
    """Show who you are. Each setting says where it comes from."""
    from taskorch_worker import render

    desk.output.show(desk.whoami(), render.identity)
