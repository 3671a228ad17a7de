"""The `worker` command: which module has which subcommand; only what is run is loaded."""

import gc

gc.set_threshold(
    50_000
)  # a short command ends before there is garbage; to look for it takes 2 ms while modules load

from taskorch.cli import app  # noqa: E402

from taskorch_worker.group import worker  # noqa: E402

__all__ = ["main", "worker"]

worker.declare(
    {
        "taskorch_worker.commands.claim": {
            "check": "List the items that are assigned to you and ready.",
            "pop": "Claim the next item of your queue, or the next ones.",
            "get": "Show all that ITEM carries.",
        },
        "taskorch_worker.commands.report": {
            "progress": "Report on ITEM; keeps it yours.",
            "notes": "Keep a private note on ITEM.",
            "get-notes": "Read your private notes on ITEM.",
            "discover": "Share a finding with the whole project.",
            "blocker": "Say what stops you.",
            "renew": "Keep ITEM yours for another full lease.",
        },
        "taskorch_worker.commands.wait": {
            "wait": "Wait for the answer to your blocker on ITEM.",
        },
        "taskorch_worker.commands.finish": {
            "complete": "Deliver ITEM.",
            "ack": "Deliver ITEM, with or without a summary.",
            "fail": "Give up this attempt at ITEM.",
            "release": "Give ITEM back to its queue; no attempt is spent.",
        },
        "taskorch_worker.commands.run": {
            "run": "Run COMMAND for each item in your queue.",
        },
        "taskorch_worker.commands.whoami": {
            "whoami": "Show who you are.",
        },
        "taskorch_worker.commands.prime": {
            "prime": "Say what you need to go on after a fresh start.",
        },
        "taskorch_worker.commands.hook": {
            "hook": "Answer the hooks of the program that you run in.",
        },
        "taskorch_worker.commands.mcp": {
            "mcp": "Serve an agent's program over MCP.",
        },
    }
)


def main() -> None:
    """Run the `worker` command."""
    app.main(worker, "worker")
