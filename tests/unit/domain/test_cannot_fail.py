"""Commands that always succeed prove nothing: which ones are known."""

import pytest
from taskorch.domain.cannot_fail import cannot_fail


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["true"],
        ["/bin/true"],
        [":"],
        ["echo", "ok"],
        ["/usr/bin/printf", "ok"],
        ["sleep", "1"],
        ["env", "true"],
        ["/usr/bin/env", "A=b", "-i", "true"],
        ["timeout", "5", "true"],
        ["nice", "-n5", "echo"],
        ["env"],
        ["sh"],
        ["sh", "-c", "true"],
        ["bash", "-lc", "exit 0"],
        ["sh", "-c", ""],
        ["sh", "-c", "make test; true"],
        ["sh", "-c", "make test || true"],
        ["sh", "-c", "make test ; exit 0"],
        ["sh", "-c", "exit"],
        ["sh", "-c", "true && exit"],
        ["sh", "-c", "make test\necho done"],
        ["sh", "-c", "make test | echo"],
        ["sh", "-c", "true && echo yes"],
        ["sh", "-c", "sh -c true"],
        ["bash", "-ec", "true; :"],
        ["busybox", "true"],
        ["python3", "-c", "pass"],
        ["pwd"],
        ["sh", "-c", "make test; ls"],
        ["test", "1"],
        ["[", "ok", "]"],
    ],
)
def test_harmless_command_cannot_fail(command: list[str]) -> None:
    assert cannot_fail(command)


@pytest.mark.parametrize(
    "command",
    [
        ["false"],
        ["make", "test"],
        ["env", "A=b", "make"],
        ["timeout", "5", "make"],
        ["sh", "check.sh"],
        ["sh", "-c", "make test"],
        ["sh", "-c", "echo begin; make test"],
        ["sh", "-c", "true && make test"],
        ["sh", "-c", "make test || exit 1"],
        ["sh", "-c", "make test || exit"],
        ["sh", "-c", "make test; exit"],
        ["exit"],
        ["ls", "docs"],
        ["cat", "docs/api.md"],
        ["test", ""],
        ["sh", "-c", "test $DONE"],
        ["bash", "-ec", "make test; echo done"],
        ["sh", "-c", "set -e; make test; echo done"],
        ["sh", "-c", "test -n $(cat file)"],
        ["sh", "-c", "echo 'unclosed"],
        ["test", "-s", "file"],
        ["python3", "-c", "import app"],
        ["sh", "-c", "true | grep x"],
    ],
)
def test_command_that_may_fail_is_no_harm(command: list[str]) -> None:
    assert not cannot_fail(command)


def test_endless_wrappers_are_not_followed() -> None:
    assert not cannot_fail(["env"] * 5000 + ["true"])
