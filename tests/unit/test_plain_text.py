"""What strangers wrote cannot move a cursor, forge a line or turn the text around; and JSON keeps it whole."""

import json

import pytest
from taskorch import document, errors, plain_text
from taskorch.item import Discovery, Receipt, State

EVIL = "a\x1b[31mred\x07\x00\x9b2J \u202eback\u2066 é 🚀"


def test_a_line_shows_control_characters_escaped_and_leaves_the_rest() -> None:
    shown = plain_text.line(f"{EVIL}\nnext\ttab\r")

    assert shown == r"a\x1b[31mred\x07\x00\x9b2J \u202eback\u2066 é 🚀\nnext\ttab\r"


def test_a_block_keeps_its_lines_and_indents_them() -> None:
    shown = plain_text.block("one\r\ntwo\n\x1b[2Jthree", "  ")

    assert shown == "one\n  two\n  " + r"\x1b[2Jthree"


def test_a_joined_emoji_stays_whole() -> None:
    family = "👨‍👩‍👧"

    assert plain_text.line(family) == family


def test_a_document_holds_text_unchanged_and_times_in_rfc_3339() -> None:
    found = Discovery(cursor="1-0", at=1_700_000_000_123, item="item_1", agent="ada", text=EVIL, impact="")

    read = json.loads(document.result([found], {"cursor": "1-0"}))

    assert read["schema_version"] == 1
    assert read["data"][0]["text"] == EVIL
    assert read["data"][0]["at"] == "2023-11-14T22:13:20.123Z"
    assert read["meta"] == {"cursor": "1-0"}


def test_a_time_that_has_not_come_is_null() -> None:
    receipt = Receipt(id="item_1", state=State.BLOCKED, token=1, claim="", lease_expires_at=0)

    assert json.loads(document.result(receipt, {}))["data"]["lease_expires_at"] is None


def test_an_error_says_whether_to_try_again_and_what_to_do() -> None:
    error = errors.LeaseLost(item="item_1", token="1", newest="2", state="in_progress")

    read = json.loads(document.refusal(error))["error"]

    assert set(read) == {"code", "message", "hint", "retryable", "details"}
    assert (read["code"], read["retryable"]) == ("LEASE_LOST", False)
    assert read["details"]["newest"] == 2
    assert "worker pop" in read["hint"]


@pytest.mark.parametrize("kind", list(errors.BY_WORD.values()))
def test_the_word_of_an_error_leads_to_its_class(kind: type[errors.TaskOrchestratorError]) -> None:
    assert errors.BY_WORD[kind.word] is kind
