"""The timeline of an item: what happened to it, in order."""

from collections.abc import Mapping

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, Project, Report, State

#: Reports that an item keeps; scripts/prelude/ has the same number.
REPORTS_KEPT = 1000


class TimelineEntry(Frozen):
    """A step of an item's life: a report, or what its fields and reports tell.

    The kinds are those of reports and `create`, `assign`, `claim` and `discover`. The
    agent is the one that did it. An entry that is not a report has the id "" or, for a
    discovery, its cursor.
    """

    _flat = "report"
    report: Report
    #: By name: of a claim `host`, `pid` and `session`; of an assignment `to` and `from`;
    #: of a discovery `impact`.
    details: Mapping[str, str] = {}


class Dependent(Frozen):
    """An item that waits for another one."""

    id: str
    title: str
    state: State


class ItemTimeline(Frozen):
    """An item with its project, its dependencies and everything that happened to it."""

    _flat = "item"
    _hidden = ("has_older",)
    item: Item
    project_context: Project
    dependencies: tuple[Item, ...]
    #: The oldest entry first.
    timeline: tuple[TimelineEntry, ...]
    #: Whether older reports may be gone, because an item keeps a bounded number.
    trimmed: bool
    #: The number of dependencies after those that are shown.
    dependencies_left_out: int = 0
    #: Some of the items that wait for it, and the number of the others.
    dependents: tuple[Dependent, ...] = ()
    dependents_left_out: int = 0
    #: Whether there are older entries than these, because only some pages were read.
    has_older: bool = False
