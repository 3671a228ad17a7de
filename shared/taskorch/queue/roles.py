"""Which role may run which script: the one table for tokens and users of Redis."""

from collections.abc import Mapping

from taskorch.domain.role import Role

#: What a viewer reads: everything but notes, tokens and exports. The others may also find
#: a namespace of an older version, and upgrade it.
_READS = frozenset((
    "agents", "budgets", "costs", "count_new_discoveries", "discoveries", "environment", "events", "find", "finished",
    "inbox", "indexed", "list", "metrics", "mirrors", "overview", "progress_of_project", "projects", "reviews",
    "schedules", "show", "standing", "stuck", "timeline",
))  # fmt: skip
#: Script -> the roles that may run it. An administrator may run the others, too.
SCRIPTS: Mapping[Role, frozenset[str]] = {
    Role.WORKER: frozenset((
        "accept", "add_usage", "agent_comment", "blocker", "check", "claim", "complete", "count_new_discoveries",
        "discover", "discoveries", "fail", "find", "get", "new_discoveries", "note", "notes", "prime", "progress",
        "release", "renew", "resume", "reviews", "send_back", "upgrade", "wait", "withdraw",
    )),
    Role.ORCHESTRATOR: _READS | {
        "accept", "answer", "assign", "cancel", "close_project", "comment", "create", "create_schedule", "depend",
        "edit", "end_scheduled", "expect", "new_discoveries", "project", "reap", "records", "remove_schedule",
        "reopen_project", "requeue", "resume", "send_back", "set_budget", "start_scheduled", "upgrade",
    },
    Role.VIEWER: _READS,
}  # fmt: skip


#: What concerns more than one project: a caller that is confined to one may not run it.
#: The others show it nothing of other projects.
BEYOND_A_PROJECT = frozenset((
    "create_schedule", "end_scheduled", "environment", "finished", "metrics", "mirrors", "project", "remove_schedule",
    "schedules", "start_scheduled",
))  # fmt: skip


def may_run(role: Role, script: str) -> bool:
    """Return whether a role may run a script."""
    return role is Role.ADMIN or script in SCRIPTS[role]


def of_script(script: str) -> list[Role]:
    """Return the roles that may run a script; an administrator always may."""
    return [role for role in Role if may_run(role, script)]


def may_run_in_a_project(script: str) -> bool:
    """Return whether a caller that is confined to one project may run a script."""
    return script not in BEYOND_A_PROJECT
