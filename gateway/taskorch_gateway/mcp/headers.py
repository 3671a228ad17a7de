"""The headers of MCP over HTTP: the version of a request, and what they repeat of it.

Since 2026-07-28, proxies read the method and the name of a request in its headers. So a
header that differs from the body is refused.
"""

import base64
import binascii
import re
from collections.abc import Mapping

from starlette.datastructures import Headers
from taskorch.mcp.messages import HEADER_MISMATCH, Message, ProtocolError
from taskorch.mcp.protocol import HANDSHAKE_VERSIONS, VERSION

SESSION = "mcp-session-id"
_VERSION, _METHOD, _NAME = "mcp-protocol-version", "mcp-method", "mcp-name"
#: The method -> the parameter that its header `Mcp-Name` repeats.
_NAMES: Mapping[str, str] = {
    "tools/call": "name",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
#: The methods whose clients may leave the name out: not every library knows them.
_MAY_LACK_NAME = ("tasks/get", "tasks/update", "tasks/cancel")
_ENCODED = r"=\?base64\?(.*)\?="


class Accepted:
    """The forms of a reply that a client accepts."""

    def __init__(self, header: str | None) -> None:
        """Read the header `Accept`; without it, a client accepts all."""
        kinds = {
            kind.partition(";")[0].strip().lower()
            for kind in (header or "*/*").split(",")
        }
        self.json = bool(kinds & {"*/*", "application/*", "application/json"})
        self.events = bool(kinds & {"*/*", "text/*", "text/event-stream"})


def is_modern(headers: Headers, message: Message | None) -> bool:
    """Return whether a request names its version itself, as since 2026-07-28.

    A header with an unknown version belongs to such a request, which is refused.
    """
    version = headers.get(_VERSION)
    if version is None:
        return bool(
            message
            and VERSION in message.meta
            and message.method != "initialize"
        )
    return version not in HANDSHAKE_VERSIONS


def check(headers: Headers, message: Message) -> None:
    """Raise ProtocolError unless the headers of a modern request repeat its body."""
    for name in (_VERSION, _METHOD, _NAME):
        if len(headers.getlist(name)) > 1:
            raise _mismatch(f"{name} appears more than once")
    version = message.meta.get(VERSION)
    if version is not None and headers.get(_VERSION) != version:
        raise _mismatch(f"{_VERSION} is not the version in _meta")
    if headers.get(_METHOD) != message.method:
        raise _mismatch(f"{_METHOD} is not the method of the body")
    parameter = _NAMES.get(message.method, "")
    value = message.params.get(parameter)
    if not isinstance(value, str):  # which is refused later
        return
    given = headers.get(_NAME)
    if given is None and message.method in _MAY_LACK_NAME:
        return
    if _decoded(given) != value:
        raise _mismatch(f"{_NAME} is not the {parameter} of the body")


def _decoded(value: str | None) -> str | None:
    """Return the text of a header, which may be encoded; None for one that is wrong."""
    match = re.fullmatch(_ENCODED, value or "")
    if not match:
        return value
    try:
        return base64.b64decode(match[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _mismatch(reason: str) -> ProtocolError:
    return ProtocolError(HEADER_MISMATCH, f"The header {reason}.")
