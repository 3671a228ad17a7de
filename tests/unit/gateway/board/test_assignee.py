"""Who gets an item, as a person types it."""

import pytest
from taskorch.domain import errors
from taskorch_gateway.board.assignee import (
    Assignee,
    assignee_of,
    need_assignee,
    owner_of,
)


@pytest.mark.parametrize(
    ("typed", "wanted", "words"),
    [
        ("", Assignee(), ""),
        ("ada", Assignee(agent="ada"), "ada"),
        ("pool:backend", Assignee(pool="backend"), "the pool backend"),
        ("pool: backend", Assignee(pool="backend"), "the pool backend"),
    ],
)
def test_agent_or_pool_is_read(
    typed: str, wanted: Assignee, words: str
) -> None:
    assert assignee_of(typed) == wanted
    assert wanted.words == words


@pytest.mark.parametrize("typed", ["pool:", "pool:a b", "a b", "agent:ada"])
def test_impossible_names_are_refused(typed: str) -> None:
    with pytest.raises(errors.Invalid):
        assignee_of(typed)


def test_nothing_typed_is_refused() -> None:
    with pytest.raises(errors.Usage, match="agent or the pool"):
        need_assignee("")


def test_item_of_a_pool_is_its_claimers() -> None:
    assert owner_of("queued", "", "backend") == Assignee(pool="backend")
    assert owner_of("in_progress", "ada", "backend") == Assignee(agent="ada")
    assert owner_of("cancelled", "", "backend") == Assignee()
