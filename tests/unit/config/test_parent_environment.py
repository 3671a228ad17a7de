"""A server reads variables of the process that started it, and no others."""

import subprocess
import sys

import pytest
from taskorch.acceptance import runner
from taskorch.config import parent_environment
from taskorch.config.parent_environment import VARIABLES, adopt
from taskorch_worker.checked_delivery import RESULT_FILE

pytestmark = pytest.mark.skipif(
    not parent_environment.is_available(),
    reason="this system does not show the variables of a process",
)
#: Prints the variables of a process whose parent has more than it.
CHILD = """\
import sys
from taskorch.config.parent_environment import adopt

own = dict(pair.split("=") for pair in sys.argv[1:])
adopt(own)
print(sorted(own.items()))
"""


def adopted(parent: dict[str, str], *own: str) -> str:
    """Return the variables after a child of a process with those has adopted them."""
    start = "import subprocess, sys; subprocess.run(sys.argv[1:], check=True)"
    done = subprocess.run(
        [sys.executable, "-c", start, sys.executable, "-c", CHILD, *own],
        env=parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_unset_variables_of_ours_are_adopted() -> None:
    parent = {"AGENT_ID": "ada", "TASKORCH_ROOT": "/a b=c", "OTHER": "x"}

    found = adopted(parent)

    assert found == "[('AGENT_ID', 'ada'), ('TASKORCH_ROOT', '/a b=c')]"


def test_own_variable_takes_precedence() -> None:
    found = adopted({"AGENT_ID": "ada"}, "AGENT_ID=eve")

    assert found == "[('AGENT_ID', 'eve')]"


def test_hidden_variables_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent_environment, "PROCESSES", "/nowhere")

    with pytest.raises(OSError, match="No such file"):
        adopt({})


def test_forbidden_checks_and_result_file_are_adopted() -> None:
    # without them, a server would run checks that the user has forbidden, or could not
    # deliver to its run
    assert {runner.VARIABLE, RESULT_FILE} <= set(VARIABLES)


def test_names_are_those_of_variables() -> None:
    assert len(set(VARIABLES)) == len(VARIABLES)
