"""The message about notifications: its texts, its formats and its signature."""

import hmac
import json
from typing import Any

import pytest
from taskorch.config import notify_target
from taskorch.config.notify_target import FORMATS, NotifyTarget
from taskorch.domain.notification import Notification, NotificationKind
from taskorch_orchestrator.notify.message import (
    ItemText,
    MessageContent,
    message,
    text,
)

HOSTILE = "<!channel> @everyone\n\x1b[2J& more"


def target(**table: object) -> NotifyTarget:
    tables = [{"url": "https://hooks.example/x", **table}]
    (found,) = notify_target.targets(tables, "config.toml")
    return found


def notification(
    kind: NotificationKind = NotificationKind.BLOCKED, number: int = 1
) -> Notification:
    is_project = kind is NotificationKind.PROJECT_COMPLETED
    return Notification(
        kind=kind,
        item="" if is_project else f"item_{number:08x}",
        project="proj_00000001",
        agent="" if is_project else "ada",
        detail="dead_dependency" if kind is NotificationKind.STUCK else "1",
        at=1_700_000_000_000,
    )


def content(
    *notifications: Notification, texts: dict[str, ItemText] | None = None
) -> MessageContent:
    return MessageContent(
        id="0123456789abcdef",
        namespace="team",
        notifications=notifications,
        texts=texts or {},
    )


def document(to: NotifyTarget, about: MessageContent) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(
        message(to, about, secret="", at_s=1).body
    )
    return made


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (NotificationKind.BLOCKED, "ada has a question on item_00000001"),
        (NotificationKind.REVIEW, "item_00000001 waits for a review"),
        (NotificationKind.FAILED, "item_00000001 of ada has failed"),
        (
            NotificationKind.STUCK,
            "item_00000001 is stalled: dead dependency",
        ),
        (NotificationKind.PROJECT_COMPLETED, "proj_00000001 is completed"),
    ],
)
def test_one_notification_is_one_sentence(
    kind: NotificationKind, words: str
) -> None:
    assert text(target(), content(notification(kind))) == words


def test_row_links_to_the_board() -> None:
    to = target(board_url="https://board.example/")

    item = text(to, content(notification()))
    project = text(
        to, content(notification(NotificationKind.PROJECT_COMPLETED))
    )

    assert item.endswith(" https://board.example/items/item_00000001")
    assert project.endswith(" https://board.example/projects/proj_00000001")


def test_many_notifications_are_a_digest() -> None:
    many = [notification(number=number) for number in range(40)]

    lines = text(target(), content(*many)).splitlines()

    assert lines[0] == "Task Orchestrator, team: 40 notifications"
    assert len(lines) == 12
    assert lines[-1] == "- … and 30 more"


def test_json_has_every_notification() -> None:
    many = [notification(number=number) for number in range(40)]

    made = document(target(), content(*many))

    assert made["schema_version"] == 1
    assert made["namespace"] == "team"
    assert len(made["notifications"]) == 40
    assert made["notifications"][1] == {
        "event": "blocked",
        "item": "item_00000001",
        "project": "proj_00000001",
        "agent": "ada",
        "detail": "1",
        "at": "2023-11-14T22:13:20.000Z",
        "url": "",
    }


def test_texts_of_others_call_nobody() -> None:
    texts = {"item_00000001": ItemText(title=HOSTILE, text=HOSTILE)}
    about = content(notification(), texts=texts)

    slack = document(target(format="slack"), about)["text"]
    discord = document(target(format="discord"), about)

    assert "\n" not in slack
    assert "\x1b" not in slack
    assert "&lt;!channel&gt;" in slack
    assert discord["allowed_mentions"] == {"parse": []}


def test_long_texts_are_cut() -> None:
    texts = {"item_00000001": ItemText(title="x" * 500, text="y" * 60_000)}
    many = [notification()] * 100

    for form in FORMATS:
        made = message(
            target(format=form), content(*many, texts=texts), secret="", at_s=1
        )
        assert len(made.body) < 200_000
    discord = document(target(format="discord"), content(*many, texts=texts))
    assert len(discord["content"]) <= 2000


def test_ntfy_has_text_title_and_link() -> None:
    to = target(format="ntfy", board_url="https://board.example")

    made = message(to, content(notification()), secret="", at_s=1)

    assert made.body.startswith(b"ada has a question on item_00000001")
    assert made.headers["Title"] == "Task Orchestrator, team"
    assert made.headers["Click"] == "https://board.example/items/item_00000001"


def test_signature_covers_time_and_body() -> None:
    made = message(target(), content(notification()), secret="k3y", at_s=17)

    digest = hmac.new(b"k3y", b"17." + made.body, "sha256").hexdigest()
    assert made.headers["X-Taskorch-Timestamp"] == "17"
    assert made.headers["X-Taskorch-Signature"] == f"sha256={digest}"
    assert made.headers["Idempotency-Key"] == "0123456789abcdef"
    assert "k3y" not in str(made.headers)


def test_message_without_secret_is_not_signed() -> None:
    made = message(target(), content(notification()), secret="", at_s=17)

    assert not [name for name in made.headers if name.startswith("X-")]


def test_test_message_says_what_it_is() -> None:
    made = document(target(), content())

    assert "This is a test" in made["text"]
    assert made["notifications"] == []
