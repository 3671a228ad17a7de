"""A recording as SVG: it plays in a page as an image, without scripts.

The animation is CSS, because sites that show a README remove the elements of SVG's own
animations. Where nothing is animated (a reader who wants less motion, a converter), the
image is the last frame.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from xml.etree import ElementTree as ET

from demo.recordings.recorder import (
    COLUMNS,
    Frame,
    Mark,
    RecordedPane,
    Recording,
)
from demo.recordings.screen import Position
from demo.recordings.spans import Span, spans
from demo.recordings.style_sheet import (
    ACTIVE,
    CARD,
    CELL_HEIGHT,
    CELL_WIDTH,
    COLOURS,
    CURSOR,
    EDGE,
    SCREEN,
    Attributes,
    StyleSheet,
)

#: In px: around the panes, and within each pane.
MARGIN, PADDING = 10, 8
CAPTION_HEIGHT, TITLE_HEIGHT, PROGRESS_HEIGHT = 30, 22, 3
#: From the top of a line, a title or the caption to its baseline.
BASELINE, TITLE_BASELINE, CAPTION_BASELINE = 12, 16, 26
SCREEN_WIDTH = COLUMNS * CELL_WIDTH
PANE_WIDTH = SCREEN_WIDTH + 2 * PADDING
WIDTH = PANE_WIDTH + 2 * MARGIN


@dataclass(frozen=True, kw_only=True)
class About:
    """The title and the description of an image, and the digest of its scenario."""

    title: str
    description: str
    #: Of the files of the scenario; a test compares it with them.
    digest: str


def document(recording: Recording, about: About) -> str:
    """Return a recording as an SVG document; one without a duration is a still."""
    sheet = StyleSheet(recording.duration_ms)
    panes: list[ET.Element] = []
    top = MARGIN + (CAPTION_HEIGHT if recording.captions else 0)
    for pane in recording.panes:
        panes += _pane(pane, recording.turns, top, sheet)
        top += _pane_height(pane) + MARGIN
    captions = list(_captions(recording.captions, sheet))
    progress = list(_progress(recording.duration_ms, top, sheet))
    size = {"width": _px(WIDTH), "height": _px(top)}
    image = _element(
        "svg",
        size
        | {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {_px(WIDTH)} {_px(top)}",
            "role": "img",
            "aria-labelledby": "title description",
        },
    )
    image.append(_element("title", {"id": "title"}, about.title))
    image.append(_element("desc", {"id": "description"}, about.description))
    kept = {"scenario": about.digest, "commands": recording.commands}
    image.append(
        _element("metadata", {}, json.dumps(kept, ensure_ascii=False))
    )
    image.append(_element("style", {}, f"\n{sheet.text()}\n"))
    image.append(
        _element("rect", size | {"rx": "8", "fill": CARD, "stroke": EDGE})
    )
    image.extend([*captions, *panes, *progress])
    ET.indent(image, space="")
    return f"{ET.tostring(image, encoding='unicode')}\n"


def _captions(
    captions: Sequence[Mark], sheet: StyleSheet
) -> Iterator[ET.Element]:
    place = _at(MARGIN + PADDING, CAPTION_BASELINE)
    for mark, until_ms in _with_ends(captions):
        text = _element("text", {"class": "caption"} | place, mark.text)
        yield _shown(text, mark.at_ms, until_ms, sheet)


def _pane(
    pane: RecordedPane, turns: Sequence[Mark], top: int, sheet: StyleSheet
) -> Iterator[ET.Element]:
    """Yield a pane's box, its highlighted edge, its title and its screen."""
    box = _at(MARGIN, top) | {
        "width": _px(PANE_WIDTH),
        "height": _px(_pane_height(pane)),
        "rx": "6",
    }
    yield _element("rect", box | {"fill": SCREEN, "stroke": EDGE})
    for mark, until_ms in _with_ends(turns):
        if mark.text == pane.title:
            edge = _element("rect", box | {"fill": "none", "stroke": ACTIVE})
            yield _shown(edge, mark.at_ms, until_ms, sheet)
    left = MARGIN + PADDING
    yield _element(
        "text",
        {"class": "title"} | _at(left, top + TITLE_BASELINE),
        pane.title,
    )
    screen = _element(
        "svg",
        _at(left, top + TITLE_HEIGHT)
        | {
            "width": _px(SCREEN_WIDTH),
            "height": _px(pane.rows * CELL_HEIGHT),
        },
    )
    screen.append(_lines(pane.frames, sheet))
    yield screen


def _pane_height(pane: RecordedPane) -> int:
    return TITLE_HEIGHT + pane.rows * CELL_HEIGHT + PADDING


