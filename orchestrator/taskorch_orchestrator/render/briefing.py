"""What `orchestrate prime` prints: Markdown for an agent that remembers nothing, short enough to be read each time."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from taskorch.cli.quoting import DATA, INDENT, cut, fenced, fitting, open_question
from taskorch.cli.text import line
from taskorch.domain.item import Item, Project, State
from taskorch.queue.stuck import StuckItem

from taskorch_orchestrator.briefing import MOST, Briefing

COMMANDS = """\
| command | |
|---|---|
| `orchestrate project TITLE` | open a project for a user's request |
| `orchestrate create PROJECT TITLE -r REQUIREMENT --depends-on ITEM --assign AGENT` | add an item |
| `orchestrate apply PLAN.yaml` | a project with all its items from a file |
| `orchestrate assign ITEM AGENT` | put an item onto an agent's queue; a name is enough |
| `orchestrate progress PROJECT` | how far it is |
| `orchestrate wait PROJECT --until completed --until blocked` | wait for the agents; do not ask again and again |
| `orchestrate discoveries PROJECT` | what the agents found |
| `orchestrate inbox` | questions of agents; answer them: `orchestrate answer ITEM TEXT` |
| `orchestrate stuck` | what does not go on by itself, and what helps |
| `orchestrate show ITEM` | all of an item, with its history |
| `orchestrate cancel ITEM`, `orchestrate requeue ITEM` | take it out of work; start it afresh |
| `orchestrate complete PROJECT` | close it, and print what it delivered |

You plan, assign, answer and deliver; the items are the agents' work (`worker`), not yours.
Exit codes: 0 done; 2 usage; 3 no such project or item; 4 Redis is away: the same again later; 5 not possible in this
state; 6 held by another agent; 8 nothing to do now."""
#: An item in one of these goes on without the orchestrator.
UNDER_WAY = (State.QUEUED, State.DELAYED, State.IN_PROGRESS)
Row = TypeVar("Row")


def briefing(told: Briefing) -> str:
    """Return who the agent is, its projects, what waits for it, the next step and the commands, within the bound."""
    return fitting(lambda length: "\n\n".join(_parts(told, length)))


def next_step(told: Briefing) -> str:
    """Return the command to type next."""
    if told.inbox:
        return f'orchestrate answer {told.inbox[0].id} "ANSWER"'
    if told.unassigned:
        return f"orchestrate assign {told.unassigned[0].id} AGENT"
    if told.stuck:
        return told.stuck[0].command
    finished = next(
        (project.id for project in told.projects if project.is_finished), ""
    )
    if finished:
        return f"orchestrate complete {finished}"
    under_way = next(
        (
            each.id
            for each in told.projects
            if any(each.counts.get(state) for state in UNDER_WAY)
        ),
        "",
    )
    if under_way:
        return f"orchestrate wait {under_way} --until completed --until blocked"
    return (
        f"orchestrate progress {told.projects[0].id}"
        if told.projects
        else 'orchestrate project "TITLE"'
    )


def _parts(told: Briefing, length: int) -> Iterator[str]:
    yield (
        f"# You are the orchestrating agent `{line(told.orchestrator)[:64]}` (namespace `{told.namespace}`)\n\n"
        f"You break a request into items, and agents work on them, by a shared queue. {DATA}"
    )
    if not told.projects:
        yield "## Open projects: none"
    yield from _section("Open projects", "projects", told.projects, _project, length)
    yield from _section(
        "Questions that wait for your answer",
        "inbox",
        told.inbox,
        open_question,
        length,
    )
    yield from _section(
        "Items that nobody is assigned to", "unassigned", told.unassigned, _item, length
    )
    yield from _section(
        "Items that do not go on by themselves", "stuck", told.stuck, _stuck, length
    )
    yield f"## Next step\n\n    {next_step(told)}"
    yield f"## Commands\n\n{COMMANDS}"


def _section(
    title: str,
    command: str,
    listed: Sequence[Row],
    row: Callable[[Row, int], str],
    length: int,
) -> Iterator[str]:
    more = len(listed) > MOST
    if listed:
        yield f"## {title}: {f'more than {MOST}' if more else len(listed)}"
        yield fenced(row(each, length) for each in listed[:MOST])
    if more:
        yield f"… and more: orchestrate {command}"


def _project(project: Project, length: int) -> str:
    return f"{project.id}: {project.completed} of {project.wanted} items completed: {cut(project.title, length, line)}"


def _item(item: Item, length: int) -> str:
    return f"{item.id} {cut(item.title, length, line)}"


def _stuck(each: StuckItem, length: int) -> str:
    why = ", ".join(word for word in (each.why, each.item.agent) if word)
    texts = ": ".join(
        cut(text, length, line) for text in (each.item.title, each.reason) if text
    )
    return f"{each.item.id} {why} -> {each.command}\n{INDENT}{texts}"
