"""An agent program that completes an item through the MCP server of a gateway."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from programs.checkout import Checkout, run_program
from programs.model_server import (
    ModelRequest,
    Reply,
    Script,
    call,
    say,
    steps,
)
from programs.work import new_items, set_up, shown
from support import gateways


def script(tools: str) -> Script:
    """Return the answers of a model that claims an item and completes it.

    The program puts `tools` before the names of our tools.
    """
    return steps(call(f"{tools}pop"), partial(_complete, tools), say("Fine."))


def completed_item(
    checkout: Checkout, shell: Checkout, setup: Sequence[str], *command: str
) -> dict[str, Any]:
    """Have ada's program work over HTTP alone, and return the item that was there.

    `setup` are the program and the options for `orchestrate setup`.
    """
    (item,) = new_items(checkout, "Prices")
    with gateways.running(checkout) as gateway:
        ada = shell.having(
            TASKORCH_URL=gateway.url,
            TASKORCH_TOKEN=gateway.token("ada", "worker"),
            AGENT_ID="ada",
        )
        set_up(ada, *setup, "--url", gateway.url)

        run = run_program(ada, *command)

    assert run.returncode == 0, run.stderr
    return shown(checkout, item)


def _complete(tools: str, request: ModelRequest) -> Reply:
    """Return a call that completes the item of the claim before."""
    claimed = request.results[-1].replace("\\", "")  # JSON within JSON
    found = re.search(r'"tokens":{"(\w+)":"([^"]+)"', claimed)
    assert found, claimed
    return call(
        f"{tools}complete", item=found[1], summary="Done", token=found[2]
    )
