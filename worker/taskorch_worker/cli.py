"""The `worker` command. A subcommand's module is loaded when it runs."""

import gc

# A short command ends before there is garbage: looking for it would cost 2 ms.
gc.set_threshold(50_000)

from taskorch.cli import app  # noqa: E402

from taskorch_worker.group import worker  # noqa: E402

__all__ = ["main", "worker"]

worker.declare(
    {
        "taskorch_worker.commands.claim": {
            "check": "List the ready items assigned to you.",
            "pop": "Claim the next item of your queue, or several.",
            "get": "Show ITEM in full, and claim it if it is queued for you.",
        },
        "taskorch_worker.commands.report": {
            "progress": "Report progress on ITEM and renew its lease.",
            "notes": "Keep a private note on ITEM.",
            "get-notes": "Print your private notes on ITEM.",
            "discover": "Share a discovery with the whole project.",
            "discoveries": "Read what the agents of a project found.",
            "blocker": "Ask the orchestrator about what blocks you.",
            "comment": "Comment on ITEM, for the orchestrator and its next holder.",
            "renew": "Renew the lease of ITEM.",
        },
        "taskorch_worker.commands.wait": {
            "wait": "Wait for the answers to your questions on ITEM.",
        },
        "taskorch_worker.commands.review": {
            "reviews": "List the items of other agents that wait for your review.",
            "accept": "Accept ITEM of another agent, as its reviewer.",
            "send-back": "Send ITEM back to its agent, which reads TEXT first.",
        },
        "taskorch_worker.commands.finish": {
            "complete": "Deliver ITEM.",
            "ack": "Deliver ITEM, with or without a summary.",
            "fail": "Give up this attempt at ITEM.",
            "release": "Return ITEM to its queue; no attempt is spent.",
        },
        "taskorch_worker.commands.run": {
            "run": "Run COMMAND for each item in your queue.",
        },
        "taskorch_worker.commands.logs": {
            "logs": "Print what the command of an attempt at ITEM has printed.",
        },
        "taskorch_worker.commands.whoami": {
            "whoami": "Show your identity and the source of each setting.",
        },
        "taskorch_worker.commands.prime": {
            "prime": "Print what you need to continue after a fresh start.",
        },
        "taskorch_worker.commands.hook": {
            "hook": "Answer the hooks of your agent program.",
        },
        "taskorch_worker.commands.mcp": {
            "mcp": "Serve an agent program over MCP.",
        },
    }
)
worker.sections = {
    "Take": ("check", "pop", "get"),
    "Report": (
        "progress",
        "notes",
        "get-notes",
        "discover",
        "discoveries",
        "blocker",
        "comment",
        "wait",
        "renew",
    ),
    "Finish": ("complete", "ack", "fail", "release"),
    "Review": ("reviews", "accept", "send-back"),
    "Operate": ("run", "logs", "whoami", "prime", "hook", "mcp"),
}
worker.synonyms = {
    **dict.fromkeys(("done", "finish", "deliver", "submit"), ("complete",)),
    **dict.fromkeys(("next", "take", "claim", "start", "work"), ("pop",)),
    **dict.fromkeys(("status", "list", "ls", "queue", "inbox"), ("check",)),
    **dict.fromkeys(("show", "view", "info"), ("get",)),
    **dict.fromkeys(("report", "update"), ("progress",)),
    **dict.fromkeys(("log",), ("progress", "logs")),
    **dict.fromkeys(("output", "tail"), ("logs",)),
    **dict.fromkeys(("note", "memo"), ("notes",)),
    **dict.fromkeys(("message", "tell"), ("comment",)),
    **dict.fromkeys(("finding", "share"), ("discover",)),
    "findings": ("discoveries",),
    **dict.fromkeys(("findings", "search"), ("discoveries",)),
    **dict.fromkeys(("ask", "question", "block", "blocked"), ("blocker",)),
    **dict.fromkeys(("extend", "heartbeat", "touch"), ("renew",)),
    **dict.fromkeys(("nack", "abort"), ("fail",)),
    **dict.fromkeys(("reject",), ("fail", "send-back")),
    **dict.fromkeys(("approve",), ("accept",)),
    **dict.fromkeys(("return", "unclaim", "drop"), ("release",)),
    **dict.fromkeys(("me", "id"), ("whoami",)),
    **{
        command: (f"orchestrate {command}",)
        for command in (
            "project",
            "create",
            "apply",
            "assign",
            "depend",
            "answer",
            "cancel",
            "requeue",
            "edit",
            "doctor",
            "server",
        )
    },
}


def main() -> None:
    """Run the `worker` command."""
    app.main(worker, "worker")


if __name__ == "__main__":
    main()
