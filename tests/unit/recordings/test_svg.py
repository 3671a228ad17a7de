"""A recording becomes an SVG image that plays without scripts."""

import re

from support.svg_images import SvgImage

from demo.recordings.recorder import Frame, Mark, RecordedPane, Recording
from demo.recordings.screen import Cell, Position, Screen, Style
from demo.recordings.svg import About, document

ABOUT = About(title="A <title>", description="What & why", digest="0a1b")


def frame(at_ms: int, *rows: str, scrolled: int = 0) -> Frame:
    """Return a frame of plain rows, with the cursor after the last one."""
    screen = Screen(
        scrolled=scrolled,
        lines=tuple(
            tuple(Cell(character, Style()) for character in row.ljust(10))
            for row in rows
        ),
        cursor=Position(len(rows) - 1, len(rows[-1])),
    )
    return Frame(at_ms=at_ms, screen=screen)


def recording(*frames: Frame, duration_ms: int = 10_000) -> Recording:
    return Recording(
        duration_ms=duration_ms,
        panes=(RecordedPane(title="agent", rows=2, frames=frames),),
        captions=(Mark(at_ms=0, text="One"), Mark(at_ms=5000, text="Two"))
        if duration_ms
        else (),
        turns=(),
        commands=('worker note "<&"',),
    )


def rules(source: str, element_text: str) -> str:
    """Return the keyframes of the group around a text."""
    names = re.findall(
        rf'<g class="a (a\d+)">\s*<text[^>]*>{element_text}<', source
    )
    found: list[str] = re.findall(rf"@keyframes {names[0]}\{{(.*)\}}", source)
    return found[0]


def test_texts_appear_at_their_times() -> None:
    source = document(recording(frame(0, "a"), frame(2500, "a", "b")), ABOUT)

    assert rules(source, "b") == "0%{visibility:hidden}25%{visibility:visible}"
    assert rules(source, "One") == (
        "0%{visibility:visible}50%{visibility:hidden}"
    )


def test_line_moves_up_when_terminal_scrolls() -> None:
    source = document(
        recording(frame(0, "a", "b"), frame(4000, "b", "c", scrolled=1)), ABOUT
    )

    assert (
        "0%{transform:translate(0px,0px)}40%{transform:translate(0px,-16px)}"
        in source
    )
    assert SvgImage(source).texts() == ["One", "Two", "agent", "a", "b", "c"]


def test_every_animation_has_its_keyframes() -> None:
    image = SvgImage(
        document(recording(frame(0, "a"), frame(2500, "a", "b")), ABOUT)
    )

    used = {
        each.attrib["class"].split()[1]
        for name in ("g", "rect")
        for each in image.elements(name)
        if "class" in each.attrib
    }

    assert used == set(re.findall(r"@keyframes (\w+)", image.source))


def test_image_says_what_it_is() -> None:
    image = SvgImage(document(recording(frame(0, "a")), ABOUT))

    assert image.text("title") == "A <title>"
    assert image.text("desc") == "What & why"
    assert image.kept() == {
        "scenario": "0a1b",
        "commands": ['worker note "<&"'],
    }


def test_still_has_no_animation() -> None:
    source = document(recording(frame(0, "a b"), duration_ms=0), ABOUT)

    assert "animation" not in source
    assert "keyframes" not in source
    assert SvgImage(source).texts() == ["agent", "a b"]


def test_cells_have_one_width_in_any_font() -> None:
    image = SvgImage(document(recording(frame(0, "abcde")), ABOUT))

    text = image.elements("text")[-1]

    assert text.attrib["textLength"] == "39"
    assert text.attrib["lengthAdjust"] == "spacingAndGlyphs"
