"""Text cannot move the cursor, forge a line or turn its direction; JSON keeps it whole."""

import json
import re
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskorch.cli import json_output
from taskorch.cli import text as plain_text
from taskorch.domain import errors
from taskorch.domain.item import Discovery, Receipt, State

EVIL = "a\x1b[31mred\x07\x00\x9b2J \u202eback\u2066 é 🚀"
#: A text with each kind of invisible character, and the same as it is shown.
INVISIBLE = {
    "control": ("a\x9b2J\x7f", r"a\x9b2J\x7f"),
    "zero width space": ("pay\u200bload", r"pay\u200bload"),
    "soft hyphen": ("pay\xadload", r"pay\xadload"),
    "word joiner": ("a\u2060b\ufeff", r"a\u2060b\ufeff"),
    "bidi": ("\u202e\u2066\u061c\u200f", r"\u202e\u2066\u061c\u200f"),
    "tag": (
        "hi\U000e0069\U000e0067\U000e007f",
        r"hi\U000e0069\U000e0067\U000e007f",
    ),
    "tag after a flag": ("🏴\U000e0067\U000e007f", r"🏴\U000e0067\U000e007f"),
    "selectors after an emoji": (
        "😀\ufe0f\ufe01\U000e0100",
        "😀\ufe0f" + r"\ufe01\U000e0100",
    ),
    "selector after a letter": ("a\ufe0fb\ufe00", r"a\ufe0fb\ufe00"),
    "second selector": ("😀\ufe0f\ufe0f", "😀\ufe0f" + r"\ufe0f"),
    "private": ("\ue000\U0010fffd", r"\ue000\U0010fffd"),
    "unassigned": ("\u0378\uffff", r"\u0378\uffff"),
    "surrogate": ("\ud800", r"\ud800"),
    "separator": ("a\u2028b\u2029", r"a\u2028b\u2029"),
    "filler": ("\u3164\u115f\u034f\uffa0", r"\u3164\u115f\u034f\uffa0"),
    "joiner between letters": ("ig\u200dnore\u200c", r"ig\u200dnore\u200c"),
    "second joiner": (
        "\u0645\u06cc\u200c\u200c\u062e\u0648\u0627",
        "\u0645\u06cc" + r"\u200c\u200c" + "\u062e\u0648\u0627",
    ),
}
#: Texts whose joiners and selectors are needed.
READABLE = [
    "👨‍👩‍👧",
    "❤️‍🔥",
    "🏳️‍🌈",
    "👩🏽‍🚀",
    "1️⃣ #️⃣",
    "☺︎ ☺️",
    "\u0645\u06cc\u200c\u062e\u0648\u0627",
    "क्\u200dष",
    "ශ්\u200dරී",
    "日本\u3000語",
    "a\xa0b",
    "🫨",
]


def test_line_escapes_control_characters_only() -> None:
    shown = plain_text.line(f"{EVIL}\nnext\ttab\r")

    assert (
        shown
        == r"a\x1b[31mred\x07\x00\x9b2J \u202eback\u2066 é 🚀\nnext\ttab\r"
    )


def test_block_marks_each_further_line() -> None:
    shown = plain_text.block("one\r\ntwo\n\x1b[2J\tthree\rfour", "  ")

    assert shown == "one\n  | two\n  | " + "\\x1b[2J\tthree\\rfour"


def test_cell_has_no_wide_gap() -> None:
    assert (
        plain_text.cell("a title  \u2003 cancelled\tb")
        == r"a title cancelled\tb"
    )


def test_one_line_separates_lines_by_semicolons() -> None:
    shown = plain_text.one_line("exit status 1\n\n API  error\r\n\x1b[2J\n")

    assert shown == r"exit status 1; API error; \x1b[2J"


@pytest.mark.parametrize(("text", "shown"), INVISIBLE.values(), ids=INVISIBLE)
def test_invisible_characters_are_escaped(text: str, shown: str) -> None:
    assert plain_text.line(text) == shown
    assert plain_text.block(text, "") == shown
    assert json.loads(json_output.line(text)) == text


