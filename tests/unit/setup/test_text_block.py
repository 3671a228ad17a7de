"""Our block in somebody else's text, and files that are ours: in and out again, byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskorch_orchestrator.setup.managed_file import UnsupportedFile, with_part
from taskorch_orchestrator.setup.text_block import Block, WholeFile

MARKDOWN = Block("## Ours\n\nText é🙂")
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


@pytest.mark.parametrize("behind", ["", "\nbehind\n"])
def test_an_older_block_is_renewed_where_it_stands(behind: str) -> None:
    older = Block("## Once\n").added("mine\n") + behind

    assert not MARKDOWN.has(older)
    assert with_part(MARKDOWN, older) == MARKDOWN.added("mine\n") + behind


BEGIN, END = (MARKDOWN.added(None).splitlines()[line] for line in (0, -1))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("lost", "behind"),
    [(BEGIN, ""), (END, ""), (END, "\nbehind\n"), (BEGIN, "\nbehind\n")],
)
def test_block_that_lost_a_mark_is_found_by_content(
    lost: str, behind: str, newline: str
) -> None:
    whole = (MARKDOWN.added("before\n") + behind).replace("\n", newline)
    damaged = whole.replace(lost + newline, "")

    assert damaged != whole
    assert not MARKDOWN.has(damaged)
    assert with_part(MARKDOWN, damaged) == whole
    assert MARKDOWN.removed(damaged) == ("before\n" + behind).replace("\n", newline)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"mine\n\n{BEGIN}\nours\n\n# Mine\n", "line 3:"),
        (f"{END}\r\nmine\r\n", "line 1:"),
        (f"{BEGIN}\nours\nmine\n{BEGIN}\nours\n{END}\n", "line 1, 4, 6:"),
        (MARKDOWN.added(None) * 2, "line 1, 5, 6, 10:"),
        (f"{END}\n{BEGIN}\n", "line 1, 2:"),
    ],
)
def test_a_block_that_lost_a_mark_is_refused_with_its_lines(
    text: str, lines: str
) -> None:
    for act in (MARKDOWN.has, MARKDOWN.added, MARKDOWN.removed):
        with pytest.raises(UnsupportedFile, match=lines):
            act(text)


def test_a_file_of_our_own_is_made_renewed_and_taken_away_and_anothers_is_left_alone() -> (
    None
):
    assert with_part(OWN, None) == "<!-- task-orchestrator -->\nours\n"
    assert (
        with_part(OWN, "<!-- task-orchestrator -->\nolder\n")
        == "<!-- task-orchestrator -->\nours\n"
    )
    assert OWN.has("<!-- task-orchestrator -->\r\nours\r\n")
    assert OWN.removed("<!-- task-orchestrator -->\nolder\n") is None
    assert OWN.removed("theirs") == "theirs"
    assert OWN.removed("name: task-orchestrator\n") == "name: task-orchestrator\n"
    with pytest.raises(UnsupportedFile, match="somebody else's"):
        with_part(OWN, "theirs")
