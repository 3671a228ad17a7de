"""Where the board leads to: never to another site."""

import pytest
from starlette.requests import Request
from taskorch.domain import errors
from taskorch_gateway.board import origin
from taskorch_gateway.board.forms import Form


def request(target: str = "/", **headers: str) -> Request:
    """Return a request for a path, and perhaps a query."""
    path, _, query = target.partition("?")
    known = {"host": "board:8650", **headers}
    return Request(
        {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "query_string": query.encode(),
            "headers": [
                (name.encode(), value.encode())
                for name, value in known.items()
            ],
        }
    )


@pytest.mark.parametrize(
    "path",
    [
        *("", "//evil", "/\\evil", "evil", "https://evil/", "javascript:1"),
        *("/a b", "/a\nb", "/\t/evil", "/ü", "\\/evil", "/" + "a" * 4002),
    ],
)
def test_other_site_is_no_path(path: str) -> None:
    assert origin.own_path(path) == ""


def test_reply_leads_back_to_the_form() -> None:
    came = request(referer="http://board:8650/items?q=state:failed")
    foreign = request(referer="http://evil/items")
    kept = Form([("back", "/projects")])
    forged = Form([("back", "//evil")])

    assert origin.back_of(came, None) == "/items?q=state:failed"
    assert origin.back_of(came, kept) == "/projects"
    assert origin.back_of(came, forged) == "/items?q=state:failed"
    assert origin.back_of(foreign, forged) == "/"


def test_page_is_named_with_its_query() -> None:
    assert origin.path_of(request("/items?q=a")) == "/items?q=a"
    assert origin.path_of(request("//evil")) == "/"


def test_form_without_origin_is_refused() -> None:
    origin.need_own(request(origin="http://board:8650"))

    with pytest.raises(errors.NotAllowed):
        origin.need_own(request())
