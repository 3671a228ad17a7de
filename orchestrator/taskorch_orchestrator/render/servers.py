"""The output of the `server` commands for people."""

from collections.abc import Sequence

from rich.text import Text
from taskorch.cli.text import line
from taskorch.domain.server_status import ServerStatus, UserServer

from taskorch_orchestrator.render import console
from taskorch_orchestrator.render.console import Column


def server(status: ServerStatus) -> str:
    """Return whether the bundled server runs, and where."""
    if not status.running:
        return f"not running ({status.url})"
    lines = [f"running, pid {status.pid}, {status.url}"]
    if status.service_pid:
        lines[0] += f", service pid {status.service_pid}"
    elif status.service_wanted:
        lines.append("no service: orchestrate server start")
    if status.elsewhere:
        lines.append(
            "in another container or on another machine; its pids are from there"
        )
    if not status.reachable:
        lines.append(
            "its socket is gone: the next command starts it again, "
            "orchestrate server stop ends it"
        )
    return "\n".join(lines)


def stopped(status: ServerStatus, root: str, *, was_running: bool) -> str:
    """Return what a stop did."""
    if not was_running:
        return f"The bundled server of {line(root)} was not running."
    if status.running:  # another command has started it again
        return server(status)
    return f"Stopped the bundled server of {line(root)}."


def table(servers: Sequence[UserServer]) -> str:
    """Return the servers of a user as a table, then their problems; "" for none."""
    rows = console.Table(
        Column(header="STATE"),
        Column(header="PID", leaves=2),
        Column(header="SERVICE", leaves=1),
        Column(header="ROOT", least=20, keeps_end=True),
    )
    for each in servers:
        rows.add_row(
            _state(each),
            str(each.status.pid or "-"),
            str(each.status.service_pid or "-"),
            line(each.root),
        )
    problems = [
        Text(f"{line(each.root)}: {line(each.problem)}")
        for each in servers
        if each.problem
    ]
    return console.printed(rows, *problems)


def _state(each: UserServer) -> str:
    if each.problem:
        return "problem"
    if each.stopped:
        return "stopped now"
    if not each.status.running:
        return "stopped"
    if not each.status.reachable:
        return "unreachable"
    return "running elsewhere" if each.status.elsewhere else "running"
