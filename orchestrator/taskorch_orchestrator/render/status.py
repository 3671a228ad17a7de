"""The output of `orchestrate status` for people: one screen, section by section."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.text import Text
from taskorch.cli import quoting
from taskorch.cli.quoting import NOTICE, open_questions
from taskorch.cli.text import counted, line
from taskorch.domain import hints
from taskorch.domain.mirror_record import MirrorStatus

from taskorch_orchestrator.render import agents, console, tables
from taskorch_orchestrator.render.console import Part
from taskorch_orchestrator.render.costs import budget_in_words
from taskorch_orchestrator.status import Health, StatusReport

#: Bytes of a question.
QUESTION_BYTES = 160
Row = TypeVar("Row")


def report(read: StatusReport, limit: int) -> str:
    """Return what needs the user, agents, projects and health, `limit` rows of each."""
    parts: list[Part] = []
    sections = {
        "Needs you": _needs(read, limit),
        "Agents": _agents(read, limit),
        "Pools": _pools(read, limit),
        "Projects": _projects(read, limit),
        **({"Budgets": _budgets(read, limit)} if read.budgets else {}),
        "Health": _health(read.health),
    }
    if not read.pools:
        del sections["Pools"]
    for title, section in sections.items():
        if parts:
            parts.append(Text(""))
        parts += [Text(title, style="bold"), *section]
    return console.printed(*parts)


def health(known: Health) -> str:
    """Return what is known of the server."""
    return console.printed(Text("Health", style="bold"), *_health(known))


def _needs(read: StatusReport, limit: int) -> Iterator[Part]:
    needs = (read.questions, read.reviews, read.stuck, read.unassigned)
    if not any(needs):
        yield Text("Nothing.")
        return
    for item in read.questions[:limit]:
        yield Text(open_questions(item, QUESTION_BYTES))
    yield from _more(read.questions, limit, "questions", "inbox")
    for item in read.reviews[:limit]:
        yield Text(quoting.in_review(item, QUESTION_BYTES))
    yield from _more(read.reviews, limit, "reviews", "inbox")
    if read.stuck:
        yield tables.stuck_table(read.stuck[:limit])
    yield from _more(read.stuck, limit, "stalled items", "stuck")
    if read.unassigned:
        number = len(read.unassigned)
        items = counted(number, "item has", "items have")
        if number > limit:
            items = f"More than {limit} items have"
        yield Text(f"{items} no agent: orchestrate unassigned")
    quotes = read.questions or read.reviews
    if quotes or any(each.reason for each in read.stuck):
        yield Text(NOTICE)


def _agents(read: StatusReport, limit: int) -> Iterator[Part]:
    if not read.agents:
        yield Text("None.")
        return
    yield agents.table(read.agents[:limit])
    yield from _more(read.agents, limit, "agents", "agents")


def _pools(read: StatusReport, limit: int) -> Iterator[Part]:
    yield agents.pools_table(read.pools[:limit])
    yield from _more(read.pools, limit, "pools", "agents")


def _projects(read: StatusReport, limit: int) -> Iterator[Part]:
    if not read.projects:
        yield Text("No open project.")
        return
    yield tables.projects_table(read.projects[:limit])
    for project in read.projects[:limit]:
        if project.status == "closing":
            yield Text(hints.closing(project.id, project.open))
    yield from _more(read.projects, limit, "projects", "projects")


def _budgets(read: StatusReport, limit: int) -> Iterator[Part]:
    for budget in read.budgets[:limit]:
        style = "red" if budget.used_up else ""
        yield Text(budget_in_words(budget), style=style)
    yield from _more(read.budgets, limit, "budgets", "budget")


def _more(
    rows: Sequence[Row], limit: int, what: str, command: str
) -> Iterator[Text]:
    if len(rows) > limit:
        yield Text(f"… and more {what}: orchestrate {command}")


def _health(known: Health) -> Iterator[Text]:
    style = "" if known.reachable else "red"
    if known.is_bundled:
        yield Text(f"Bundled server: {_bundled(known)}", style=style)
        yield Text(f"Service: {_service(known)}")
    else:
        where = "answers at" if known.reachable else "is unreachable at"
        yield Text(f"Redis {where} {line(known.url)}", style=style)
    if not known.reachable:
        return
    if not known.mirrors:
        yield Text("Files: no root has a mirror yet")
    for mirror in known.mirrors:
        yield _mirror(mirror)
    yield Text("To check more: orchestrate doctor")


def _bundled(known: Health) -> str:
    server = known.server
    if server is None:
        return "does not answer: orchestrate server status"
    if not server.running:
        return "not running"
    if not server.reachable:
        return f"pid {server.pid}, but its socket is gone"
    return f"running, pid {server.pid}"


def _service(known: Health) -> str:
    server = known.server
    if server and server.service_pid:
        return f"running, pid {server.service_pid}"
    if server and server.service_wanted and server.running:
        return "not running: orchestrate server start"
    return "none"


def _mirror(mirror: MirrorStatus) -> Text:
    status = mirror.status
    path = line(str(status.get("path", mirror.root)))
    text = f"Files: {path}, last sync {console.since(mirror.at)}"
    if status.get("error"):
        error = line(str(status["error"]))
        return Text(f"{text}, failed: {error}", style="red")
    problems = status.get("in_trouble", 0)
    if isinstance(problems, int) and problems:
        found = counted(problems, "problem", "problems")
        return Text(
            f"{text}, {found}: orchestrate sync status", style="yellow"
        )
    return Text(text)
