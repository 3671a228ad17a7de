"""Our block in somebody else's text, and files that are ours: in and out again, byte for byte."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskorch_orchestrator.marked_block import Block, WholeFile
from taskorch_orchestrator.tool_file import Unfit, with_part

MARKDOWN = Block("## Ours\n\nText é🙂")
TOML = Block('[ours]\na = "b"', toml=True)
OWN = WholeFile("<!-- task-orchestrator -->\nours\n")

TEXTS = [
    "",
    "\n",
    "# Mine",
    "# Mine\n",
    "# Mine\n\n\n",
    "a\r\nb\r\n",
    "a\r\nb",
    "\ufeff# Größe 🙂\n",
    "no <!-- end -->",
    "\r",
    "x \n",
]
TOMLS = ["", "# note", 'model = "x" # why\n', '[a]\r\nb = 1\r\n\r\n[a.c]\r\n"d e" = [1,\r\n2]\r\n', "a = '''\n\n'''"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_block_is_put_in_and_taken_out_again(text: str) -> None:
    added = MARKDOWN.added(text)

    assert MARKDOWN.has(added)
    assert not MARKDOWN.has(text)
    assert added.startswith(text)
    assert MARKDOWN.removed(added) == text
    assert with_part(MARKDOWN, added) == added


@given(st.text(alphabet="ab \r\n#<>-", max_size=30))
def test_any_text_has_every_byte_back(text: str) -> None:
    assert MARKDOWN.removed(with_part(MARKDOWN, text)) == text


def test_a_new_file_goes_again_and_an_empty_one_stays() -> None:
    assert MARKDOWN.removed(MARKDOWN.added(None)) is None
    assert MARKDOWN.removed(MARKDOWN.added("")) == ""


def test_a_block_has_the_line_breaks_of_the_text_around_it() -> None:
    added = MARKDOWN.added("a\r\n")

    assert added.count("\n") == added.count("\r\n")


def test_what_is_written_behind_a_block_stays() -> None:
    added = MARKDOWN.added("before\n") + "behind\n"

    assert MARKDOWN.removed(added) == "before\nbehind\n"


def test_an_older_block_and_one_that_is_there_twice_are_put_right() -> None:
    older = Block("## Once\n").added("mine\n")
    twice = MARKDOWN.added(MARKDOWN.added("mine\n"))

    for text in (older, twice):
        assert not MARKDOWN.has(text)
        assert with_part(MARKDOWN, text) == MARKDOWN.added("mine\n")


@pytest.mark.parametrize("text", TOMLS)
def test_toml_stays_toml(text: str) -> None:
    added = with_part(TOML, text)

    assert tomllib.loads(added) == {**tomllib.loads(text), "ours": {"a": "b"}}
    assert TOML.removed(added) == text


@pytest.mark.parametrize("text", ["a = ", "a", "[ours]\n", "ours = 1\n", "[[ours]]\n"])
def test_toml_that_is_none_or_has_our_names_already_is_refused(text: str) -> None:
    with pytest.raises(Unfit, match="is not valid TOML"):
        TOML.added(text)


def test_a_file_of_our_own_is_made_renewed_and_taken_away_and_anothers_is_left_alone() -> None:
    assert with_part(OWN, None) == "<!-- task-orchestrator -->\nours\n"
    assert with_part(OWN, "<!-- task-orchestrator -->\nolder\n") == "<!-- task-orchestrator -->\nours\n"
    assert OWN.removed("<!-- task-orchestrator -->\nolder\n") is None
    assert OWN.removed("theirs") == "theirs"
    assert OWN.removed("name: task-orchestrator\n") == "name: task-orchestrator\n"
    with pytest.raises(Unfit, match="somebody else's"):
        with_part(OWN, "theirs")
