"""The API against its description: schemathesis makes requests from it.

It checks that no request fails with 5xx, that each reply is as described, and that
requests which break the description are refused.
"""

import subprocess
from collections.abc import Iterator

import pytest
from support import gateways
from support.commands import BIN
from support.gateways import Gateway
from taskorch.domain.role import Role
from taskorch_gateway.api.table import PREFIX

#: A stream, and a verb that waits as long as the request says.
NOT_CALLED = ("events", "workerPop")
#: The description has no words for all that a verb refuses with 422. How many malformed
#: tokens an address may show depends on the time: `test_api_roles` shows them.
NOT_CHECKED = "positive_data_acceptance,ignored_auth"


@pytest.fixture(scope="module")
def gateway(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateways.serving(
        valkey_url, "schema", folder, "--rate", "0"
    ) as running:
        yield running


def test_generated_requests_meet_the_description(gateway: Gateway) -> None:
    token = gateway.token("ada", Role.ADMIN)
    excluded = [
        option
        for operation in NOT_CALLED
        for option in ("--exclude-operation-id", operation)
    ]
    command = [
        *(str(BIN / "schemathesis"), "run"),
        f"{gateway.url}{PREFIX}/openapi.json",
        *("--header", f"Authorization: Bearer {token}"),
        *("--phases", "coverage,fuzzing", "--max-examples", "3"),
        *("--exclude-checks", NOT_CHECKED, "--generation-deterministic"),
        *excluded,
    ]

    ran = subprocess.run(
        command,
        cwd=gateway.shell.folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout[-8000:]
    assert "A request failed" not in gateway.log
