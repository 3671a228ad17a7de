"""A page of the board without what needs a gateway: it is read from a file, offline."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from html.parser import HTMLParser

#: Left out with all that they contain.
DROPPED = frozenset(
    ("script", "form", "button", "dialog", "nav", "template", "noscript")
)
#: Left out; they have no content.
DROPPED_VOIDS = frozenset(("input", "link", "meta", "base"))
VOIDS = DROPPED_VOIDS | {"br", "hr", "img", "wbr"}
POLICY = "default-src 'none'; img-src data:; style-src 'sha256-{digest}'"

Attributes = Sequence[tuple[str, str | None]]


def static(page: str, style_sheet: str) -> str:
    """Return a page with its style sheet, and without scripts, forms and addresses.

    Its policy forbids browsers to run or to load anything.
    """
    copier = _Copier(style_sheet)
    copier.feed(page)
    copier.close()
    return copier.page


class _Copier(HTMLParser):
    """Copies a page, tag by tag."""

    def __init__(self, style_sheet: str) -> None:
        super().__init__(convert_charrefs=False)
        self._style_sheet = style_sheet
        self._copied: list[str] = []
        #: The elements that are open since the outermost one that is left out.
        self._dropped: list[str] = []

    @property
    def page(self) -> str:
        """What was copied."""
        return "".join(self._copied)

    def handle_decl(self, decl: str) -> None:
        self._copy(f"<!{decl}>")

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        if self._dropped or tag in DROPPED:
            if tag not in VOIDS:
                self._dropped.append(tag)
            return
        if tag in DROPPED_VOIDS:
            return
        self._copy(f"<{tag}{_kept(attrs)}>")
        if tag == "head":
            self._copy(_head(self._style_sheet))

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        if not self._dropped and tag not in DROPPED | DROPPED_VOIDS:
            self._copy(f"<{tag}{_kept(attrs)}/>")

    def handle_endtag(self, tag: str) -> None:
        if not self._dropped:
            self._copy(f"</{tag}>")
        elif tag in self._dropped:
            while self._dropped.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not self._dropped:
            self._copy(data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")

    def _copy(self, text: str) -> None:
        self._copied.append(text)


def _kept(attributes: Attributes) -> str:
    """Return the attributes that neither lead elsewhere nor concern the script."""
    return "".join(
        f" {name}" if value is None else f' {name}="{escape(value)}"'
        for name, value in attributes
        if _is_kept(name, value or "")
    )


def _is_kept(name: str, value: str) -> bool:
    if name == "data-theme":
        return True
    if name in ("href", "src"):  # a symbol of the page, a picture in it
        return value.startswith(("#", "data:image/"))
    return not name.startswith(("data-", "on")) and name not in (
        "action",
        "formaction",
        "style",
        "tabindex",
    )


def _head(style_sheet: str) -> str:
    digest = b64encode(sha256(style_sheet.encode()).digest()).decode()
    policy = escape(POLICY.format(digest=digest))
    return (
        '\n<meta charset="utf-8">'
        f'\n<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '\n<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"\n<style>{style_sheet}</style>"
    )
