"""The versions of the protocol, and the requests that need no tool.

Until 2025-11-25, a client opens with a handshake. Since 2026-07-28, each request names
its version instead. The first request of a client decides.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from taskorch.domain.frozen import Frozen
from taskorch.mcp.messages import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    UNSUPPORTED_VERSION,
    Message,
    ProtocolError,
)

#: The versions with a handshake, the newest last.
HANDSHAKE_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
#: The versions without one.
MODERN_VERSIONS = ("2026-07-28",)

VERSION = "io.modelcontextprotocol/protocolVersion"
CLIENT_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
SERVER_INFO = "io.modelcontextprotocol/serverInfo"
CAPABILITIES = {"tools": {"listChanged": False}}
#: The extension by which a long call returns a task. Versions with a handshake lack it.
TASKS = "io.modelcontextprotocol/tasks"
#: How long a client may keep a list: the next session may have another role.
NOT_CACHED = {"ttlMs": 0, "cacheScope": "private"}


class Server(Frozen):
    """What a server says about itself."""

    name: str
    version: str
    instructions: str
    #: Its tools, as clients list them.
    tools: Sequence[Mapping[str, Any]]
    #: The methods of the extension "tasks" that it has, such as "tasks/get".
    task_methods: Collection[str] = ()

    @property
    def info(self) -> Mapping[str, str]:
        """Its name and version."""
        return {"name": self.name, "version": self.version}


class ClientSession:
    """What server and client have agreed on."""

    def __init__(
        self, server: Server, *, is_modern: bool | None = None
    ) -> None:
        """Begin a session.

        A transport without sessions gives `is_modern`: whether requests name their
        version. Then each request has a session of its own, after the handshake.
        """
        self._server = server
        #: Whether requests name their version; None before the first one.
        self._is_modern = is_modern
        self._is_initialized = is_modern is not None

    def answer(self, request: Message) -> dict[str, Any] | None:
        """Return the result of a request, or None for a call of a tool.

        Raises ProtocolError.
        """
        names_version = VERSION in request.meta
        opens = request.method == "initialize"
        if self._is_modern is None:
            self._is_modern = names_version and not opens
        if self._is_modern:
            _check_modern(request)
            return self._modern_answer(request)
        if names_version and not opens:
            raise ProtocolError(
                INVALID_REQUEST,
                "this connection serves the handshake protocol era; "
                "requests carrying the 2026-07-28 envelope are not accepted on it",
            )
        return self._answer_after_handshake(request)

    def completed(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return a result with what the version of the protocol adds."""
        if not self._is_modern:
            return dict(result)
        return {
            "resultType": "complete",
            **result,
            "_meta": {SERVER_INFO: self._server.info},
        }

    def _modern_answer(self, request: Message) -> dict[str, Any] | None:
        server = self._server
        match request.method:
            case "server/discover":
                return self.completed(
                    {
                        "supportedVersions": MODERN_VERSIONS,
                        "capabilities": _capabilities(server),
                        "instructions": server.instructions,
                        **NOT_CACHED,
                    }
                )
            case "tools/list":
                return self.completed({"tools": server.tools, **NOT_CACHED})
            case "tools/call":
                return None
            case method if method in server.task_methods:
                _need_tasks(request)
                return None
            case method:
                raise _no_method(method)

    def _answer_after_handshake(
        self, request: Message
    ) -> dict[str, Any] | None:
        match request.method:
            case "initialize":
                return self._initialize(request.params)
            case "ping":
                return {}
            case "tools/list" | "tools/call" if not self._is_initialized:
                raise invalid_parameters()
            case "tools/list":
                return {"tools": self._server.tools}
            case "tools/call":
                return None
            case method:
                raise _no_method(method)

    def _initialize(self, params: Mapping[str, Any]) -> dict[str, Any]:
        asked = params.get("protocolVersion")
        is_valid = (
            isinstance(asked, str)
            and isinstance(params.get("capabilities"), dict)
            and isinstance(params.get("clientInfo"), dict)
        )
        if not is_valid:
            raise invalid_parameters()
        self._is_initialized = True
        is_known = asked in HANDSHAKE_VERSIONS
        return {
            "protocolVersion": asked if is_known else HANDSHAKE_VERSIONS[-1],
            "capabilities": CAPABILITIES,
            "serverInfo": self._server.info,
            "instructions": self._server.instructions,
        }


def takes_tasks(request: Message) -> bool:
    """Return whether the client of a request accepts a task in place of a result."""
    capabilities = request.meta.get(CLIENT_CAPABILITIES)
    if VERSION not in request.meta or not isinstance(capabilities, dict):
        return False
    extensions = capabilities.get("extensions")
    return isinstance(extensions, dict) and TASKS in extensions


def invalid_parameters() -> ProtocolError:
    """Return the error for parameters that the method does not take."""
    return ProtocolError(INVALID_PARAMS, "Invalid request parameters", "")


def _no_method(method: str) -> ProtocolError:
    return ProtocolError(METHOD_NOT_FOUND, "Method not found", method)


def _capabilities(server: Server) -> dict[str, Any]:
    if not server.task_methods:
        return CAPABILITIES
    return {**CAPABILITIES, "extensions": {TASKS: {}}}


def _need_tasks(request: Message) -> None:
    """Raise ProtocolError unless the client of a request has declared the extension."""
    if not takes_tasks(request):
        required: dict[str, Any] = {
            "requiredCapabilities": {"extensions": {TASKS: {}}}
        }
        reason = "Missing required client capability"
        raise ProtocolError(MISSING_CAPABILITY, reason, required)


def _check_modern(request: Message) -> None:
    """Raise ProtocolError unless a request names a version that is served."""
    if request.method == "initialize":
        asked = request.params.get("protocolVersion")
        raise _unsupported(
            "connection is serving the 2026-07-28 protocol; the initialize handshake is not accepted",
            asked if isinstance(asked, str) else None,
        )
    meta = request.params.get("_meta")
    if not isinstance(meta, dict):
        raise ProtocolError(
            INVALID_PARAMS,
            "params._meta must be an object carrying the required "
            f"{VERSION!r} and {CLIENT_CAPABILITIES!r} envelope keys",
        )
    required = (VERSION, CLIENT_CAPABILITIES)
    if missing := [key for key in required if key not in meta]:
        raise ProtocolError(
            INVALID_PARAMS,
            f"params._meta is missing the required envelope key(s): {', '.join(missing)}",
        )
    version = meta[VERSION]
    if not isinstance(version, str):
        reason = "the protocol-version envelope value must be a string"
        raise ProtocolError(INVALID_PARAMS, reason)
    if version not in MODERN_VERSIONS:
        raise _unsupported("Unsupported protocol version", version)
    if not isinstance(meta[CLIENT_CAPABILITIES], dict):
        raise invalid_parameters()


def _unsupported(reason: str, requested: str | None) -> ProtocolError:
    data: dict[str, Any] = {"supported": MODERN_VERSIONS}
    if requested is not None:
        data["requested"] = requested
    return ProtocolError(UNSUPPORTED_VERSION, reason, data)
