"""The `orchestrate` command, put together from its modules."""

from taskorch import command

from taskorch_orchestrator import (  # noqa: F401  they add their commands
    mending,
    monitoring,
    moving,
    planning,
    server,
    syncing,
)
from taskorch_orchestrator.role import orchestrate

__all__ = ["main", "orchestrate"]


def main() -> None:
    """Run the `orchestrate` command."""
    command.run(orchestrate, "orchestrate")


if __name__ == "__main__":
    main()
