"""The `orchestrate` command: its subcommands, which are imported when they run."""

import gc

# A short command ends before there is garbage. Looking for it while modules load takes
# 2 ms.
gc.set_threshold(50_000)

from taskorch.cli import app  # noqa: E402

from taskorch_orchestrator.group import orchestrate  # noqa: E402

__all__ = ["main", "orchestrate"]

orchestrate.declare(
    {
        "taskorch_orchestrator.commands.plan": {
            "project": "Open a project for a user's request.",
            "create": "Add a work item to PROJECT.",
            "apply": "Create or update a project and its items from a plan file.",
            "depend": "Make ITEM wait for more items, or for fewer.",
            "assign": "Assign items to AGENT, all or none.",
            "complete": "Complete PROJECT and print its deliverables.",
        },
        "taskorch_orchestrator.commands.edit": {
            "edit": "Change items, all or none.",
        },
        "taskorch_orchestrator.commands.inspect": {
            "progress": "Show the progress of a project or an item.",
            "discoveries": "List what the agents found, in PROJECT or in all.",
            "list": "List items, of PROJECT or of all projects.",
            "show": "Show everything about ITEM, and what happened to it, in order.",
            "unassigned": "List the items that have no agent.",
            "inbox": "List what waits for a decision: questions, reviews, dead letters.",
            "stuck": "List stalled items, each with the command that helps.",
            "projects": "List the projects, the newest first.",
            "agents": "List the agents with their sessions and the items they hold.",
        },
        "taskorch_orchestrator.commands.costs": {
            "budget": "Limit what a project, an agent or the namespace may use, or show the limits.",
            "costs": "Show the tokens and the cost that agents have reported.",
        },
        "taskorch_orchestrator.commands.logs": {
            "logs": "Print what the command of an attempt at ITEM has printed.",
        },
        "taskorch_orchestrator.commands.status": {
            "status": "Show what needs you, the agents, the open projects, and whether all is well.",
        },
        "taskorch_orchestrator.commands.wait": {
            "wait": "Wait until a project or an item is completed, blocked or in review.",
        },
        "taskorch_orchestrator.commands.watch": {
            "watch": "Watch the events of PROJECT, or of all projects.",
        },
        "taskorch_orchestrator.commands.prime": {
            "prime": "Print what you need to continue after a fresh start.",
        },
        "taskorch_orchestrator.commands.setup": {
            "setup": "Add hooks, an MCP server and instructions to an agent program.",
        },
        "taskorch_orchestrator.commands.root": {
            "init": "Make FOLDER a root: everything below it shares its queue.",
            "trust": "Show the config.toml of a root and trust it.",
        },
        "taskorch_orchestrator.commands.repair": {
            "answer": "Answer a question on ITEM.",
            "accept": "Accept ITEM, which its agent has completed for review.",
            "send-back": "Send ITEM back to its agent, which reads TEXT first.",
            "comment": "Comment on ITEM, for its holder or the next one.",
            "cancel": "Cancel ITEM, or all open items of PROJECT and close it.",
            "reopen": "Make a completed PROJECT active again, for new and requeued items.",
            "requeue": "Queue a failed, cancelled or completed ITEM again.",
            "reap": "Act on expired leases and due delays now.",
            "doctor": "Check Redis, the namespace and this machine.",
        },
        "taskorch_orchestrator.commands.purge": {
            "purge": "Delete completed projects: those named, or all old ones.",
        },
        "taskorch_orchestrator.commands.backup": {
            "export": "Export the namespace as JSON lines.",
            "import": "Import an export, a folder of the predecessor, or the file of another tracker.",
        },
        "taskorch_orchestrator.commands.server": {
            "server": "Show, start, list or stop bundled servers.",
        },
        "taskorch_orchestrator.commands.gateway": {
            "gateway": "Serve the queue over HTTP, to clients that show an access token.",
        },
        "taskorch_orchestrator.commands.board": {
            "board": "Open the board in a browser: who needs you, and what the agents are doing.",
        },
        "taskorch_orchestrator.commands.token": {
            "token": "Create, list, edit, rotate and revoke access tokens of the gateway.",
        },
        "taskorch_orchestrator.commands.audit": {
            "audit": "List what clients of the gateway did, and what was refused, the newest first.",
        },
        "taskorch_orchestrator.commands.notify": {
            "notify": "List the targets of notifications, and what became of the messages.",
        },
        "taskorch_orchestrator.commands.acl": {
            "acl": "Print the rule of the Redis user for ROLE, or set that user.",
        },
        "taskorch_orchestrator.commands.docs": {
            "docs": "Print the documentation of TOPIC as Markdown.",
        },
        "taskorch_orchestrator.commands.mcp": {
            "mcp": "Serve an agent program over MCP, with the tools of the session's role.",
        },
        "taskorch_orchestrator.commands.schedule": {
            "schedule": "Apply plans at the times of a cron line.",
        },
        "taskorch_orchestrator.commands.sync": {
            "sync": "Sync the files of this root with Redis once.",
            "service": "Sync files and maintain the queue until SIGTERM or Ctrl-C.",
        },
    }
)
orchestrate.sections = {
    "Plan": (
        "project",
        "create",
        "apply",
        "schedule",
        "depend",
        "edit",
        "assign",
        "complete",
    ),
    "Follow": (
        "status",
        "board",
        "progress",
        "discoveries",
        "list",
        "show",
        "logs",
        "unassigned",
        "projects",
        "agents",
        "costs",
        "wait",
        "watch",
        "prime",
    ),
    "Answer and repair": (
        "inbox",
        "answer",
        "accept",
        "send-back",
        "comment",
        "stuck",
        "cancel",
        "requeue",
        "reopen",
        "reap",
        "budget",
    ),
    "Operate": (
        "setup",
        "init",
        "trust",
        "server",
        "service",
        "gateway",
        "token",
        "audit",
        "acl",
        "sync",
        "notify",
        "doctor",
        "export",
        "import",
        "purge",
        "docs",
        "mcp",
    ),
}
orchestrate.synonyms = {
    **dict.fromkeys(("done", "finish", "close"), ("complete",)),
    **dict.fromkeys(("add", "new", "item", "task"), ("create",)),
    **dict.fromkeys(("plan", "load"), ("apply",)),
    **dict.fromkeys(("cron", "schedules", "repeat"), ("schedule",)),
    **dict.fromkeys(("give", "dispatch"), ("assign",)),
    **dict.fromkeys(("update", "change", "modify", "set"), ("edit",)),
    **dict.fromkeys(("rename", "label", "priority"), ("edit",)),
    **dict.fromkeys(("ls", "items", "queue"), ("list",)),
    **dict.fromkeys(("search", "grep", "find", "filter"), ("list",)),
    **dict.fromkeys(("view", "info", "history"), ("show",)),
    **dict.fromkeys(("log", "output", "tail"), ("logs",)),
    **dict.fromkeys(("question", "questions", "blocked"), ("inbox",)),
    **dict.fromkeys(("review", "reviews"), ("inbox",)),
    **dict.fromkeys(("approve", "merge"), ("accept",)),
    **dict.fromkeys(("reject", "return"), ("send-back",)),
    **dict.fromkeys(("findings",), ("discoveries",)),
    **dict.fromkeys(("workers",), ("agents",)),
    **dict.fromkeys(("reply",), ("answer",)),
    **dict.fromkeys(("note", "message", "tell"), ("comment",)),
    **dict.fromkeys(("retry", "restart", "redo"), ("requeue",)),
    **dict.fromkeys(("delete", "remove", "rm"), ("cancel", "purge")),
    **dict.fromkeys(("cost", "spend", "spending", "usage"), ("costs",)),
    **dict.fromkeys(("budgets", "limit", "limits"), ("budget",)),
    **dict.fromkeys(("ui", "web", "dashboard", "browser"), ("board",)),
    **dict.fromkeys(("health", "check"), ("doctor",)),
    **dict.fromkeys(("notifications", "webhook"), ("notify",)),
    **dict.fromkeys(("backup", "dump"), ("export",)),
    **dict.fromkeys(("restore",), ("import",)),
    **dict.fromkeys(("start", "stop"), ("server",)),
    **dict.fromkeys(("next", "claim"), ("worker pop",)),
    **{
        command: (f"worker {command}",)
        for command in (
            "pop",
            "get",
            "notes",
            "discover",
            "blocker",
            "ack",
            "fail",
            "release",
            "renew",
            "run",
            "whoami",
        )
    },
}


def main() -> None:
    """Run the `orchestrate` command."""
    app.main(orchestrate, "orchestrate")


if __name__ == "__main__":
    main()
