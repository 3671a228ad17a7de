"""What `orchestrate prime` prints: Markdown for an agent that remembers nothing, short enough to be read each time."""

from collections.abc import Iterable, Iterator

from taskorch.item import Item, Project
from taskorch.plain_text import line
from taskorch.quoted import DATA, cut, fenced, fitting
from taskorch.stuck import StuckItem

from taskorch_orchestrator.briefing import Briefing, is_finished

COMMANDS = """\
| command | |
|---|---|
| `orchestrate project TITLE` | open a project for a user's request |
| `orchestrate create PROJECT TITLE -r REQUIREMENT --depends-on ITEM --assign AGENT` | add an item |
| `orchestrate apply PLAN.yaml` | a project with all its items from a file |
| `orchestrate assign ITEM AGENT` | put an item onto an agent's queue; a name is enough |
| `orchestrate progress PROJECT` | how far it is |
| `orchestrate discoveries PROJECT` | what the agents found |
| `orchestrate inbox` | questions of agents; answer them: `orchestrate answer ITEM TEXT` |
| `orchestrate stuck` | what does not go on by itself, and what helps |
| `orchestrate show ITEM` | all of an item, with its history |
| `orchestrate cancel ITEM`, `orchestrate requeue ITEM` | take it out of work; start it afresh |
| `orchestrate complete PROJECT` | close it, and print what it delivered |

You plan, assign, answer and deliver; the items are the agents' work (`worker`), not yours.
Exit codes: 0 done; 2 usage; 3 no such project or item; 4 Redis is away: the same again later; 5 not possible in this
state; 6 held by another agent; 8 nothing to do now."""


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
    finished = next((project.id for project in told.projects if is_finished(project)), "")
    if finished:
        return f"orchestrate complete {finished}"
    return f"orchestrate progress {told.projects[0].id}" if told.projects else 'orchestrate project "TITLE"'


def _parts(told: Briefing, length: int) -> Iterator[str]:
    yield (
        f"# You are the orchestrating agent `{line(told.orchestrator)[:64]}` (namespace `{told.namespace}`)\n\n"
        f"You break a request into items, and agents work on them, by a shared queue. {DATA}"
    )
    yield f"## Open projects: {told.projects_count or 'none'}"
    yield from _listed(_project(project, length) for project in told.projects)
    yield from _section("Questions that wait for your answer", (_question(item, length) for item in told.inbox))
    yield from _section("Items that nobody is assigned to", (_item(item, length) for item in told.unassigned))
    yield from _section("Items that do not go on by themselves", (_stuck(each, length) for each in told.stuck))
    yield f"## Next step\n\n    {next_step(told)}"
    yield f"## Commands\n\n{COMMANDS}"


def _section(title: str, rows: Iterable[str]) -> Iterator[str]:
    listed = list(_listed(rows))
    if listed:
        yield f"## {title}"
        yield from listed


def _listed(rows: Iterable[str]) -> Iterator[str]:
    lines = list(rows)
    if lines:
        yield fenced(lines)


def _project(project: Project, length: int) -> str:
    return f"{project.id}: {project.completed} of {project.wanted} items completed: {cut(line(project.title), length)}"


def _question(item: Item, length: int) -> str:
    needs = f" (needs: {cut(item.needs, length)})" if item.needs else ""
    return f"{item.id} {item.agent} asks: {cut(item.blocker, length)}{needs}"


def _item(item: Item, length: int) -> str:
    return f"{item.id} {cut(line(item.title), length)}"


def _stuck(each: StuckItem, length: int) -> str:
    return f"{each.item.id} {each.why}, {each.item.agent}: {cut(line(each.item.title), length)} -> {each.command}"
