"""The audit log of the gateways: what their clients did, and what was refused."""

from taskorch.domain.frozen import Frozen


class AuditLine(Frozen):
    """A line about one step, or about several refused calls of the same kind."""

    cursor: str
    #: ms since the epoch.
    at: int
    #: The id of the access token; "" if the client showed no known one.
    token: str
    #: The name and the role of the token; "" without one.
    name: str
    role: str
    #: The name that an administrator acted under, or that of the service which has run a
    #: schedule; else "" or the name of the token.
    caller: str
    #: The name of the script; "" if the call named none.
    verb: str
    #: Ids of items, projects and tokens that it concerned, at most 10.
    ids: tuple[str, ...]
    #: `done`, or the word of the error.
    outcome: str
    #: The address of the client, of calls that a gateway refused; else "".
    address: str
    #: The number of calls that it stands for.
    count: int


class LinePage(Frozen):
    """Lines of the audit log, and the cursor to continue from."""

    lines: tuple[AuditLine, ...]
    cursor: str
    has_more: bool


class AuditFilter(Frozen):
    """Which lines are wanted; "" for any."""

    token: str
    name: str
    verb: str
    #: Lines of the last ms alone; 0 for all.
    since_ms: int


class Refusal(Frozen):
    """Calls that a gateway has refused before a script ran, all of the same kind."""

    token: str
    name: str
    role: str
    verb: str
    #: The word of the error.
    outcome: str
    address: str