def _lines(frames: Sequence[Frame], sheet: StyleSheet) -> ET.Element:
    """Return all lines that a terminal has had, moved as far as it has scrolled."""
    moves = [
        (frame.at_ms, _moved(0, -frame.screen.scrolled * CELL_HEIGHT))
        for frame in frames
    ]
    lines = _element("g", sheet.changing(moves))
    for span in spans(frames):
        lines.append(_shown(_text(span), span.from_ms, span.until_ms, sheet))
        if span.key_ms:
            lines.append(_cover(span, sheet))
    lines.append(_cursor(frames, sheet))
    return lines


def _text(span: Span) -> ET.Element:
    """Return a text that is as wide as its cells, whatever the font."""
    x, y = _place(span.at)
    names = []
    if span.key_ms:
        names.append("typed")
    elif span.style.colour in COLOURS:
        names.append(span.style.colour)
    if span.style.bold:
        names.append("bold")
    named = {"class": " ".join(names)} if names else {}
    return _element(
        "text",
        named
        | _at(x, y + BASELINE)
        | {
            "textLength": _px(span.width * CELL_WIDTH),
            "lengthAdjust": "spacingAndGlyphs",
        },
        span.text,
    )


def _cover(span: Span, sheet: StyleSheet) -> ET.Element:
    """Return what hides those characters of a typed text that are still to come."""
    x, y = _place(span.at)
    steps = span.width - 1
    width = steps * CELL_WIDTH
    begins = (
        "visibility:visible;transform:none;"
        f"animation-timing-function:steps({steps})"
    )
    moves = [
        (0, "visibility:hidden"),
        (span.from_ms, begins),
        (
            span.from_ms + steps * span.key_ms,
            f"visibility:hidden;{_moved(width, 0)}",
        ),
    ]
    return _element(
        "rect",
        sheet.animated(moves, "visibility:hidden")
        | _at(x + CELL_WIDTH, y)
        | {"width": _px(width), "height": _px(CELL_HEIGHT), "fill": SCREEN},
    )


def _cursor(frames: Sequence[Frame], sheet: StyleSheet) -> ET.Element:
    moves = []
    for frame in frames:
        look = "visibility:hidden"
        cursor = frame.screen.cursor
        if cursor:
            row = cursor.row + frame.screen.scrolled
            x, y = _place(Position(row, cursor.column))
            look = f"visibility:visible;{_moved(x, y)}"
        moves.append((frame.at_ms, look))
    size = {"width": _px(CELL_WIDTH), "height": _px(CELL_HEIGHT)}
    return _element("rect", sheet.changing(moves) | size | {"fill": CURSOR})


def _progress(
    duration_ms: int, height: int, sheet: StyleSheet
) -> Iterator[ET.Element]:
    """Yield a bar that shows how much of the recording has been played."""
    if not duration_ms:
        return
    grows = [
        (0, "transform:scaleX(0);animation-timing-function:linear"),
        (duration_ms, "transform:none"),
    ]
    bar = _element(
        "rect",
        sheet.animated(grows, "transform:none")
        | {
            "width": _px(PANE_WIDTH),
            "height": _px(PROGRESS_HEIGHT),
            "fill": ACTIVE,
        },
    )
    # A picture of its own, so that the bar grows from its left end.
    frame = _element("svg", _at(MARGIN, height - MARGIN + PROGRESS_HEIGHT))
    frame.append(bar)
    yield frame


def _shown(
    element: ET.Element,
    from_ms: int,
    until_ms: int | None,
    sheet: StyleSheet,
) -> ET.Element:
    """Return an element that is visible from a time, and until a time."""
    attributes = sheet.shown(from_ms, until_ms)
    if not attributes:
        return element
    group = _element("g", attributes)
    group.append(element)
    return group


def _with_ends(marks: Sequence[Mark]) -> Iterator[tuple[Mark, int | None]]:
    for mark, following in zip_longest(marks, marks[1:]):
        yield mark, following.at_ms if following else None


def _element(
    name: str, attributes: Attributes, text: str | None = None
) -> ET.Element:
    element = ET.Element(name, dict(attributes))
    element.text = text
    return element


def _place(at: Position) -> tuple[float, int]:
    return at.column * CELL_WIDTH, at.row * CELL_HEIGHT


def _at(x: float, y: float) -> dict[str, str]:
    return {"x": _px(x), "y": _px(y)}


def _moved(x: float, y: float) -> str:
    return f"transform:translate({_px(x)}px,{_px(y)}px)"


def _px(length: float) -> str:
    return f"{length:g}"
