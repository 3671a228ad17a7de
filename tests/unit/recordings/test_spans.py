"""Frames of a terminal become texts with a place and a time."""

import pyte

from demo.recordings.recorder import KEY_MS, Frame
from demo.recordings.screen import Emulator, Position, Screen, Style
from demo.recordings.spans import Span, spans

GREEN = Style("green")
PLAIN = Style()


class Terminal:
    """An emulator of ten columns and three lines, and its frames."""

    def __init__(self) -> None:
        self._emulator = Emulator(columns=10, rows=3)
        self._stream = pyte.ByteStream(self._emulator)
        self.frames: list[Frame] = []

    def shows(self, output: str, at_ms: int) -> None:
        self._stream.feed(output.encode())
        self.frames.append(Frame(at_ms=at_ms, screen=self.screen()))

    def screen(self) -> Screen:
        return self._emulator.screen()

    def spans(self) -> list[tuple[Position, str, int, int | None]]:
        return [
            (span.at, span.text, span.from_ms, span.until_ms)
            for span in spans(self.frames)
        ]


def test_lines_keep_their_places_when_terminal_scrolls() -> None:
    terminal = Terminal()

    terminal.shows("one\r\ntwo\r\nthree", at_ms=0)
    terminal.shows("\r\nfour\r\nfive", at_ms=500)

    assert terminal.screen().scrolled == 2
    assert terminal.screen().text() == "three\nfour\nfive"
    assert terminal.spans() == [
        ((0, 0), "one", 0, None),
        ((1, 0), "two", 0, None),
        ((2, 0), "three", 0, None),
        ((3, 0), "four", 500, None),
        ((4, 0), "five", 500, None),
    ]


def test_typed_characters_are_one_text() -> None:
    terminal = Terminal()
    terminal.shows("$ ", at_ms=0)

    for number, key in enumerate("ls -l"):
        terminal.shows(key, at_ms=100 + number * KEY_MS)

    assert spans(terminal.frames)[1:] == [
        Span(
            at=Position(0, 2),
            text="ls -l",
            width=5,
            style=PLAIN,
            from_ms=100,
            until_ms=None,
            key_ms=KEY_MS,
        )
    ]


def test_overwritten_text_ends_where_it_changes() -> None:
    terminal = Terminal()

    terminal.shows("10 %", at_ms=0)
    terminal.shows("\r20", at_ms=300)

    assert terminal.spans() == [
        ((0, 0), "1", 0, 300),
        ((0, 1), "0 %", 0, None),
        ((0, 0), "2", 300, None),
    ]


def test_colours_and_gaps_split_no_words() -> None:
    terminal = Terminal()

    terminal.shows("a  b \x1b[32mok\x1b[0m c", at_ms=0)

    assert [(span.text, span.style) for span in spans(terminal.frames)] == [
        ("a  b", PLAIN),
        ("ok", GREEN),
        ("c", PLAIN),
    ]


def test_wide_characters_take_two_columns() -> None:
    terminal = Terminal()

    terminal.shows("認証 ok", at_ms=0)

    span = spans(terminal.frames)[0]
    assert (span.text, span.width) == ("認証 ok", 7)


def test_masked_word_keeps_columns_of_the_others() -> None:
    terminal = Terminal()

    terminal.shows("my-pc a\r\nvm    b\r\nvm-2  c", at_ms=0)

    screen = terminal.screen()
    assert screen.masked("my-pc", by="host").text() == (
        "host  a\nvm    b\nvm-2  c"
    )
    assert screen.masked("vm", by="host").text() == "my-pc a\nhost  b\nvm-2  c"
