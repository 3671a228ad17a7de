"""The tasks.json of claude-task-master: tasks with subtasks, in tags or without."""

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

#: The tag that a file without tags stands for.
MASTER = "master"
STATES = {
    "done": FoundState.DONE,
    "completed": FoundState.DONE,
    "cancelled": FoundState.CANCELLED,
}
#: What is open there, and no more than open here.
STARTED = ("in-progress", "review", "blocked", "deferred")
#: What says nothing about the work.
_SKIPPED = (
    "previousStatus", "updatedAt", "complexity", "recommendedSubtasks", "expansionPrompt", "complexityReasoning",
    "parentId", "parentTaskId", "metadata",
)  # fmt: skip


def is_content(value: object) -> bool:
    """Return whether a JSON value is such a file."""
    if not isinstance(value, dict) or not value:
        return False
    if isinstance(value.get("tasks"), list):
        return True
    return all(
        isinstance(tag, dict) and isinstance(tag.get("tasks"), list)
        for tag in value.values()
    )


def read(value: object, name: str) -> FoundFile:
    """Return the tasks of each tag as a project. `name` is the one of the whole.

    Raises errors.Invalid.
    """
    file = FoundFile()
    if not isinstance(value, dict):
        raise wrong("The file", "is not an object")
    tags = value
    if isinstance(value.get("tasks"), list):
        tags = {MASTER: value}
    for tag, content in tags.items():
        title = name if tag == MASTER else f"{name}: {tag}"
        project = FoundProject(title[:200].strip() or MASTER)
        record = Record(content, tag, file)
        prefix = "" if tag == MASTER else f"{tag}/"
        for task in record.records("tasks"):
            _add(project, task, prefix)
        file.projects.append(project)
    return file


def _add(project: FoundProject, task: Record, prefix: str) -> None:
    """Add a task and its subtasks."""
    id_ = _id(task)
    # the id of a subtask may be written 1 or 4.1
    subtasks = [
        (each, _id(each).removeprefix(f"{id_}."))
        for each in task.records("subtasks")
    ]
    siblings = {number for _, number in subtasks}
    item = _item(task, f"{prefix}{id_}", "", _named(task, prefix))
    project.add(item, task.place)
    for subtask, number in subtasks:
        names = [
            f"{id_}.{each}" if each in siblings else each
            for each in subtask.words("dependencies")
        ]
        depends_on = tuple(f"{prefix}{each}" for each in names)
        key = f"{prefix}{id_}.{number}"
        project.add(_item(subtask, key, item.key, depends_on), subtask.place)


def _named(task: Record, prefix: str) -> tuple[str, ...]:
    return tuple(f"{prefix}{each}" for each in task.words("dependencies"))


def _id(task: Record) -> str:
    value = task.value("id")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise wrong(task.place, "has no id")
    return str(value)


def _item(
    task: Record, key: str, parent: str, depends_on: tuple[str, ...]
) -> FoundItem:
    status = task.text("status") or "pending"
    if status in STARTED:
        task.count_state(status)
    criteria = (task.text("testStrategy"), task.text("acceptanceCriteria"))
    description = sections(
        ("", task.text("description")), ("Details", task.text("details"))
    )
    assignee = task.text("assignee")
    item = FoundItem(
        key=key,
        title=task.title(),
        state=STATES.get(status, FoundState.OPEN),
        description=task.fitted(description, "description"),
        criteria=tuple(each for each in criteria if each.strip()),
        labels=task.labels(task.words("tags") + task.words("labels")),
        priority=PRIORITIES.get(task.text("priority").lower(), 2),
        context={"assignee": assignee} if assignee else {},
        depends_on=depends_on,
        parent=parent,
    )
    task.skip(*_SKIPPED)
    task.end()
    return item
