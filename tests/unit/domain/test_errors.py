"""Messages of errors: numbers have the right noun."""

import pytest
from taskorch.domain import errors


@pytest.mark.parametrize(
    ("failures", "words"),
    [(1, "failed once."), (2, "failed 2 times in a row.")],
)
def test_failures_are_counted_in_words(failures: int, words: str) -> None:
    error = errors.CommandFails(failures=failures, reason="exit status 1")

    assert words in str(error)


@pytest.mark.parametrize(
    ("attempts", "words"), [(1, "its 1 attempt,"), (3, "its 3 attempts,")]
)
def test_attempts_have_the_right_noun(attempts: int, words: str) -> None:
    error = errors.NoAttempts(item="item_1a2b3c4d", attempts=attempts)

    assert words in str(error)


def test_id_of_other_kind_leads_to_its_command() -> None:
    no_item = errors.NoItem(item="proj_1a2b3c4d")
    no_project = errors.NoProject(project="item_1a2b3c4d")

    assert no_item.hint().endswith(": orchestrate progress proj_1a2b3c4d")
    assert no_project.hint().endswith(": orchestrate show item_1a2b3c4d")
