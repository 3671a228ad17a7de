"""The output of `orchestrate prime`: Markdown, within a bound."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from taskorch.cli.quoting import (
    DATA,
    INDENT,
    cut,
    fenced,
    fitting,
    in_review,
    open_questions,
)
from taskorch.cli.text import counted, line, one_line
from taskorch.domain.item import Item, NewDiscoveries, Project, State
from taskorch.queue.budgets import Budget
from taskorch.queue.overview import NewsLine
from taskorch.queue.stuck import StuckItem

from taskorch_orchestrator.briefing import SHOWN, OrchestratorBriefing
from taskorch_orchestrator.render.costs import budget_in_words

COMMANDS = """\
| command | |
|---|---|
| `orchestrate project TITLE` | open a project for a user's request |
| `orchestrate create PROJECT TITLE -r REQUIREMENT --depends-on ITEM --assign AGENT` | add an item |
| `orchestrate apply PLAN.yaml` | create a project with all its items from a file |
| `orchestrate assign ITEM AGENT` | put an item onto an agent's queue; any name works; or `--pool POOL` |
| `orchestrate edit ITEM --title TEXT` | change an item that no agent has begun |
| `orchestrate progress PROJECT` | show its progress |
| `orchestrate wait PROJECT --until completed --until blocked --until review --timeout 100` | wait; do not poll |
| `orchestrate discoveries PROJECT` | list what the agents found; `--new`: since you last looked |
| `orchestrate inbox` | what waits for you; answer a question: `orchestrate answer ITEM --question N TEXT` |
| `orchestrate accept ITEM`, `orchestrate send-back ITEM TEXT` | decide about an item in review |
| `orchestrate comment ITEM TEXT` | a message to the agent that works on an item, or will |
| `orchestrate stuck` | stalled items, and what helps |
| `orchestrate show ITEM` | everything about an item, and its timeline |
| `orchestrate cancel ITEM`, `orchestrate requeue ITEM --reason TEXT` | cancel it; queue it again |
| `orchestrate complete PROJECT` | close it, and print what it delivered |

You plan, assign, answer and deliver; the agents do the items (`worker`), not you.
Exit codes: 0 done; 2 usage; 3 no such project or item; 4 Redis is unreachable: try again later; 5 not possible in
this state; 6 held by another agent; 8 nothing to do now."""
#: Waits for the agents of a project.
WAIT = (
    "orchestrate wait {project} --until completed --until blocked --until review "
    "--timeout 100"
)
#: Bytes of the reason of a failure: that of `worker run` ends with a part of the log.
REASON_BYTES = 300
#: States of items that continue without the orchestrator.
UNDER_WAY = (State.QUEUED, State.DELAYED, State.IN_PROGRESS)
Row = TypeVar("Row")


def briefing(read: OrchestratorBriefing) -> str:
    """Return the agent, its projects, their open issues, the next step, the commands."""
    return fitting(lambda length: "\n\n".join(_sections(read, length)))


def next_step(read: OrchestratorBriefing) -> str:
    """Return the command to run next."""
    if read.inbox:
        return _answer(read.inbox[0])
    if read.reviews:
        return f"orchestrate show {read.reviews[0].id}"
    if read.unassigned:
        return f"orchestrate assign {read.unassigned[0].id} AGENT"
    if read.stuck:
        return read.stuck[0].command
    return _next_step_of_projects(read.projects)


def new_discoveries(new: NewDiscoveries, project: str = "") -> str:
    """Return the number of new discoveries and the command that prints them, or ""."""
    if not new.count:
        return ""
    number = counted(new.count, "new discovery", "new discoveries")
    at_least = "at least " if new.more else ""
    command = " ".join(filter(None, ["orchestrate discoveries", project]))
    return f"{at_least}{number}: {command} --new"


def _answer(item: Item) -> str:
    """Return the command that answers the oldest question of an item."""
    number = (
        f"--question {item.questions[0].number} "
        if len(item.questions) > 1
        else ""
    )
    return f'orchestrate answer {item.id} {number}"ANSWER"'


def _next_step_of_projects(projects: Sequence[Project]) -> str:
    for project in projects:
        if project.is_finished:
            return f"orchestrate complete {project.id}"
    for project in projects:
        if any(project.counts.get(state) for state in UNDER_WAY):
            return WAIT.format(project=project.id)
    if projects:
        return f"orchestrate progress {projects[0].id}"
    return 'orchestrate project "TITLE"'


def _sections(read: OrchestratorBriefing, length: int) -> Iterator[str]:
    agent = line(read.orchestrator)[:64]
    yield (
        f"# You are the orchestrating agent `{agent}` (namespace `{read.namespace}`)\n\n"
        f"You break a request into items, and agents take them from a shared queue. {DATA}"
    )
    if not read.projects:
        yield "## Open projects: none"
    yield from _list(
        "Open projects", "projects", read.projects, _project, length
    )
    yield from _list(
        "Items with open questions",
        "inbox",
        read.inbox,
        open_questions,
        length,
    )
    yield from _list(
        "Items in review", "inbox", read.reviews, in_review, length
    )
    yield from _list(
        "Items without an agent", "unassigned", read.unassigned, _item, length
    )
    yield from _list("Stalled items", "stuck", read.stuck, _stuck, length)
    yield from _list(
        "Budgets that are used up", "budget", read.used_up, _budget, length
    )
    yield from _list(
        "Comments of agents", "watch", read.comments, _comment, length
    )
    if new := new_discoveries(read.new_discoveries):
        yield new
    yield f"## Next step\n\n    {next_step(read)}"
    yield f"## Commands\n\n{COMMANDS}"


def _list(
    title: str,
    command: str,
    rows: Sequence[Row],
    render: Callable[[Row, int], str],
    length: int,
) -> Iterator[str]:
    """Yield a section with the first rows; their texts are cut to `length` bytes."""
    if not rows:
        return
    more = len(rows) > SHOWN
    yield f"## {title}: {f'more than {SHOWN}' if more else len(rows)}"
    yield fenced(render(row, length) for row in rows[:SHOWN])
    if more:
        yield f"… and more: orchestrate {command}"


def _project(project: Project, length: int) -> str:
    return f"{project.id}: {project.done}: {cut(project.title, length, line)}"


def _item(item: Item, length: int) -> str:
    return f"{item.id} {cut(item.title, length, line)}"


def _budget(budget: Budget, length: int) -> str:
    return cut(budget_in_words(budget), length)


def _comment(news: NewsLine, length: int) -> str:
    event = news.event
    return f"{event.item} {event.agent}: {cut(news.text, length, line)}"


def _stuck(stuck: StuckItem, length: int) -> str:
    item = stuck.item
    owner = item.agent or (item.pool and f"pool {item.pool}")
    reason = f"{stuck.why}, {owner}" if owner else stuck.why
    texts = cut(item.title, length, line)
    if stuck.reason:
        reason_bytes = min(length, REASON_BYTES)
        texts += f": {cut(one_line(stuck.reason), reason_bytes)}"
    return f"{item.id} {reason} -> {stuck.command}\n{INDENT}{texts}"
