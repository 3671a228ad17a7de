"""Our block in the text of others, and our own files, are added and removed."""

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
def test_block_is_added_and_removed(text: str) -> None:
    added = MARKDOWN.added(text)

    assert MARKDOWN.has(added)
    assert not MARKDOWN.has(text)
    assert added.startswith(text)
    assert MARKDOWN.removed(added) == text
    assert with_part(MARKDOWN, added) == added


@given(st.text(alphabet="ab \r\n#<>-", max_size=30))
def test_any_markdown_is_restored_byte_for_byte(text: str) -> None:
    assert MARKDOWN.removed(with_part(MARKDOWN, text)) == text


def test_created_file_is_removed_and_empty_one_stays() -> None:
    assert MARKDOWN.removed(MARKDOWN.added(None)) is None
    assert MARKDOWN.removed(MARKDOWN.added("")) == ""


def test_block_uses_line_breaks_of_its_file() -> None:
    added = MARKDOWN.added("a\r\n")

    assert added.count("\n") == added.count("\r\n")


def test_text_after_block_stays() -> None:
    added = MARKDOWN.added("before\n") + "behind\n"

    assert MARKDOWN.removed(added) == "before\nbehind\n"


@pytest.mark.parametrize("behind", ["", "\nbehind\n"])
def test_older_block_is_replaced_in_place(behind: str) -> None:
    older = Block("## Once\n").added("mine\n") + behind

    assert not MARKDOWN.has(older)
    assert with_part(MARKDOWN, older) == MARKDOWN.added("mine\n") + behind


BEGIN, END = (MARKDOWN.added(None).splitlines()[line] for line in (0, -1))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("lost", "behind"),
    [(BEGIN, ""), (END, ""), (END, "\nbehind\n"), (BEGIN, "\nbehind\n")],
)
def test_block_without_a_mark_is_found_by_content(
    lost: str, behind: str, newline: str
) -> None:
    whole = (MARKDOWN.added("before\n") + behind).replace("\n", newline)
    damaged = whole.replace(lost + newline, "")

    assert damaged != whole
    assert not MARKDOWN.has(damaged)
    assert with_part(MARKDOWN, damaged) == whole
    assert MARKDOWN.removed(damaged) == ("before\n" + behind).replace(
        "\n", newline
    )


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"mine\n\n{BEGIN}\nours\n\n# Mine\n", r"line 3\."),
        (f"{END}\r\nmine\r\n", r"line 1\."),
        (f"{BEGIN}\nours\nmine\n{BEGIN}\nours\n{END}\n", r"line 1, 4, 6\."),
        (MARKDOWN.added(None) * 2, r"line 1, 5, 6, 10\."),
        (f"{END}\n{BEGIN}\n", r"line 1, 2\."),
    ],
)
def test_broken_block_is_refused_with_its_lines(text: str, lines: str) -> None:
    for act in (MARKDOWN.has, MARKDOWN.added, MARKDOWN.removed):
        with pytest.raises(UnsupportedFile, match=lines):
            act(text)


def test_whole_file_is_written_replaced_and_removed() -> None:
    assert with_part(OWN, None) == "<!-- task-orchestrator -->\nours\n"
    assert (
        with_part(OWN, "<!-- task-orchestrator -->\nolder\n")
        == "<!-- task-orchestrator -->\nours\n"
    )
    assert OWN.has("<!-- task-orchestrator -->\r\nours\r\n")
    assert OWN.removed("<!-- task-orchestrator -->\nolder\n") is None
    assert OWN.removed("theirs") == "theirs"
    assert (
        OWN.removed("name: task-orchestrator\n") == "name: task-orchestrator\n"
    )
    with pytest.raises(UnsupportedFile, match="was not written by"):
        with_part(OWN, "theirs")
