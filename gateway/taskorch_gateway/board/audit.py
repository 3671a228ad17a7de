"""The audit log, for administrators: what clients of the gateway did, the newest first."""

from typing import cast
from urllib.parse import urlencode

from starlette.responses import Response
from taskorch.domain import limits
from taskorch.domain.audit_line import AuditFilter, LinePage
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult

from taskorch_gateway.board import refusals
from taskorch_gateway.board.visit import BoardPage, Visit
from taskorch_gateway.client_queue import queue_of

PATH = "/audit"
#: Rows of a page, and the calls that it makes to find them.
ROWS, CALLS = 100, 20
FIELDS = ("token", "name", "verb", "since")


class ReadAudit(ToolArguments):
    """Read a page of the audit log. Its result is a LinePage."""

    name = "board_audit"
    read_only = True
    wanted: AuditFilter
    cursor: str

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the lines in front of the cursor."""
        log = queue_of(call).audit_log()
        page = log.before(
            self.cursor, self.wanted, limit=ROWS, most_calls=CALLS
        )
        return ToolResult(page)


async def show(visit: Visit) -> Response:
    """Show a page of the audit log."""
    typed = {field: visit.query(field).strip() for field in FIELDS}
    cursor = visit.query("cursor")
    page, error = None, None
    try:
        page = cast("LinePage", await visit.ask(_read(typed, cursor)))
    except TaskOrchestratorError as refused:
        if refused.retryable:
            raise
        error = refused
    return visit.page(
        "audit.html",
        typed=typed,
        lines=page,
        error=refusals.shown(error) if error else None,
        cursor=cursor,
        is_full=page is not None and len(page.lines) >= ROWS,
        first_path=_path(typed),
        next_path=_path(typed, page.cursor) if page else "",
    )


PAGES = (BoardPage(path=PATH, show=show, entry="audit", is_for_admins=True),)


def _read(typed: dict[str, str], cursor: str) -> ReadAudit:
    since = typed["since"]
    return ReadAudit(
        wanted=AuditFilter(
            token=typed["token"],
            name=typed["name"],
            verb=typed["verb"],
            since_ms=limits.duration_ms(since) if since else 0,
        ),
        cursor=cursor,
    )


def _path(typed: dict[str, str], cursor: str = "") -> str:
    given = {name: value for name, value in typed.items() if value}
    if cursor:
        given["cursor"] = cursor
    return f"{PATH}?{urlencode(given)}" if given else PATH
