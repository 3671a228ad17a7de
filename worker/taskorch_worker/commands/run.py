"""The command `worker run`."""

from typing import TYPE_CHECKING, Any

import click
from taskorch.cli.arguments import DURATION, Seconds

from taskorch_worker.group import pass_context, worker

if TYPE_CHECKING:
    from taskorch_worker.context import WorkerContext

MOST_SLOTS = 100
LONGEST_IDLE_S = 366 * 86_400
#: Options after COMMAND belong to COMMAND.
ITS_OWN = {"allow_interspersed_args": False}


@worker.command(
    epilog="Example: worker run --pool 2 -- ./agent.sh", context_settings=ITS_OWN
)
@click.option(
    "--pool",
    type=click.IntRange(1, MOST_SLOTS),
    default=1,
    show_default=True,
    help="Number of items at a time.",
)
@click.option(
    "--once", is_flag=True, help="Take at most one item for each slot of the pool."
)
@click.option(
    "--wait",
    "wait_s",
    type=Seconds(0, LONGEST_IDLE_S),
    help="Idle time in seconds before the run ends; 0 with --once.",
)
@click.option(
    "--timeout",
    "timeout_ms",
    type=DURATION,
    help="Time limit of COMMAND, such as 30m or 4h; its item fails then.",
)
@click.option(
    "--lease",
    "lease_ms",
    type=DURATION,
    default="60s",
    show_default=True,
    help="Lease duration; renewed by the run.",
)
@click.option(
    "--grace",
    "grace_ms",
    type=DURATION,
    default="10s",
    show_default=True,
    help="Time from SIGTERM to SIGKILL.",
)
@click.option(
    "--max-failures",
    type=click.IntRange(1),
    help="Failed items in a row before the run ends with exit code 5.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_context
def run(context: "WorkerContext", /, **options: Any) -> None:  # noqa: ANN401  as in RunOptions
    """Run COMMAND for each item in your queue. Its exit code decides what becomes of the item."""
    from taskorch_worker.run.init_process import split_off_init
    from taskorch_worker.run.options import RunOptions
    from taskorch_worker.run.pool import WorkerPool

    split_off_init()
    click.get_current_context().exit(
        WorkerPool(context.settings, context.output, RunOptions(**options)).work()
    )
