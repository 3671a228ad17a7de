"""The state diagram of docs/concepts.md shows what the verbs do."""

import re
from pathlib import Path

from taskorch.domain.item import State
from unit.queue.test_transitions import IN_REVIEW, TABLE

PAGE = (Path(__file__).parents[3] / "docs" / "concepts.md").read_text("utf-8")
#: What happens without a verb, or depends on more than the state.
NOT_IN_TABLE = {
    "assign with an open dependency",
    "last dependency completed",
    "lease expired",
    "due",
    "last attempt failed",
    "complete with a reviewer",
}
#: Verbs that the page explains below the diagram.
EXPLAINED = {"cancel", "requeue", "assign --force", "depend"}
#: Rows of the table for options of a verb.
OPTION = {
    "takeover": "get",
    "complete-next": "complete",
    "fail-next": "fail",
    "assign-other": "assign",
    "assign-force": "assign --force",
}
#: Verbs that claim a queued item in the same step.
CLAIMING = {"progress", "discover", "blocker", "complete", "ack"}
#: Verbs that end the claim of a blocked item, too.
ENDING = {"complete", "ack", "fail", "release"}
Edge = tuple[str, str, str]


def drawn() -> set[Edge]:
    """Return the edges of the diagram: from, to, verb."""
    return {
        (before, after, verb.strip())
        for before, after, verbs in re.findall(
            r"^    (\w+) --> (\w+): (.*)$", PAGE, re.MULTILINE
        )
        for verb in verbs.split(",")
        if verb.strip() not in NOT_IN_TABLE
    }


def real() -> set[Edge]:
    """Return what the verbs do to the state of an item, by the tables of states."""
    return _changes(TABLE) | _changes(IN_REVIEW)


def _changes(table: str) -> set[Edge]:
    header, *rows = (line.split() for line in table.strip().splitlines())
    return {
        (before, after, OPTION.get(verb, verb))
        for verb, *cells in rows
        for before, after in zip(header, cells, strict=True)
        if after in set(State) and after != before
    }


def below_diagram() -> str:
    return PAGE.partition("The diagram leaves out:")[2].partition("\n## ")[0]


def test_diagram_shows_only_what_happens() -> None:
    assert len(drawn()) > 10
    assert drawn() - real() == set()


def test_page_states_every_change_of_state() -> None:
    unstated = {
        (before, verb)
        for before, _, verb in real() - drawn()
        if verb not in EXPLAINED
    }

    assert unstated == {
        *(("queued", verb) for verb in CLAIMING),
        *(("blocked", verb) for verb in ENDING),
    }


def test_page_explains_what_the_diagram_leaves_out() -> None:
    named = set(re.findall("`([^`]*)`", below_diagram()))

    assert named - set(State) == EXPLAINED | CLAIMING


def test_page_lists_every_state() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)

    assert rows == list(State)
