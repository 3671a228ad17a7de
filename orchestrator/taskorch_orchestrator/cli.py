"""The `orchestrate` command: which module has which subcommand; only what is run is loaded."""

import gc

gc.set_threshold(50_000)  # a short command ends before there is garbage; to look for it takes 2 ms while modules load

from taskorch import command  # noqa: E402

from taskorch_orchestrator.role import orchestrate  # noqa: E402

__all__ = ["main", "orchestrate"]

orchestrate.expect(
    {
        "taskorch_orchestrator.planning": {
            "project": "Open a project for a user's request.",
            "create": "Add a work item to PROJECT.",
            "apply": "Create a project with all its items, as a file has them: all or none.",
            "depend": "Let ITEM wait for other items too.",
            "assign": "Give ITEM to AGENT; it waits while a dependency of it is open.",
            "complete": "Close PROJECT and print what it delivered.",
        },
        "taskorch_orchestrator.monitoring": {
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
        "taskorch_orchestrator.waiting": {
            "wait": "Wait until a project or an item is completed, until it is blocked, or for any event of it.",
        },
        "taskorch_orchestrator.watching": {
            "watch": "Watch what happens, in PROJECT or in all projects.",
        },
        "taskorch_orchestrator.priming": {
            "prime": "Say what you need to go on after a fresh start.",
        },
        "taskorch_orchestrator.setting_up": {
            "setup": "Put hooks, MCP servers and a few words on the queue into the files of PROGRAM.",
        },
        "taskorch_orchestrator.root_commands": {
            "init": "Make FOLDER a root: the queue of everything below it.",
            "trust": "Show the config.toml of the root of FOLDER, and trust it until it changes.",
        },
        "taskorch_orchestrator.mending": {
            "answer": "Answer the blocker of ITEM.",
            "cancel": "Take ITEM out of work.",
            "requeue": "Start ITEM afresh.",
            "reap": "Act on expired leases and due delays now.",
            "doctor": "Check Redis, the namespace and this machine.",
        },
        "taskorch_orchestrator.purging": {
            "purge": "Remove completed projects for good: PROJECT, or all that are old.",
        },
        "taskorch_orchestrator.moving": {
            "export": "Write the whole namespace as JSON lines, to FILE or to standard output ('-').",
            "import": "Read an export back from FILE ('-': standard input) into an empty namespace; or take over DIR.",
        },
        "taskorch_orchestrator.server": {
            "server": "Look at, start or stop the bundled server of this root.",
        },
        "taskorch_orchestrator.docs": {
            "docs": "Print the documentation of TOPIC as Markdown.",
        },
        "taskorch_orchestrator.commands.mcp": {
            "mcp": "Serve an agent's program over MCP.",
        },
        "taskorch_orchestrator.syncing": {
            "sync": "Bring the files of this root and Redis together, once, in both directions.",
            "service": "Keep files and Redis together, and the queue in order, until SIGTERM or Ctrl-C.",
        },
    }
)


def main() -> None:
    """Run the `orchestrate` command."""
    command.run(orchestrate, "orchestrate")


if __name__ == "__main__":
    main()
