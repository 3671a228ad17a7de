"""The message about a batch of notifications, in the format of its target.

Without `include_text`, it has ids and names, and nothing that a person or an agent wrote.
"""

import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskorch.cli.text import counted, line, one_line
from taskorch.config.notify_target import NotifyTarget
from taskorch.domain.clock import rfc3339
from taskorch.domain.frozen import Frozen
from taskorch.domain.notification import Notification, NotificationKind

from taskorch_orchestrator.notify.post import HttpMessage

SCHEMA_VERSION = 1
#: Rows that people read; a message about more says how many are left out.
ROWS_SHOWN = 10
#: Characters of a text of others in a row.
TEXT_CHARACTERS = 300
#: What Discord accepts.
DISCORD_CHARACTERS = 2000
TEST = "This is a test of the notifications of Task Orchestrator."
#: Kind -> what happened, with the agent, the item or project and the detail.
WORDS: Mapping[NotificationKind, str] = {
    NotificationKind.BLOCKED: "{agent} has a question on {id}",
    NotificationKind.REVIEW: "{id} waits for a review",
    NotificationKind.FAILED: "{id} of {agent} has failed",
    NotificationKind.STUCK: "{id} is stalled: {detail}",
    NotificationKind.BUDGET: "the budget is used up: {detail}",
    NotificationKind.PROJECT_COMPLETED: "{id} is completed",
}


class ItemText(Frozen):
    """What others wrote on an item: its title, and a question, a reason or a result."""

    title: str
    text: str


class MessageContent(Frozen):
    """What a message is about."""

    #: The same in every attempt.
    id: str
    namespace: str
    notifications: tuple[Notification, ...]
    #: Id of an item or a project -> its texts, if the target wants them.
    texts: Mapping[str, ItemText] = {}


def message(
    target: NotifyTarget, content: MessageContent, *, secret: str, at_s: int
) -> HttpMessage:
    """Return a message, signed if there is a secret. `at_s` is the time of the attempt."""
    kind, body, headers = FORMATS[target.format](target, content)
    headers = {
        "Content-Type": kind,
        "Idempotency-Key": content.id,
        **headers,
    }
    if secret:
        signed = f"{at_s}.".encode() + body
        digest = hmac.new(secret.encode(), signed, "sha256").hexdigest()
        headers["X-Taskorch-Timestamp"] = str(at_s)
        headers["X-Taskorch-Signature"] = f"sha256={digest}"
    return HttpMessage(headers=headers, body=body)


def text(target: NotifyTarget, content: MessageContent) -> str:
    """Return the message as people read it: a heading, and a row for each notification."""
    rows = [
        _row(target, content, each)
        for each in content.notifications[:ROWS_SHOWN]
    ]
    if not rows:
        return TEST
    left = len(content.notifications) - len(rows)
    if left:
        board = f" {target.board_url}/" if target.board_url else ""
        rows.append(f"… and {left} more{board}")
    if len(rows) == 1:
        return rows[0]
    number = counted(
        len(content.notifications), "notification", "notifications"
    )
    head = f"Task Orchestrator, {content.namespace}: {number}"
    return "\n".join([head, *(f"- {row}" for row in rows)])


def link(target: NotifyTarget, each: Notification) -> str:
    """Return the address of an item or a project on the board, "" without a board."""
    if not target.board_url:
        return ""
    if each.item:
        return f"{target.board_url}/items/{each.item}"
    if each.project:
        return f"{target.board_url}/projects/{each.project}"
    return f"{target.board_url}/"


def _row(
    target: NotifyTarget, content: MessageContent, each: Notification
) -> str:
    about = each.item or each.project
    row = WORDS[each.kind].format(
        id=about,
        agent=each.agent or "an agent",
        detail=line(each.detail.replace("_", " ")),
    )
    found = content.texts.get(about)
    if found:
        row += f": {_cut(found.title)}"
        if found.text:
            row += f". {_cut(found.text)}"
    address = link(target, each)
    return f"{row} {address}" if address else row


def _cut(words: str) -> str:
    """Return the beginning of a text of others, on one line."""
    shown = one_line(words)
    if len(shown) <= TEXT_CHARACTERS:
        return shown
    return shown[: TEXT_CHARACTERS - 2] + " …"


def _json(
    target: NotifyTarget, content: MessageContent
) -> tuple[str, bytes, dict[str, str]]:
    rows: list[dict[str, Any]] = []
    for each in content.notifications:
        row: dict[str, Any] = {
            "event": each.kind.value,
            "item": each.item,
            "project": each.project,
            "agent": each.agent,
            "detail": each.detail,
            "at": rfc3339(each.at),
            "url": link(target, each),
        }
        if found := content.texts.get(each.item or each.project):
            row["title"] = _cut(found.title)
            row["text"] = _cut(found.text)
        rows.append(row)
    document = {
        "schema_version": SCHEMA_VERSION,
        "id": content.id,
        "namespace": content.namespace,
        "text": text(target, content),
        "notifications": rows,
    }
    return "application/json", json.dumps(document).encode(), {}


def _slack(
    target: NotifyTarget, content: MessageContent
) -> tuple[str, bytes, dict[str, str]]:
    """Return a message for Slack. `<!channel>` in a text must call nobody."""
    escaped = text(target, content)
    for character, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        escaped = escaped.replace(character, name)
    return "application/json", json.dumps({"text": escaped}).encode(), {}


def _discord(
    target: NotifyTarget, content: MessageContent
) -> tuple[str, bytes, dict[str, str]]:
    """Return a message for Discord, in which no text calls anybody."""
    shown = text(target, content)
    if len(shown) > DISCORD_CHARACTERS:
        shown = shown[: DISCORD_CHARACTERS - 2] + " …"
    document = {"content": shown, "allowed_mentions": {"parse": []}}
    return "application/json", json.dumps(document).encode(), {}


def _ntfy(
    target: NotifyTarget, content: MessageContent
) -> tuple[str, bytes, dict[str, str]]:
    """Return a message for ntfy: the text, with its title and its link as headers."""
    headers = {"Title": f"Task Orchestrator, {content.namespace}"}
    address = _click(target, content.notifications)
    if address:
        headers["Click"] = address
    body = text(target, content).encode()
    return "text/plain; charset=utf-8", body, headers


def _click(target: NotifyTarget, notifications: Sequence[Notification]) -> str:
    """Return where a tap on the message leads: to the item, or to the board."""
    if len(notifications) == 1:
        return link(target, notifications[0])
    return f"{target.board_url}/" if target.board_url else ""


#: Format -> the function that returns the type of the body, the body and its headers.
FORMATS: Mapping[
    str,
    Callable[
        [NotifyTarget, MessageContent], tuple[str, bytes, dict[str, str]]
    ],
] = {
    "json": _json,
    "slack": _slack,
    "discord": _discord,
    "ntfy": _ntfy,
}
