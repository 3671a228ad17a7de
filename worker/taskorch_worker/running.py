"""The command that makes a worker of any other command: run."""

from typing import TYPE_CHECKING, Any

import click
from taskorch.arguments import DURATION, Seconds

from taskorch_worker.role import at_desk, worker

if TYPE_CHECKING:
    from taskorch_worker.desk import Desk

MOST_SLOTS = 100
LONGEST_IDLE_S = 366 * 86_400
#: Options end where COMMAND begins: what follows is its own.
ITS_OWN = {"allow_interspersed_args": False}


@worker.command(epilog="Example: worker run --pool 2 -- ./agent.sh", context_settings=ITS_OWN)
@click.option("--pool", type=click.IntRange(1, MOST_SLOTS), default=1, show_default=True, help="So many at a time.")
@click.option("--once", is_flag=True, help="Each of the pool takes one item at most.")
@click.option("--wait", "wait_s", type=Seconds(0, LONGEST_IDLE_S), help="End when idle for so many seconds; --once: 0.")
@click.option("--timeout", "timeout_ms", type=DURATION, help="Stop COMMAND after so long, and fail its item: 30m, 4h.")
@click.option("--lease", "lease_ms", type=DURATION, default="60s", show_default=True, help="Renewed while it runs.")
@click.option("--grace", "grace_ms", type=DURATION, default="10s", show_default=True, help="From SIGTERM to SIGKILL.")
@click.option(
    "--max-failures", type=click.IntRange(1), help="End with exit code 5 after this many failed items in a row."
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@at_desk
def run(desk: "Desk", /, **terms: Any) -> None:  # noqa: ANN401  each is a field of Terms
    """Run COMMAND for each item of your queue. Its exit code says what becomes of the item."""
    from taskorch_worker.init_process import split_off_init
    from taskorch_worker.runner import Runner
    from taskorch_worker.terms import Terms

    split_off_init()
    click.get_current_context().exit(Runner(desk.settings, desk.output, Terms(**terms)).run())
