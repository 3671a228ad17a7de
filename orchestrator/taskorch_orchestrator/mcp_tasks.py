"""The tool `delegate`, and the tasks of MCP that it returns to clients that know them.

A task is one run of an item: its id is `item.generation.secret`. A requeue begins the
next generation, so a task that has ended stays so. Redis has the SHA-256 of the secret
and of the orchestrator's name, so nobody else can use the id.

    pending, waiting, queued, delayed, in_progress -> working
    blocked, review                                -> input_required
    completed                                      -> completed
    failed                                         -> completed, with isError
    cancelled                                      -> cancelled

It is loaded before the first answer to a client: what a call needs is imported by it.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

from taskorch.domain import errors, limits
from taskorch.domain.access import Access
from taskorch.domain.clock import rfc3339
from taskorch.domain.frozen import Frozen
from taskorch.mcp.messages import INVALID_PARAMS, ProtocolError
from taskorch.mcp.tool import (
    Continued,
    ProtocolResult,
    ToolArguments,
    ToolResult,
    seconds,
)

from taskorch_orchestrator.call_queue import queue_of

if TYPE_CHECKING:
    from taskorch.domain.item import Item, Package, Report
    from taskorch.mcp.call import ToolCall
    from taskorch.queue.plan import Plan
    from taskorch.queue.queue import Queue

#: How often a client should look: an agent works for minutes.
POLL_MS = 5000
CANCELLED = "Its orchestrator has cancelled the task."
FORGOTTEN = "The task has ended. The item's history no longer has its result."
DECLINED = "The question was declined: continue without an answer."
UNNAMED = "Name an agent or a pool, not both."
#: The decisions about an item in review, in its form.
ACCEPT, SEND_BACK = "accept", "send-back"
UNDECIDED = f"decision must be {ACCEPT} or {SEND_BACK}, and text must be text."
NO_TEXT = "To send an item back, say in text what is missing."
#: What the caller may do about an item whose wait has ended without its completion.
NEXT_STEPS = {
    "blocked": "It waits for an answer: orchestrate answer {item} TEXT",
    "review": (
        "It waits for its reviewer, {reviewer}. To decide about it: orchestrate accept "
        "{item} or orchestrate send-back {item} TEXT"
    ),
}
#: The reports of attempts that have failed.
FAILURES = ("fail", "expire")
#: The state in which a run of an item ends -> the reports with which it ends so.
ENDS = {
    "completed": ("complete",),
    "failed": FAILURES,
    "cancelled": ("cancel",),
}
_ID = r"(item_[0-9a-f]{8})\.([0-9]{1,9})\.([0-9a-f]{32})"
_QUESTION = r"question-([1-9][0-9]{0,8})"
#: The form of a review. An item that was sent back and delivered again has a new one.
_REVIEW = "review-{token}"
Texts = tuple[str, ...]


class DelegateArguments(ToolArguments):
    """Have an agent or a pool do an item, and wait for its result."""

    name = "delegate"
    quotes_others = True
    access = Access.CREATE
    title: str
    agent: str = ""
    pool: str = ""
    requirements: Texts = ()
    accept: Annotated[tuple[object, ...], "As in plan"] = ()
    project: Annotated[str, "proj_…, or a title"] = ""
    timeout: float = limits.SHORT_WAIT_S

    def perform(self, call: "ToolCall") -> ToolResult:
        """Create and assign the item; return its task, or go on with a wait."""
        from taskorch_orchestrator import actions
        from taskorch_orchestrator.mirror import handoff_writer

        timeout_s = seconds(self.timeout, "timeout")
        queue = queue_of(call)
        secret = _new_secret() if call.takes_tasks else ""
        handoffs = handoff_writer.writer(call.files)
        applied = actions.apply(queue, handoffs, self._plan(queue, secret))
        (created,) = applied.data.items
        if secret:
            task = McpTask(item=created.id, generation=0, secret=secret)
            found = queue.views.show(created.id)
            shown = _shown(task, found.item, "working")
            return ProtocolResult({"resultType": "task", **shown})
        rest = DelegatedWait(item=created.id, timeout=timeout_s)
        return Continued(rest)

    def _plan(self, queue: "Queue", secret: str) -> "Plan":
        """Return the plan of one item, in a project of its own if none is named."""
        from taskorch.domain import acceptance_rules
        from taskorch.domain.item import NewItem
        from taskorch.queue.plan import Plan

        if bool(self.agent) == bool(self.pool):
            raise errors.Usage(reason=UNNAMED)
        accepted = acceptance_rules.parse(self.accept)
        new = NewItem(
            title=self.title,
            requirements=self.requirements,
            criteria=accepted.criteria,
            checks=accepted.checks,
            reviewer=accepted.reviewer,
            agent=self.agent,
            pool=self.pool,
            task=_digest(queue.caller.agent, secret) if secret else "",
        )
        if self.project.startswith("proj_"):
            return Plan(items=(new,), project=self.project)
        return Plan(items=(new,), title=self.project or self.title)


class DelegatedWait(ToolArguments):
    """Wait for a delegated item; no list of tools has this."""

    name = "delegated"
    read_only = True
    quotes_others = True
    waits_for = "timeout"
    access = Access.READ
    item: str
    timeout: float

    def perform(self, call: "ToolCall") -> ToolResult:
        """Return what the item has delivered, its question, or how to look later."""
        from taskorch.queue.wait_results import Goal

        from taskorch_orchestrator import actions

        queue = queue_of(call)
        goals = [Goal.COMPLETED, Goal.BLOCKED, Goal.REVIEW]
        try:
            actions.wait(
                queue, queue.waits(), self.item, goals, timeout_s=self.timeout
            )
        except errors.WaitOver:
            item = queue.views.show(self.item).item
            hint = f"It is not done yet: orchestrate wait {self.item}"
            return ToolResult(_delivered(item), hint=hint)
        except errors.DeadEnd:
            pass  # the item says why
        item = queue.views.show(self.item).item
        step = NEXT_STEPS.get(item.state, "")
        hint = step.format(item=item.id, reviewer=item.reviewer)
        meta = {"hint": hint} if hint else {}
        return ToolResult(_delivered(item), **meta)


class GetTask(ToolArguments):
    """Return the state of a task, and its result once it has ended."""

    name = "tasks/get"
    is_method = True
    access = Access.READ
    task_id: str

    def perform(self, call: "ToolCall") -> ToolResult:
        """Look at the item of the task. Raises ProtocolError."""
        queue = queue_of(call)
        task, found = _find(queue, self.task_id)
        if task.generation < found.item.generation:
            return ProtocolResult(_ended_earlier(queue, task, found.item))
        return ProtocolResult(_detailed(task, found))


class UpdateTask(ToolArguments):
    """Answer the questions of a task, or decide about its review."""

    name = "tasks/update"
    is_method = True
    task_id: str
    input_responses: dict[str, object]

    def perform(self, call: "ToolCall") -> ToolResult:
        """Answer what is open; other responses do nothing.

        Raises ProtocolError, and errors.Invalid for a decision that is not one.
        """
        from taskorch_orchestrator import actions

        queue = queue_of(call)
        task, found = _find(queue, self.task_id)
        if task.generation == found.item.generation:
            for number, text in _answers(self.input_responses).items():
                with suppress(errors.NoQuestion):
                    actions.answer(queue, task.item, text, question=number)
            self._decide(queue, found.item)
        return ProtocolResult({})

    def _decide(self, queue: "Queue", item: "Item") -> None:
        """Accept the item or send it back, if a response to its review says so."""
        from taskorch_orchestrator import actions

        response = self.input_responses.get(_review(item))
        decided = _content(response) if item.state == "review" else None
        if decided is None:
            return
        decision, text = decided.get("decision"), decided.get("text") or ""
        if decision not in (ACCEPT, SEND_BACK) or not isinstance(text, str):
            raise errors.Invalid(reason=UNDECIDED)
        if decision == SEND_BACK and not text.strip():
            raise errors.Invalid(reason=NO_TEXT)
        decide = actions.accept if decision == ACCEPT else actions.send_back
        with suppress(errors.WrongState):  # the reviewer has decided
            decide(queue, item.id, text)


class CancelTask(ToolArguments):
    """Cancel a task."""

    name = "tasks/cancel"
    is_method = True
    task_id: str

    def perform(self, call: "ToolCall") -> ToolResult:
        """Cancel the item, unless the task has ended. Raises ProtocolError."""
        from taskorch_orchestrator import actions

        queue = queue_of(call)
        task, found = _find(queue, self.task_id)
        is_current = task.generation == found.item.generation
        if is_current and status_of(found.item) in ("working", ASKING):
            with suppress(errors.WrongState):
                actions.cancel(queue, task.item, reason=CANCELLED)
        return ProtocolResult({})


METHODS: Mapping[str, type[ToolArguments]] = {
    method.name: method for method in (GetTask, UpdateTask, CancelTask)
}
ASKING = "input_required"


class McpTask(Frozen):
    """A task, as its id names it."""

    _secret = ("secret",)

    item: str
    #: How often the item had been requeued when the task began.
    generation: int
    secret: str

    @property
    def id(self) -> str:
        """The id that the client has."""
        return f"{self.item}.{self.generation}.{self.secret}"


def status_of(item: "Item") -> str:
    """Return the status of the newest task of an item.

    A failed item whose task has ended may be cancelled later: its task stays as it was.
    """
    if item.state in ("blocked", "review"):
        return ASKING
    if item.state in ("completed", "failed") or item.had_failed:
        return "completed"
    return "cancelled" if item.state == "cancelled" else "working"


def _find(queue: "Queue", id_: str) -> "tuple[McpTask, Package]":
    """Return a task of the caller, and its item. Raises ProtocolError."""
    import hmac

    match = re.fullmatch(_ID, id_)
    if not match:
        raise _no_task()
    task = McpTask(item=match[1], generation=int(match[2]), secret=match[3])
    try:
        found = queue.views.show(task.item)
    except errors.NoItem:
        raise _no_task() from None
    digest = _digest(queue.caller.agent, task.secret)
    if not hmac.compare_digest(digest, found.item.task):
        raise _no_task()
    if task.generation > found.item.generation:
        raise _no_task()
    return task, found


def _no_task() -> ProtocolError:
    reason = "There is no such task, or it is not yours."
    return ProtocolError(INVALID_PARAMS, reason)


def _shown(task: McpTask, item: "Item", status: str) -> dict[str, Any]:
    """Return a task without what depends on its status."""
    return {
        "taskId": task.id,
        "status": status,
        "statusMessage": f"{item.state}, {item.percent}%",
        "createdAt": rfc3339(item.created_at),
        "lastUpdatedAt": rfc3339(item.changed_at or item.created_at),
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }


def _detailed(task: McpTask, found: "Package") -> dict[str, Any]:
    """Return the newest task of an item, with its result or its questions."""
    item = found.item
    status = status_of(item)
    shown = _shown(task, item, status)
    if status == ASKING:
        shown["inputRequests"] = _requests(item)
    elif status == "completed":
        is_error = item.state != "completed"
        reason = _reason(found.history) if is_error else ""
        shown["result"] = _result(_delivered(item, reason), is_error=is_error)
    return shown


def _ended_earlier(
    queue: "Queue", task: McpTask, item: "Item"
) -> dict[str, Any]:
    """Return a task whose item was requeued after its end, from the item's history.

    The history is capped. Beyond it, all that is known is that the task has ended.
    """
    reports = [
        entry.report for entry in queue.views.timeline(item.id).timeline
    ]
    requeues = [
        place for place, each in enumerate(reports) if each.kind == "requeue"
    ]
    later = item.generation - task.generation
    if len(requeues) < later:
        return _ended_long_ago(task, item)
    place = requeues[-later]
    state = reports[place].ended
    ends = [
        each for each in reports[:place] if each.kind in ENDS.get(state, ())
    ]
    if not ends:
        return _ended_long_ago(task, item)
    end = ends[-1]
    status = "cancelled" if state == "cancelled" else "completed"
    shown = {
        **_shown(task, item, status),
        "statusMessage": f"{state}; the item was requeued since.",
        "lastUpdatedAt": rfc3339(end.at),
    }
    if status == "completed":
        text = "reason" if state == "failed" else "summary"
        delivered = {"id": item.id, "state": state, text: end.text}
        shown["result"] = _result(delivered, is_error=state == "failed")
    return shown


def _ended_long_ago(task: McpTask, item: "Item") -> dict[str, Any]:
    """Return a task whose end is no longer in the history of its item."""
    delivered = {"id": item.id, "reason": FORGOTTEN}
    return {
        **_shown(task, item, "completed"),
        "statusMessage": "ended; the item was requeued since.",
        "result": _result(delivered, is_error=True),
    }


def _requests(item: "Item") -> dict[str, Any]:
    """Return a form for each open question of an item, or for its review."""
    if item.state == "review":
        return {_review(item): _form_of_review(item)}
    return {
        f"question-{question.number}": _form(
            "\n".join(filter(None, (question.text, question.needs))),
            {"answer": {"type": "string"}},
            required="answer",
        )
        for question in item.questions
    }


def _review(item: "Item") -> str:
    return _REVIEW.format(token=item.token)


def _form_of_review(item: "Item") -> dict[str, Any]:
    """Return the form for the decision about what an item has delivered."""
    from taskorch.cli.text import line

    delivered = [f"{name}: {each}" for name, each in item.deliverables.items()]
    message = "\n".join((
        f"{item.agent} has completed {line(item.title)!r}; {item.reviewer} reviews it.",
        *filter(None, (item.summary, *delivered)),
    ))  # fmt: skip
    decision = {"type": "string", "enum": [ACCEPT, SEND_BACK]}
    text = {
        "type": "string",
        "description": f"What is missing; {SEND_BACK} needs it",
    }
    return _form(
        message, {"decision": decision, "text": text}, required="decision"
    )


def _form(
    message: str, properties: Mapping[str, Any], *, required: str
) -> dict[str, Any]:
    return {
        "method": "elicitation/create",
        "params": {
            "mode": "form",
            "message": message,
            "requestedSchema": {
                "type": "object",
                "properties": properties,
                "required": [required],
            },
        },
    }


def _content(response: object) -> Mapping[str, object] | None:
    """Return what a client has filled into a form, None if it has not."""
    if not isinstance(response, dict) or response.get("action") != "accept":
        return None
    content = response.get("content")
    return content if isinstance(content, dict) else None


def _answers(responses: Mapping[str, object]) -> dict[int, str]:
    """Return the answers in the responses of a client, by the number of the question."""
    found = {}
    for key, response in responses.items():
        match = re.fullmatch(_QUESTION, key)
        if not match or not isinstance(response, dict):
            continue
        if response.get("action") == "decline":
            found[int(match[1])] = DECLINED
        elif content := _content(response):
            texts = [str(value) for value in content.values() if value]
            if texts:
                found[int(match[1])] = "\n".join(texts)
    return found


def _delivered(item: "Item", reason: str = "") -> dict[str, Any]:
    """Return an item as its orchestrator needs it at the end of a wait."""
    from taskorch.cli.json_output import plain

    return {
        "id": item.id,
        "project": item.project,
        "state": str(item.state),
        "percent": item.percent,
        "summary": item.summary,
        "deliverables": plain(item.deliverables),
        "links": plain(item.links),
        "questions": plain(item.questions),
        "reason": reason,
    }


def _result(data: Mapping[str, Any], *, is_error: bool) -> dict[str, Any]:
    """Return the result of the tool `delegate`, as a task holds it."""
    from taskorch.mcp import answers

    result = answers.of_result(ToolResult(data), DelegateArguments, {}, {})
    return {**result, "isError": is_error}


def _reason(history: "Sequence[Report]") -> str:
    """Return why the newest attempt has failed, "" if no reason was given."""
    failures = [each.text for each in history if each.kind in FAILURES]
    return failures[-1] if failures else ""


def _new_secret() -> str:
    import os

    return os.urandom(16).hex()


def _digest(name: str, secret: str) -> str:
    """Return what Redis has of the secret of a task of an orchestrator."""
    from hashlib import sha256

    return sha256(f"{name} {secret}".encode()).hexdigest()