@pytest.mark.parametrize("text", READABLE)
def test_emoji_and_joined_letters_stay_whole(text: str) -> None:
    assert plain_text.line(text) == text
    assert json_output.line(text) == f'"{text}"'


@given(st.text(st.characters(categories=["C", "Z", "Mn", "Lo", "So", "Ll"])))
def test_shown_text_has_no_invisible_character(text: str) -> None:
    for shown in (
        plain_text.line(text),
        plain_text.block(text, "").replace("\n| ", ""),
        json_output.line(text),
    ):
        assert not [
            c
            for c in shown
            if category(c) in ("Cc", "Co", "Cs", "Zl", "Zp") and c != "\t"
        ]
        assert not [
            c for c in shown if category(c) == "Cf" and c not in "\u200c\u200d"
        ]
        assert not re.search(
            "[\ufe00-\ufe0d\U000e0100-\U000e01ef\u3164]", shown
        )


def test_document_keeps_text_and_formats_times() -> None:
    found = Discovery(
        cursor="1-0",
        at=1_700_000_000_123,
        project="proj_1",
        item="item_1",
        agent="ada",
        text=EVIL,
        impact="",
    )

    written = json_output.dump(
        json_output.document([found], {"cursor": "1-0"})
    )
    read = json.loads(written)

    assert read["schema_version"] == 1
    assert read["data"][0]["text"] == EVIL
    assert read["data"][0]["at"] == "2023-11-14T22:13:20.123Z"
    assert read["meta"] == {"cursor": "1-0"}
    assert r"\u009b2J \u202eback\u2066 é 🚀" in written


def test_time_zero_is_null() -> None:
    receipt = Receipt(
        id="item_1", state=State.BLOCKED, token=1, claim="", lease_expires_at=0
    )

    text = json_output.dump(json_output.document(receipt, {}))

    assert json.loads(text)["data"]["lease_expires_at"] is None


def test_error_document_has_hint_and_retryable() -> None:
    error = errors.LeaseLost(
        item="item_1", token="1", newest="2", state="in_progress"
    )

    read = json.loads(json_output.dump(json_output.error_document(error)))[
        "error"
    ]

    assert set(read) == {"code", "message", "hint", "retryable", "details"}
    assert (read["code"], read["retryable"]) == ("LEASE_LOST", False)
    assert read["details"]["newest"] == 2
    assert "worker pop" in read["hint"]


@pytest.mark.parametrize("kind", list(errors.BY_WORD.values()))
def test_error_word_leads_to_its_class(
    kind: type[errors.TaskOrchestratorError],
) -> None:
    assert errors.BY_WORD[kind.word] is kind


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (-5, "just now"),
        (59_999, "just now"),
        (60_000, "1 min ago"),
        (59 * 60_000, "59 min ago"),
        (3_600_000, "1 h ago"),
        (47 * 3_600_000, "47 h ago"),
        (48 * 3_600_000, "2 d ago"),
    ],
)
def test_age_is_in_its_largest_unit(ms: int, shown: str) -> None:
    assert plain_text.ago(ms) == shown


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("fits in ten", ["fits in ten"]),
        (
            "Note: A line after | continues a text.",
            ["Note: A line after |", "    | continues a", "    | text."],
        ),
        ("  - a list of words, more", ["  - a list of words,", "    | more"]),
        ("two\nlines", ["two", "lines"]),
        ("認証システム を構築する", ["認証システム", "    | を構築する"]),
        ("/a/path/that/is/long/and/whole", ["/a/path/that/is/long/and/whole"]),
        (
            "schema: /a/path/that/is/long it is",
            ["schema:", "    | /a/path/that/is/long", "    | it is"],
        ),
        ("                         ", ["                         "]),
        ("", [""]),
    ],
)
def test_long_lines_are_folded_between_words(
    text: str, lines: list[str]
) -> None:
    assert plain_text.folded(text, 20).split("\n") == lines


@given(st.text("ab \n"), st.integers(1, 30))
def test_folding_loses_no_word(text: str, width: int) -> None:
    folded = plain_text.folded(text, width)

    assert folded.replace("    | ", "").split() == text.split()
