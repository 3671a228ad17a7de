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


class Slots(click.IntRange):
    """A number of slots. In other commands, `--pool` names a pool of items."""

    def convert(
        self,
        value: Any,  # noqa: ANN401  click's own values
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> int:
        """Return the number; refuse the name of a pool with the setting for it."""
        if isinstance(value, str) and value[:1].isalpha():
            self.fail(
                f"{value!r} is not a number of slots. To take items from a pool: "
                f"AGENT_POOLS={value}",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


@worker.command(
    epilog="Example: worker run --pool 2 -- ./agent.sh",
    context_settings=ITS_OWN,
)
@click.option(
    "--pool",
    type=Slots(1, MOST_SLOTS),
    default=1,
    show_default=True,
    help="Number of slots; each works on one item at a time.",
)
@click.option(
    "--once", is_flag=True, help="Take at most one item per slot, then end."
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
    help="Time limit of COMMAND, such as 30m or 4h; after it, the item fails.",
)
@click.option(
    "--lease",
    "lease_ms",
    type=DURATION,
    default="60s",
    show_default=True,
    help="Lease duration; the lease is renewed while COMMAND runs.",
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
    "--stdin",
    type=click.Choice(["item", "prompt", "none"]),
    default="item",
    show_default=True,
    help="What COMMAND reads: the item as JSON, the task as text, or nothing.",
)
@click.option(
    "--max-failures",
    type=click.IntRange(1),
    help="Number of failed items in a row that ends the run with exit code 5.",
)
@click.option(
    "--tee",
    is_flag=True,
    help="Print the output of COMMAND, too.",
)
@click.option(
    "--worktree",
    is_flag=True,
    help="Give each item a git worktree and a branch of its own.",
)
@click.option(
    "--shared",
    is_flag=True,
    help="Let several slots work in one git checkout.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_context
def run(context: "WorkerContext", /, **options: Any) -> None:  # noqa: ANN401  as in RunOptions
    """Run COMMAND for each item in your queue.

    Its exit code sets the outcome: 0 completes the item, 75 releases it, any other one
    fails it.
    """
    from taskorch_worker.run.init_process import split_off_init
    from taskorch_worker.run.options import RunOptions, StdinSource
    from taskorch_worker.run.pool import WorkerPool

    split_off_init()
    options["stdin"] = StdinSource(options["stdin"])
    click.get_current_context().exit(
        WorkerPool(
            context.settings, context.output, RunOptions(**options)
        ).work()
    )
