"""Issues of GitHub, as `gh issue list --json FIELDS` prints them."""

import re

from taskorch_orchestrator.trackers.found import (
    PRIORITIES,
    FoundFile,
    FoundItem,
    FoundProject,
    FoundState,
    Record,
    sections,
    wrong,
)

CLOSED, NOT_PLANNED = "CLOSED", ("NOT_PLANNED", "DUPLICATE")
#: "Depends on #12", "Blocked by #3, #4 and #5" in the text of an issue.
_NAMED = re.compile(
    r"\b(?:depends on|blocked by|requires)\b:?((?:[ ,]|and|#[0-9]{1,9})+)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"#([0-9]{1,9})")
_REPOSITORY = re.compile(r"https?://[^/]+/([^/]+/[^/]+)/issues/[0-9]+")
_PRIORITY = re.compile(r"(?:p|priority[:/ -]*p?)([0-4])", re.IGNORECASE)
_PRIORITY_WORD = re.compile(
    r"(?:priority[:/ -]*)(critical|urgent|high|medium|low)", re.IGNORECASE
)
#: What says nothing about the work.
_SKIPPED = (
    "id", "author", "createdAt", "updatedAt", "closedAt", "closed", "isPinned", "reactionGroups", "projectCards",
    "projectItems", "closedByPullRequestsReferences",
)  # fmt: skip


def is_content(value: object) -> bool:
    """Return whether a JSON value is such a list."""
    return isinstance(value, list) and all(
        isinstance(each, dict) and "number" in each and "title" in each
        for each in value[:1]
    )


def read(value: object, name: str) -> FoundFile:
    """Return the issues as one project; their repository is its name.

    Raises errors.Invalid.
    """
    file = FoundFile()
    if not isinstance(value, list):
        raise wrong("The file", "is not a list")
    project = FoundProject(name)
    for place, each in enumerate(value):
        issue = Record(each, f"[{place}]", file)
        item = _item(issue)
        repository = _REPOSITORY.fullmatch(
            item.resources[0] if item.resources else ""
        )
        if not project.items and repository:
            project.title = repository[1]
        project.add(item, issue.place)
    file.projects.append(project)
    return file


def _item(issue: Record) -> FoundItem:
    number = issue.number("number", 0)
    if number < 1:
        raise wrong(issue.place, "has no number")
    body, url = issue.text("body"), issue.text("url")
    names = [each.text("name") for each in issue.records("labels")]
    people = [each.text("login") for each in issue.records("assignees")]
    milestone = issue.value("milestone")
    context = {"assignees": ", ".join(people)} if people else {}
    if isinstance(milestone, dict) and isinstance(milestone.get("title"), str):
        context["milestone"] = issue.fitted(milestone["title"], "milestone")
    item = FoundItem(
        key=f"#{number}",
        title=issue.title(),
        state=_state(issue),
        description=sections(("", body)),
        labels=issue.labels(names),
        priority=_priority(names),
        context=context,
        resources=(url,) if url else (),
        depends_on=_dependencies(body, issue.value("blockedBy")),
        parent=_parent(issue.value("parent")),
    )
    issue.skip(*_SKIPPED)
    issue.end()
    return item


def _state(issue: Record) -> FoundState:
    """Return the state; `gh` prints it in capitals. Without one, an issue is open."""
    state, reason = issue.text("state"), issue.text("stateReason")
    if state.upper() != CLOSED:
        return FoundState.OPEN
    is_cancelled = reason.upper() in NOT_PLANNED
    return FoundState.CANCELLED if is_cancelled else FoundState.DONE


def _priority(labels: list[str]) -> int:
    """Return the priority that a label names, such as P1 or priority: high."""
    for label in labels:
        if found := _PRIORITY.fullmatch(label.strip()):
            return int(found[1])
        if found := _PRIORITY_WORD.fullmatch(label.strip()):
            return PRIORITIES[found[1].lower()]
    return 2


def _dependencies(body: str, blocked_by: object) -> tuple[str, ...]:
    """Return the issues that an issue waits for: those it names, and those of GitHub."""
    found = []
    for named in _NAMED.finditer(body):
        found += [f"#{number}" for number in _NUMBER.findall(named[1])]
    if isinstance(blocked_by, dict):
        blocked_by = blocked_by.get("nodes")
    for each in blocked_by if isinstance(blocked_by, list) else ():
        if isinstance(each, dict) and isinstance(each.get("number"), int):
            found.append(f"#{each['number']}")
    return tuple(dict.fromkeys(found))


def _parent(parent: object) -> str:
    if isinstance(parent, dict) and isinstance(parent.get("number"), int):
        return f"#{parent['number']}"
    return ""
