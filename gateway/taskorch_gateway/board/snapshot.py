"""The Now page as one file, which needs no gateway, no script and no network."""

import logging
from typing import cast

from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.access import Access
from taskorch.mcp.call import LocalCall

from taskorch_gateway.board import pages
from taskorch_gateway.board.asset_files import ASSETS
from taskorch_gateway.board.now import NowView, ReadNow, page_values
from taskorch_gateway.board.static_page import static
from taskorch_gateway.board.visit import of_nobody

#: Without the extra, this fails, and the command that loads us says what to install.
NOW = pages.template("now.html")


def page(settings: Settings) -> str:
    """Return the page for what is happening now. Raises errors.TaskOrchestratorError."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    call = LocalCall(settings, Access.READ, "")
    try:
        view = _read(call)
    finally:
        call.close()
    values = {**of_nobody(settings.namespace), "page": "now"}
    shown = page_values(view, values, damaged=len(call.damage))
    return static(
        NOW.render({**values, **shown}),
        ASSETS["board.css"].content.decode(),
    )


def _read(call: LocalCall) -> NowView:
    """Read what the page shows; a token for one project may not read all figures."""
    try:
        result = ReadNow().perform(call)
    except errors.NotAllowed:
        result = ReadNow(has_figures=False).perform(call)
    return cast("NowView", result.data)
