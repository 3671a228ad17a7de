"""The issues.jsonl of beads: an issue on each line."""

from taskorch.domain import limits

from taskorch_orchestrator.trackers.found import (
    FoundFile,
    FoundItem,
    FoundProject,
    FoundState,
    Record,
    sections,
    wrong,
)

STATES = {
    "closed": FoundState.DONE,
    "tombstone": FoundState.CANCELLED,
}
OPEN = "open"
#: Dependencies that an issue waits for, and the one on the issue that it is a part of.
BLOCKING = ("blocks", "conditional-blocks", "waits-for")
PARENT = "parent-child"
#: What says nothing about the work.
_SKIPPED = (
    "_type", "created_at", "created_by", "updated_at", "closed_at", "close_reason", "deleted_at", "deleted_by",
    "delete_reason", "original_type", "content_hash", "source_repo", "compaction_level", "original_size",
    "dependency_count", "dependent_count", "comment_count", "owner", "started_at",
)  # fmt: skip


def is_content(first: object) -> bool:
    """Return whether the first line of a file is an issue."""
    return (
        isinstance(first, dict)
        and isinstance(first.get("id"), str)
        and isinstance(first.get("title"), str)
        and bool({"status", "issue_type"} & first.keys())
    )


def read(lines: list[object], name: str) -> FoundFile:
    """Return the issues as one project; the prefix of their ids is its name.

    Raises errors.Invalid.
    """
    file = FoundFile()
    project = FoundProject(name)
    for number, value in enumerate(lines, 1):
        record = Record(value, f"line {number}", file)
        if record.value("_type") not in (None, "issue"):
            file.left_out["records that are no issues"] += 1
            continue
        item = _item(record)
        if not project.items and "-" in item.key:
            project.title = item.key.rpartition("-")[0][:200]
        project.add(item, record.place)
    file.projects.append(project)
    return file


def _item(issue: Record) -> FoundItem:
    key = issue.text("id")
    if not key:
        raise wrong(issue.place, "has no id")
    status = issue.text("status") or OPEN
    if status not in STATES and status != OPEN:
        issue.count_state(status)
    depends_on, parent = _dependencies(issue)
    kind, assignee = issue.text("issue_type"), issue.text("assignee")
    names = issue.words("labels")
    if kind and kind != "task":
        names.append(kind)
    external = issue.text("external_ref")
    acceptance = issue.text("acceptance_criteria")
    description = sections(
        ("", issue.text("description")),
        ("Design", issue.text("design")),
        ("Notes", issue.text("notes")),
    )
    item = FoundItem(
        key=key,
        title=issue.title(),
        state=STATES.get(status, FoundState.OPEN),
        description=issue.fitted(description, "description"),
        criteria=(acceptance,) if acceptance.strip() else (),
        labels=issue.labels(names),
        priority=_priority(issue),
        context={"assignee": assignee} if assignee else {},
        resources=(external,) if external.strip() else (),
        depends_on=depends_on,
        parent=parent or issue.text("parent"),
    )
    issue.skip(*_SKIPPED)
    issue.end()
    return item


def _priority(issue: Record) -> int:
    """Return the priority, which a file leaves out if it is 0."""
    value = issue.number("priority", 0)
    if not 0 <= value <= 4:  # noqa: PLR2004  the least urgent
        raise wrong(issue.place, f"priority {value} is not 0 to 4")
    return value


def _dependencies(issue: Record) -> tuple[tuple[str, ...], str]:
    """Return the keys of what an issue waits for, and of what it is a part of."""
    found, parent = [], ""
    for each in issue.records("dependencies"):
        kind = each.text("type") or BLOCKING[0]
        target = each.text("depends_on_id") or each.text("id")
        if not target:
            raise wrong(each.place, "names no issue")
        if kind in BLOCKING:
            found.append(target)
        elif kind == PARENT and not parent:
            parent = target
        else:
            issue.count_link(limits.shortened(kind))
    return tuple(dict.fromkeys(found)), parent
