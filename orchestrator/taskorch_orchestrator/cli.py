"""The `orchestrate` command: which module has which subcommand; only what is run is loaded."""

import gc

gc.set_threshold(
    50_000
)  # a short command ends before there is garbage; to look for it takes 2 ms while modules load

from taskorch.cli import app  # noqa: E402

from taskorch_orchestrator.group import orchestrate  # noqa: E402

__all__ = ["main", "orchestrate"]

orchestrate.declare(
    {
        "taskorch_orchestrator.commands.plan": {
            "project": "Open a project for a user's request.",
            "create": "Add a work item to PROJECT.",
            "apply": "Create a project with all its items, as a file has them: all or none.",
            "depend": "Let ITEM wait for other items too.",
            "assign": "Give ITEM to AGENT; it waits while a dependency of it is open.",
            "complete": "Close PROJECT and print what it delivered.",
        },
        "taskorch_orchestrator.commands.inspect": {
            "progress": "Show how far a project or an item is.",
            "discoveries": "List what the agents of PROJECT found.",
            "list": "List items, of PROJECT or of all projects.",
            "show": "Show all that ITEM carries, with its history.",
            "unassigned": "List the items that wait for an agent.",
            "inbox": "List blockers that wait for an answer.",
            "stuck": "List items that do not go on by themselves.",
            "projects": "List the projects, the newest first.",
            "agents": "List the agents.",
        },
        "taskorch_orchestrator.commands.wait": {
            "wait": "Wait until a project or an item is completed, until it is blocked, or for any event of it.",
        },
        "taskorch_orchestrator.commands.watch": {
            "watch": "Watch what happens, in PROJECT or in all projects.",
        },
        "taskorch_orchestrator.commands.prime": {
            "prime": "Say what you need to go on after a fresh start.",
        },
        "taskorch_orchestrator.commands.setup": {
            "setup": "Put hooks, MCP servers and a few words on the queue into the files of PROGRAM.",
        },
        "taskorch_orchestrator.commands.root": {
            "init": "Make FOLDER a root: the queue of everything below it.",
            "trust": "Show the config.toml of the root of FOLDER, and trust it until it changes.",
        },
        "taskorch_orchestrator.commands.repair": {
            "answer": "Answer the blocker of ITEM.",
            "cancel": "Take ITEM out of work.",
            "requeue": "Start ITEM afresh.",
            "reap": "Act on expired leases and due delays now.",
            "doctor": "Check Redis, the namespace and this machine.",
        },
        "taskorch_orchestrator.commands.purge": {
            "purge": "Remove completed projects for good: PROJECT, or all that are old.",
        },
        "taskorch_orchestrator.commands.backup": {
            "export": "Write the whole namespace as JSON lines, to FILE or to standard output ('-').",
            "import": "Read an export back from FILE ('-': standard input) into an empty namespace; or take over DIR.",
        },
        "taskorch_orchestrator.commands.server": {
            "server": "Look at, start or stop the bundled server of this root.",
        },
        "taskorch_orchestrator.commands.docs": {
            "docs": "Print the documentation of TOPIC as Markdown.",
        },
        "taskorch_orchestrator.commands.mcp": {
            "mcp": "Serve an agent's program over MCP.",
        },
        "taskorch_orchestrator.commands.sync": {
            "sync": "Bring the files of this root and Redis together, once, in both directions.",
            "service": "Sync files with Redis and maintain the queue, until SIGTERM or Ctrl-C.",
        },
    }
)


def main() -> None:
    """Run the `orchestrate` command."""
    app.main(orchestrate, "orchestrate")


if __name__ == "__main__":
    main()
