"""The filter language of the board: what it means, and where a filter is wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taskorch.domain.item import HOUR_MS, MINUTE_MS, State
from taskorch_gateway.board import filters
from taskorch_gateway.board.filters import Filter, WrongFilter

pytestmark = pytest.mark.one_lane

#: What filters are made of, so that most of what hypothesis draws has a meaning.
PARTS = st.sampled_from(
    (
        *("state:", "-state:", "agent:", "project:", "label:", "priority:"),
        *("-priority:", "older:", "newer:", "STATE:", "failed", "open", "0"),
        *("4", "2h", "ada", ",", " ", '"', "\\", "-", ":", "\n", "é", "\0"),
    )
)
TEXTS = st.one_of(
    st.text(max_size=40), st.lists(PARTS, max_size=12).map("".join)
)


def parsed(text: str) -> Filter:
    return filters.parse(text).filter


def place_of_mistake(text: str) -> tuple[int, int]:
    """Return where a filter is wrong; its first character if it is not."""
    try:
        filters.parse(text)
    except WrongFilter as error:
        return error.at, error.end
    return 0, 1


def mistake(text: str) -> tuple[str, str]:
    """Return the part of a filter that is wrong, and why."""
    with pytest.raises(WrongFilter) as caught:
        filters.parse(text)
    return text[caught.value.at : caught.value.end], str(caught.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", Filter()),
        ("  ", Filter()),
        ("state:failed", Filter(states=(State.FAILED,))),
        ("State:FAILED", Filter(states=(State.FAILED,))),
        ("state:in-progress", Filter(states=(State.IN_PROGRESS,))),
        ('state:"in progress"', Filter(states=(State.IN_PROGRESS,))),
        (
            "state:failed,blocked",
            Filter(states=(State.BLOCKED, State.FAILED)),
        ),
        (
            "state:failed state:blocked",
            Filter(states=(State.BLOCKED, State.FAILED)),
        ),
        ("state:open", Filter(states=filters.OPEN_STATES)),
        ("-state:completed,cancelled", Filter(states=filters.OPEN_STATES)),
        ("state:open,completed,cancelled", Filter()),
        (
            "state:open -state:queued,waiting,pending,delayed,in_progress,review",
            Filter(states=(State.BLOCKED, State.FAILED)),
        ),
        ("agent:ada,bob", Filter(agents=("ada", "bob"))),
        ("pool:backend,python", Filter(pools=("backend", "python"))),
        ("label:api label:v2", Filter(labels=("api", "v2"))),
        ("priority:1,0", Filter(priorities=(0, 1))),
        ("-priority:3,4", Filter(priorities=(0, 1, 2))),
        ("older:2h newer:3d", Filter(older="2h", newer="3d")),
        ("login Form", Filter(words=("login", "Form"))),
        (
            '"login form" "a \\"b\\" \\\\c"',
            Filter(words=("login form", 'a "b" \\c')),
        ),
        ('10:30 5"disk', Filter(words=("10:30", '5"disk'))),
        (
            'project:"Monthly report",proj_1a2b3c4d',
            Filter(projects=("Monthly report", "proj_1a2b3c4d")),
        ),
    ],
)
def test_filter_is_understood(text: str, wanted: Filter) -> None:
    assert parsed(text) == wanted


@pytest.mark.parametrize(
    ("text", "wrong", "why"),
    [
        ("state:faild", "faild", "Column 7: There is no state faild. Did you"),
        ("a state:queued,nix", "nix", "Column 16: There is no state nix."),
        ("stat:failed", "stat:", "Column 1: There is no key stat: Did you"),
        ("see http://x", "http:", "To find a text with a colon, write it in"),
        ("state:", "state:", "Column 1: A value is missing, such as state:f"),
        ("agent:ada,", "agent:ada,", "A value is missing, such as agent:"),
        ("agent:../x", "../x", "is not a name for an agent"),
        ("pool:../x", "../x", "is not a name for a pool"),
        ("label:a!b", "a!b", "is not a label"),
        ("priority:5", "5", "5 is not a priority"),
        ("priority:٣", "٣", "is not a priority"),
        ("older:2", "2", "is not a duration"),
        ("older:2h older:3h", "3h", "The filter has older: twice"),
        ("-agent:ada", "-agent:", "Only state: and priority: take a '-'"),
        ("-login", "-login", "Only state: and priority: take a '-'"),
        ("a -", "-", "Column 3: Only state: and priority:"),
        ('x "open', '"open', "Column 3: The quote is not closed."),
        ('"a"b', "b", "Column 4: A space is missing."),
        ('state:"failed"x', "x", "A space is missing."),
        ('""', '""', "The word is empty."),
        ("a\0b", "a\0b", "There is a NUL character in the word"),
        ("state:failed -state:failed", "failed", "names this, and rules it"),
        ("x" * 501, "x" * 501, "at most 500 are allowed"),
        ("a b c d e f g h i j k", "k", "A filter has at most 10 words"),
        ("a " * 600, " ".join("aaa"), ""),
    ],
    ids=lambda text: text[:30].replace("\0", "NUL"),
)
def test_mistake_has_its_place(text: str, wrong: str, why: str) -> None:
    at, message = mistake(text)

    if len(text) <= filters.MOST_CHARACTERS:
        assert at == wrong
        assert why in message
    else:
        assert "at most 1000 characters" in message


@given(TEXTS)
def test_any_text_parses_or_has_a_place(text: str) -> None:
    at, end = place_of_mistake(text)

    assert 0 <= at <= len(text)
    assert end > at


@settings(max_examples=300)
@given(TEXTS)
def test_written_filter_means_the_same(text: str) -> None:
    try:
        wanted = parsed(text)
    except WrongFilter:
        return

    assert parsed(str(wanted)) == wanted


@given(
    st.builds(
        Filter,
        states=st.lists(st.sampled_from(State), max_size=8, unique=True).map(
            lambda states: tuple(s for s in State if s in states)
        ),
        agents=st.lists(
            st.from_regex(r"[a-z][a-z0-9_.-]{0,5}[a-z]", fullmatch=True),
            max_size=3,
            unique=True,
        )
        .filter(lambda names: not any(".." in n for n in names))
        .map(tuple),
        priorities=st.sampled_from(((), (0,), (0, 1, 3), (1, 2, 3, 4))),
        older=st.sampled_from(("", "2h", "90s")),
        words=st.lists(
            st.text(
                st.characters(codec="utf-8", exclude_categories=("Z", "C")),
                min_size=1,
                max_size=10,
            ),
            max_size=3,
            unique=True,
        ).map(tuple),
    )
)
def test_filter_survives_being_written(wanted: Filter) -> None:
    assert parsed(str(wanted)) == wanted


def test_search_of_a_filter_has_its_values() -> None:
    wanted = parsed("state:failed agent:ada older:2h newer:1d login").items(
        "proj_1a2b3c4d"
    )

    assert (wanted.project, wanted.states, wanted.agents, wanted.texts) == (
        *("proj_1a2b3c4d", (State.FAILED,), ("ada",), ("login",)),
    )
    assert wanted.until_ago_ms == 2 * HOUR_MS
    assert wanted.since_ago_ms == 24 * 60 * MINUTE_MS


def test_other_states_keep_the_rest_of_a_filter() -> None:
    known = parsed("state:failed agent:ada login")

    assert str(known.of_states(State.QUEUED)) == (
        "state:queued agent:ada login"
    )
    assert str(known.of_states()) == "agent:ada login"


def test_places_of_projects_are_kept() -> None:
    read = filters.parse('a project:report,"x y"')

    assert [(each.text, each.at) for each in read.projects] == [
        ("report", 10),
        ("x y", 17),
    ]
