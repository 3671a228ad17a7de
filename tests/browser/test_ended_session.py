"""A form whose session ends while its person types."""

from playwright.sync_api import expect
from support.browser import OpenBoard, Screen
from support.builders import Bench
from taskorch.domain.item import State
from taskorch.domain.role import Role

NOT_SIGNED_IN = "status of 401"
ANSWER = "The second line\nis kept, too: <b>“ü”</b>"


def blocked_item(bench: Bench) -> str:
    """Return an item whose agent waits for an answer."""
    item = bench.item(agent="ada")
    bench.bring_to(item, State.BLOCKED)
    return item


def answered(screen: Screen, text: str) -> None:
    """Type an answer on the page of an item, and send it."""
    screen.page.locator("[name=answer]").first.fill(text)
    screen.page.get_by_role("button", name="Answer", exact=True).first.click()


def test_answer_of_ended_session_comes_back(
    board: OpenBoard, bench: Bench
) -> None:
    item = blocked_item(bench)
    tokens = bench.queue.access_tokens()
    first = tokens.create("ana", Role.ORCHESTRATOR)
    second = tokens.create("ana", Role.ORCHESTRATOR)
    screen = board(None, "/sign-in", has_script=False)
    screen.sign_in(first.token)
    screen.open(f"/items/{item}")
    tokens.revoke(first.id)

    answered(screen, ANSWER)
    screen.page.get_by_label("Access token").fill(second.token)
    screen.page.get_by_role("button", name="Sign in", exact=True).click()
    kept = screen.page.get_by_label("Answer").input_value()
    screen.page.get_by_role("button", name="Answer", exact=True).click()

    assert kept == ANSWER
    expect(screen.page.locator(".receipt")).to_contain_text("nswered")
    assert bench.state(item) is State.IN_PROGRESS
    screen.forgive(NOT_SIGNED_IN)


def test_answer_stays_on_the_page_meanwhile(
    board: OpenBoard, bench: Bench
) -> None:
    item = blocked_item(bench)
    tokens = bench.queue.access_tokens()
    first = tokens.create("ana", Role.ORCHESTRATOR)
    second = tokens.create("ana", Role.ORCHESTRATOR)
    screen = board(None, "/sign-in")
    screen.sign_in(first.token)
    screen.open(f"/items/{item}")
    tokens.revoke(first.id)

    answered(screen, ANSWER)
    alert = screen.page.get_by_role("alert").first
    expect(alert).to_contain_text("Sign in in another tab")
    field = screen.page.locator("[name=answer]").first
    kept = field.input_value()
    screen.sign_in(second.token)
    screen.page.get_by_role("button", name="Answer", exact=True).first.click()

    assert kept.replace("\n", " ") == ANSWER.replace("\n", " ")
    expect(screen.page.get_by_text("nswered").first).to_be_attached()
    assert bench.state(item) is State.IN_PROGRESS
    screen.forgive(NOT_SIGNED_IN)
    screen.forgive("status of 403")
