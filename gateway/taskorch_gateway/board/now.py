"""The page that shows what is happening now, and its fragments.

All of it is one read, `ReadNow`, of a few bounded calls of scripts. A `NowView` has times
and no ages, so two views are equal if nothing has happened. Each of its parts is what one
fragment shows: `changed` names the fragments to send.
"""

from collections.abc import Mapping

from taskorch.domain.frozen import Frozen
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult

#: Id of a fragment in the page -> the part of the view that it shows. The template of
#: each is `now/<id>.html`.
FRAGMENTS: Mapping[str, str] = {
    "status": "status",
    "needs-you": "needs",
    "agents": "agents",
    "projects": "projects",
    "flow": "flow",
    "events": "news",
}


class Status(Frozen):
    """The numbers in the top bar."""


class NowView(Frozen):
    """What the page shows. The parts are compared, and not the rest."""

    status: Status
    needs: Frozen
    agents: Frozen
    projects: Frozen
    flow: Frozen
    news: Frozen
    #: Time of the read in ms, by the clock of Redis.
    now: int
    #: The newest event when the read began: a client follows the events after it.
    cursor: str
    #: When time alone changes a part next, such as the end of a lease or of a delay, or
    #: an item that becomes silent: in ms by the same clock, later than `now`; 0 for never.
    due: int

    @property
    def count(self) -> int:
        """Return the number of things that wait for a person."""
        raise NotImplementedError


class ReadNow(ToolArguments):
    """Read what the page shows. Its result is a NowView."""

    name = "board_now"
    read_only = True

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the parts over one connection."""
        raise NotImplementedError


def changed(before: NowView, after: NowView) -> tuple[str, ...]:
    """Return the fragments that differ between two views."""
    return tuple(
        name
        for name, part in FRAGMENTS.items()
        if getattr(before, part) != getattr(after, part)
    )


def fragment(name: str, view: NowView, values: Mapping[str, object]) -> str:
    """Return the HTML of a fragment.

    `values` are those that each template gets from the frame: `may_act`, `csrf`, `key`
    ("" in what is shared by several readers) and `namespace`. `now_ms` is that of the
    view.
    """
    raise NotImplementedError
