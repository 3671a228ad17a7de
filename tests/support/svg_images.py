"""What an SVG image of `make recordings` has in it."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"
#: Ids, times and dates: each recording has its own.
OWN = re.compile(
    r"\b(?P<kind>item|proj)_[0-9a-f]{8}\b|\b\d{4}-\d\d-\d\d\b|\b\d\d:\d\d:\d\d\b"
)


class SvgImage:
    """A parsed image."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._root = ET.fromstring(source)

    @classmethod
    def read(cls, file: Path) -> "SvgImage":
        """Parse a file."""
        return cls(file.read_text(encoding="utf-8"))

    def elements(self, name: str) -> list[ET.Element]:
        """Return all elements of one name."""
        return list(self._root.iter(f"{SVG}{name}"))

    def names(self) -> set[str]:
        """Return the names of all elements."""
        return {each.tag.removeprefix(SVG) for each in self._root.iter()}

    def attributes(self) -> set[str]:
        """Return the names of all attributes."""
        return {name for each in self._root.iter() for name in each.attrib}

    def text(self, name: str) -> str:
        """Return the text of the first element of a name."""
        return self.elements(name)[0].text or ""

    def texts(self) -> list[str]:
        """Return the visible texts, pane by pane, in the order of their appearance."""
        return [each.text or "" for each in self.elements("text")]

    def common_texts(self) -> list[str]:
        """Return the visible texts that another recording of the scenario has, too."""
        return [OWN.sub("-", each) for each in self.texts()]

    def kept(self) -> dict[str, Any]:
        """Return what it says of its scenario."""
        kept: dict[str, Any] = json.loads(self.text("metadata"))
        return kept
