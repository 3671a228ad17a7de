"""The modules of the gateway, which stands on top of this package."""

from contextlib import suppress
from importlib.metadata import entry_points
from typing import Any

from taskorch.domain import errors

#: The entry points by which its modules are found.
GROUP = "taskorch.gateway"


def load(name: str) -> Any:  # noqa: ANN401  a module that this package does not know
    """Return a module of the gateway. Raises errors.Usage if it is not installed."""
    for found in entry_points(group=GROUP, name=name):
        with suppress(ModuleNotFoundError):
            return found.load()
    raise errors.Usage(
        reason="The gateway is not installed. In a checkout, run: "
        "pipx install --force '.[gateway]'"
    )
