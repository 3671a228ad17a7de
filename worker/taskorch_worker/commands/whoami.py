"""Who the agent is: whoami."""

from typing import TYPE_CHECKING

from taskorch_worker.group import at_desk, worker

if TYPE_CHECKING:
    from taskorch_worker.context import Desk


@worker.command(epilog="Example: worker whoami")
@at_desk
def whoami(desk: "Desk") -> None:
    """Show who you are. Each setting says where it comes from."""
    from taskorch_worker.render import items

    desk.output.show(desk.whoami(), items.identity)
