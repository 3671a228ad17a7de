"""A static page: nothing in it runs, sends or leads elsewhere."""

import re
from base64 import b64encode
from hashlib import sha256

import pytest
from taskorch_gateway.board.static_page import static

STYLE = "body{color:red}"


def body(content: str) -> str:
    """Return what is left of the body of a page."""
    page = static(
        f"<!doctype html><html><head></head><body>{content}</body></html>",
        STYLE,
    )
    left = re.search("<body>(.*)</body>", page, re.DOTALL)
    assert left
    return left[1]


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ("<p>One &amp; &lt;two&gt; &#39;</p>", None),
        ("<ul><li>One<li>Two</ul><br>", None),
        ('<svg class="g"><use href="#g-work"/></svg>', None),
        ('<progress value="80" max="100">80%</progress>', None),
        ('<time datetime="2026-03-12T11:50:02Z" title="x">11:50</time>', None),
        ('a<script>alert("</p>")</script>b', "ab"),
        ("a<form><p>b</p><form><input></form>c</form>d", "ad"),
        ("<button><svg><path/></svg>Cancel</button>", ""),
        ("<dialog><p>Keys<br></p></dialog>c", "c"),
        ('<a href="/items/1" data-drawer>One</a>', "<a>One</a>"),
        ('<a href="#main">Skip</a>', None),
        ('<img src="http://evil.example/x">', "<img>"),
        ('<img src="data:image/png;base64,AA">', None),
        (
            '<p onclick="x()" style="x" data-key="1" id="a">b</p>',
            '<p id="a">b</p>',
        ),
        ('<p title="&quot;&gt;&lt;b&gt;">c</p>', None),
        ("<!-- a comment -->", ""),
    ],
)
def test_page_keeps_what_is_only_looked_at(
    content: str, left: str | None
) -> None:
    expected = content if left is None else left

    assert body(content) == expected


def test_style_sheet_is_inside_and_allowed() -> None:
    page = static(
        "<!doctype html><html><head><title>A &amp; B</title>"
        '<link rel="stylesheet" href="/assets/1/board.css">'
        '<meta http-equiv="refresh" content="1"></head><body></body></html>',
        STYLE,
    )

    digest = b64encode(sha256(STYLE.encode()).digest()).decode()
    assert f"<style>{STYLE}</style>" in page
    assert f"style-src &#x27;sha256-{digest}&#x27;" in page
    assert "<title>A &amp; B</title>" in page
    assert "refresh" not in page
    assert "<link" not in page
