"""What a person does to an item from the board: the verbs of an orchestrator."""

from typing import cast

from starlette.responses import Response
from taskorch.cli.text import counted, questions
from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.item import (
    AnsweredItem,
    CancelledItem,
    Item,
    Requeued,
    ReviewedItem,
    State,
)
from taskorch_orchestrator.actions import AssignedItem, CommentedItem

from taskorch_gateway.api import orchestrator_verbs as verbs
from taskorch_gateway.board import item, origin, refusals
from taskorch_gateway.board.assignee import (
    LABEL,
    need_assignee,
    owner_of_item,
)
from taskorch_gateway.board.forms import ActionQuestion, ActionReceipt, Form
from taskorch_gateway.board.item import (
    HELD,
    OVER,
    ItemView,
    ReadItem,
    ReadState,
)
from taskorch_gateway.board.item_edit import ChangedSince
from taskorch_gateway.board.visit import Action, Visit

#: The field with what the item was when the form was opened.
SEEN = "seen"
REVIEW_TEXT = "Your text about the work"


class AnsweredSince(ChangedSince):
    """The question of a form is closed."""

    next_step = "To add to it, comment on the item."


async def answer(visit: Visit, form: Form) -> ActionReceipt:
    """Answer a question; without its number, the only one."""
    question = form.number("question") or 0
    verb = verbs.Answer(
        item=visit.word("id"), text=form.text("answer"), question=question
    )
    try:
        done = cast("AnsweredItem", await visit.ask(verb))
    except errors.NoQuestion:
        if closed := await _closed_question(visit, question):
            raise AnsweredSince(what=closed) from None
        raise
    still_open = questions(done.open_questions)
    if still_open:
        return ActionReceipt(text=f"Answered. Still open: {still_open}.")
    return ActionReceipt(text=f"Answered. The item is {_words(done.state)}.")


async def comment(visit: Visit, form: Form) -> ActionReceipt | ActionQuestion:
    """Comment on an item, for its holder or the next one."""
    id_ = visit.word("id")
    if not (form.is_confirmed or form.text("comment")):
        return item.comment_question(await _state(visit))
    verb = verbs.Comment(item=id_, text=form.text("comment"))
    done = cast("CommentedItem", await visit.ask(verb))
    if done.state in HELD:
        return ActionReceipt(
            text=f"{done.agent} gets the comment with its next step."
        )
    return ActionReceipt(text="The next holder gets the comment.")


async def assign(
    visit: Visit, form: Form
) -> ActionReceipt | ActionQuestion | Response:
    """Assign an item to an agent or a pool; ask first if another one has it."""
    found = await _state(visit)
    typed, owner = form.text("agent"), owner_of_item(found)
    question = item.assign_question(found)
    if typed != owner.typed:
        if changed := _changed(found, form):
            return _ask_again(visit, form, found, question, changed)
        if owner.typed and not form.is_confirmed:
            return question
    wanted = need_assignee(typed)
    verb = verbs.Assign(
        items=(found.id,),
        agent=wanted.agent,
        pool=wanted.pool,
        force=found.state in HELD,
    )
    done = cast("AssignedItem", await visit.ask(verb)).assignment
    text = f"Assigned to {wanted.words}."
    if done.is_new_agent:
        text += " No agent of this name has called yet."
    elif done.has_no_agents:
        text += " No agent takes items from it yet."
    elif done.state is State.WAITING:
        text += " It waits for its dependencies."
    return ActionReceipt(text=text)


async def cancel(
    visit: Visit, form: Form
) -> ActionReceipt | ActionQuestion | Response:
    """Cancel an item, after a question."""
    found = await _state(visit)
    if found.state is not State.CANCELLED:
        if changed := _changed(found, form):
            question = item.cancel_question(found, 0)
            return _ask_again(visit, form, found, question, changed)
        if not form.is_confirmed:
            view = await item.read(visit)
            return item.cancel_question(found, view.waiting)
    verb = verbs.Cancel(id=found.id, reason=form.text("reason"))
    done = cast("CancelledItem", await visit.ask(verb))
    text = "Cancelled."
    if done.closed_questions:
        text += (
            f" Closed without an answer: {questions(done.closed_questions)}."
        )
    if done.waiting:
        items = counted(done.waiting, "item waits", "items wait")
        text += f" {items} for it."
    return ActionReceipt(text=text)


async def accept(
    visit: Visit, form: Form
) -> ActionReceipt | ActionQuestion | Response:
    """Accept an item in review."""
    found = await _state(visit)
    if changed := _changed(found, form):
        question = ActionQuestion(
            title=f"Accept {found.title}?",
            why="",
            yes="Accept",
            label=REVIEW_TEXT,
        )
        return _ask_again(visit, form, found, question, changed)
    verb = verbs.AcceptItem(item=found.id, text=form.text("text"))
    await visit.ask(verb)
    return ActionReceipt(text="Accepted. The item is completed.")


