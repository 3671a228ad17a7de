"""Times, numbers and texts as the board shows them."""

import pytest
from markupsafe import Markup
from taskorch.domain.item import State
from taskorch_gateway.board import formats, pages

AT = 1_773_317_051_000  # 12 March 2026, 12:04:11 UTC


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        *((-5, "0 s"), (0, "0 s"), (40_900, "40 s"), (60_000, "1 min")),
        *((840_000, "14 min"), (3_900_000, "1 h 05 min")),
        *((12 * 3_600_000, "12 h"), (47 * 3_600_000, "47 h")),
        (3 * 86_400_000, "3 d"),
    ],
)
def test_durations_are_words(ms: int, words: str) -> None:
    assert formats.duration(ms) == words


def test_times_are_exact_and_short() -> None:
    assert formats.exact(AT) == "12 March 2026, 12:04:11 UTC"
    assert formats.clock(AT) == "12 Mar, 12:04 UTC"


def test_every_state_has_a_look() -> None:
    assert set(formats.STATES) == set(State)
    sprite = pages.render("sprite.html", {})
    for look in formats.STATES.values():
        assert f'id="g-{look.glyph}"' in sprite


def test_numbers_have_their_noun() -> None:
    assert formats.counted(1, "item") == "1 item"
    assert formats.counted(2_000, "item") == "2,000 items"
    assert formats.counted(2, "retry", "retries") == "2 retries"


def test_invisible_characters_are_shown() -> None:
    hostile = "a\u202eb\x1b[2J\u200b\U000e0041c\nd 👩‍🔬"

    shown = str(formats.visible(hostile))

    assert "\u202e" not in shown
    assert "\x1b" not in shown
    assert "\n" in shown
    assert "👩‍🔬" in shown


def test_typed_text_stays_as_it_is() -> None:
    assert formats.typed("</textarea>\u202e\n") == Markup(
        "&lt;/textarea&gt;\u202e\n"
    )
