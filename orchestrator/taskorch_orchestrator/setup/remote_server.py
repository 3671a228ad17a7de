"""The MCP server of a gateway, as an agent program reaches it.

The access token is never written: the files name the variable that holds it.
"""

import re
from typing import Literal

from taskorch.config import token
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.transport import gateway

#: The variable that holds the access token.
TOKEN = token.VARIABLE
#: The members of an entry that hold the address of a server.
ADDRESSES = ("url", "httpUrl")
_ADDRESS = r"(?P<gateway>https?://.+)/mcp/(?P<role>worker|orchestrator)/?"

Role = Literal["worker", "orchestrator"]


class RemoteServer(Frozen):
    """The server of one role."""

    #: The address of the gateway, without a slash at its end.
    gateway: str
    role: Role

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"{self.gateway}/mcp/{self.role}"


def of_gateway(url: str, role: Role) -> RemoteServer:
    """Return the server of a role of a gateway.

    Raises errors.Usage for an invalid address, and for one without TLS that is not on
    this machine.
    """
    gateway.parse(url, "")
    if re.fullmatch(_ADDRESS, url):
        raise errors.Usage(
            reason="Name the gateway alone, such as https://queue.example. Option "
            "--role selects the server."
        )
    return RemoteServer(gateway=url.rstrip("/"), role=role)


def parse(address: str) -> RemoteServer | None:
    """Return the server at an address, None if it is not one of a gateway."""
    match = re.fullmatch(_ADDRESS, address)
    if not match:
        return None
    role: Role = "worker" if match["role"] == "worker" else "orchestrator"
    return RemoteServer(gateway=match["gateway"], role=role)


def server_in(value: object) -> RemoteServer | None:
    """Return the server that an entry of a configuration file names, None for others."""
    if isinstance(value, dict):
        for name in ADDRESSES:
            if found := parse(str(value.get(name, ""))):
                return found
    return None