async def send_back(
    visit: Visit, form: Form
) -> ActionReceipt | ActionQuestion | Response:
    """Send an item in review back to its agent, after a question for the reason."""
    found = await _state(visit)
    question = item.send_back_question(found)
    if changed := _changed(found, form):
        return _ask_again(visit, form, found, question, changed)
    if not (form.is_confirmed or form.text("text")):
        return question
    verb = verbs.SendBackItem(item=found.id, text=form.text("text"))
    done = cast("ReviewedItem", await visit.ask(verb))
    return ActionReceipt(text=f"Sent back to {done.agent}.")


async def requeue(
    visit: Visit, form: Form
) -> ActionReceipt | ActionQuestion | Response:
    """Start an item again; ask first if it is completed."""
    view = await item.read(visit)
    found = view.item
    if found.state in OVER:
        question = item.requeue_question(found, view.project)
        if question and not form.is_confirmed:
            return question
        if changed := _changed(found, form):
            again = question or ActionQuestion(
                title=f"Requeue {found.title}?", why="", yes="Requeue"
            )
            return _ask_again(visit, form, found, again, changed)
    verb = verbs.Requeue(
        item=found.id,
        reason=form.text("reason"),
        reopen=view.project.status == "completed",
    )
    done = cast("Requeued", await visit.ask(verb))
    text = f"Requeued. The item is {_words(done.state)}."
    if done.waiting:
        items = counted(done.waiting, "item waits", "items wait")
        text += f" {items} for it again."
    return ActionReceipt(text=text)


def _words(state: State) -> str:
    return state.replace("_", " ")


async def _state(visit: Visit) -> Item:
    """Return the item that a path names. Raises errors.NoItem."""
    return cast("Item", await visit.ask(ReadState(item=visit.word("id"))))


async def _closed_question(visit: Visit, number: int) -> str:
    """Return who has closed a question, and how; "" if that is not known."""
    view = cast("ItemView", await visit.ask(ReadItem(item=visit.word("id"))))
    for attempt in view.attempts:
        for step in attempt.steps:
            if step.closes and number in (0, step.closes):
                said = (
                    f": “{step.quotes[0].shown.text}”" if step.quotes else ""
                )
                return f"{step.what}{said}. Your answer was not sent."
    return ""


def _changed(found: Item, form: Form) -> str:
    """Return what has changed of an item since a form was opened, or "".

    Progress is no change, and neither is a step from one state to another in which no
    agent holds the item.
    """
    seen = form.text(SEEN)
    if not seen or seen == _seen(found):
        return ""
    state, generation, typed = (*seen.split(":", 2), "", "")[:3]
    changes, owner = [], owner_of_item(found)
    if typed != owner.typed:
        now = f"assigned to {owner.words}" if owner.typed else "not assigned"
        changes.append(f"is {now}")
    if generation != str(found.generation):
        changes.append("was requeued")
    if _phase(state) != _phase(found.state):
        changes.append(f"is {_words(found.state)}")
    if not changes:
        return ""
    return (
        f"Since this form was opened, {found.title} {' and '.join(changes)}."
    )


def _seen(found: Item) -> str:
    return item.seen_of(found.state, found.generation, found.agent, found.pool)


def _phase(state: str) -> str:
    """Return what counts of a state: whether an agent holds the item, or it is over."""
    if state in HELD:
        return "held"
    return state if state in (*OVER, State.REVIEW) else "open"


def _ask_again(
    visit: Visit,
    form: Form,
    found: Item,
    question: ActionQuestion,
    changed: str,
) -> Response:
    """Return the question about an item that has changed, with what was typed.

    The script shows an error, and the form goes on with the item as it is now. Raises
    ChangedSince then.
    """
    seen = _seen(found)
    if visit.is_script:
        raise ChangedSince(what=changed, seen=seen)
    asked = replace(question, why=f"{changed} {question.why}")
    fields = [each for each in form.fields if each[0] != SEEN]
    fresh = Form([*fields, (SEEN, seen)])
    back = origin.back_of(visit.request, form)
    path = visit.request.url.path
    again = refusals.asked(asked, fresh, path, back)
    return visit.page("question.html", status=409, question=asked, again=again)


ACTIONS = (
    Action(
        path="/items/{id}/answer",
        act=answer,
        word="Answer",
        texts={"answer": "Answer"},
    ),
    Action(
        path="/items/{id}/comment",
        act=comment,
        word="Comment",
        texts={"comment": "Comment"},
    ),
    Action(
        path="/items/{id}/assign",
        act=assign,
        word="Assign",
        texts={"agent": LABEL},
    ),
    Action(
        path="/items/{id}/cancel",
        act=cancel,
        word="Cancel the item",
        texts={"reason": "Reason"},
    ),
    Action(
        path="/items/{id}/accept",
        act=accept,
        word="Accept",
        texts={"text": REVIEW_TEXT},
    ),
    Action(
        path="/items/{id}/send-back",
        act=send_back,
        word="Send back",
        texts={"text": "What has to change?"},
    ),
    Action(path="/items/{id}/requeue", act=requeue, word="Requeue"),
)
