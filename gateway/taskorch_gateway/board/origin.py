"""Where a request of the board comes from, and where its reply leads to."""

import re
from urllib.parse import urlsplit

from starlette.requests import Request
from taskorch.domain import errors

from taskorch_gateway.board.forms import BACK, Form

#: A path of this site: not "//host", which browsers read as another one.
_PATH = r"/(?![/\\])[!-~]{0,4000}"


def need_own(request: Request) -> None:
    """Raise errors.NotAllowed for a form that a page of the board has not sent.

    `hosts.HostCheck` has compared the header; every browser sends it with a form.
    """
    if not request.headers.get("origin"):
        raise errors.NotAllowed(
            reason="the request does not say which page it is from."
        )


def path_of(request: Request) -> str:
    """Return the path and the query of a request."""
    url = request.url
    path = f"{url.path}?{url.query}" if url.query else url.path
    return own_path(path) or "/"


def back_of(request: Request, form: Form | None) -> str:
    """Return the page that a form stood on."""
    given = form.text(BACK) if form else ""
    parts = urlsplit(request.headers.get("referer", ""))
    referrer = ""
    if parts.netloc == request.headers.get("host", ""):
        referrer = parts.path + (f"?{parts.query}" if parts.query else "")
    return own_path(given) or own_path(referrer) or "/"


def own_path(text: str) -> str:
    """Return a path that stays on this site, "" for any other text."""
    return text if re.fullmatch(_PATH, text) else ""
