"""No secret of an access token in a log, a list of processes, an error, or a file."""

import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from support import gateways
from support.commands import BIN, Shell, eventually, result_of
from support.gateways import Gateway, HttpClient

#: Tokens that are almost right: the secret of another, one digit off, too long.
DIGITS = "0123456789abcdef"


@pytest.fixture
def gateway(shell: Shell) -> Iterator[Gateway]:
    with gateways.running(shell.having(TASKORCH_DEBUG="1")) as running:
        yield running


def secret_of(shell: Shell) -> str:
    """Return the secret digits of the token of a client."""
    return shell.variables["TASKORCH_TOKEN"].split("_")[2]


def almost(token: str) -> list[str]:
    """Return tokens that share most of their secret with a right one."""
    other = DIGITS[(DIGITS.index(token[-1]) + 1) % len(DIGITS)]
    return [
        token[:-1] + other,
        token + "0",
        token.upper(),
        f"tok_00000000_{token.split('_')[2]}",
        f"{token}\u00e9",
        f"Bearer {token}",
    ]


def shown_of_processes() -> str:
    """Return what `ps` shows of all processes: their command lines."""
    lines = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((folder / "cmdline").read_bytes())
        except OSError:  # it has just ended
            continue
    return b"\n".join(lines).decode(errors="replace")


def written_in(folder: Path) -> bytes:
    """Return the content of all files below a folder."""
    return b"".join(
        file.read_bytes() for file in folder.rglob("*") if file.is_file()
    )


def test_right_token_leaves_no_trace(gateway: Gateway) -> None:
    planner, ada = gateway.orchestrator(), gateway.worker("ada")
    secrets = [secret_of(planner), secret_of(ada)]
    waiting = ada.start(BIN / "worker", "pop", "--wait", "60")
    eventually(lambda: '"verb": "claim"' in gateway.log)
    processes = shown_of_processes()
    project = planner.orchestrate("project", "No trace").stdout.strip()
    item = planner.orchestrate(
        *("create", project, "It", "--assign", "ada")
    ).stdout.strip()

    printed = [result_of(waiting)]
    printed += [
        ada.worker(*words)
        for words in (
            ("--json", "whoami"),
            ("whoami",),
            ("prime",),
            ("--json", "progress", item, "x"),
            ("--json", "get", "item_00000000"),
            ("complete", item, "Done"),
            ("--json", "complete", item, "Again", "--deliverable", "x"),
        )
    ]
    printed += [
        planner.orchestrate(*words)
        for words in (
            ("doctor",),
            ("--json", "doctor"),
            ("--json", "show", item),
            ("--json", "token", "list"),
            ("--json", "export"),
        )
    ]
    listed = gateway.shell.orchestrate("--json", "token", "list")
    exported = gateway.shell.orchestrate("export")

    texts = [processes, gateway.log, listed.stdout, exported.stdout]
    texts += [each.stdout + each.stderr for each in printed]
    for secret in secrets:
        assert not any(secret in text for text in texts)
        for shell in (planner, ada, gateway.shell):
            assert secret.encode() not in written_in(shell.folder)
        assert secret not in everything_in_redis(gateway)


def everything_in_redis(gateway: Gateway) -> str:
    """Return all keys of the server with their content, as Redis dumps them."""
    url = gateway.shell.variables["TASKORCH_REDIS_URL"]
    with redis.Redis.from_url(url) as raw:
        tag = f"taskorch:{{{gateway.shell.variables['TASKORCH_NAMESPACE']}}}:"
        names = list(raw.scan_iter(f"{tag}*", count=1000))
        texts = [repr(name) for name in names]
        for name in names:
            kind = raw.type(name)
            if kind == b"hash":
                texts.append(repr(raw.hgetall(name)))
            elif kind == b"string":
                texts.append(repr(raw.get(name)))
            elif kind == b"stream":
                texts.append(repr(raw.xrange(name)))
    return "".join(texts)


def test_wrong_tokens_are_not_shown(gateway: Gateway, tmp_path: Path) -> None:
    ada = gateway.worker("ada").having(TASKORCH_DEBUG="1")
    right = ada.variables["TASKORCH_TOKEN"]
    file = tmp_path / "token"
    printed: list[str] = []
    for wrong in almost(right):
        named = ada.having(TASKORCH_TOKEN=wrong)
        runs = [
            named.start(BIN / "worker", "--json", "check"),
            named.start(BIN / "worker", "check"),
            named.start(BIN / "orchestrate", "doctor"),
        ]
        file.touch(mode=0o600)
        file.write_text(wrong + "\n")
        by_file = ada.lacking("TASKORCH_TOKEN")
        runs.append(
            by_file.start(BIN / "worker", "--token-file", str(file), "check")
        )
        for ran in runs:
            printed += ran.communicate(timeout=60)
            assert ran.returncode != 0

    assert secret_of(ada)[:16] not in "".join(printed)
    assert secret_of(ada)[:16] not in gateway.log


@pytest.mark.parametrize("place", ["header", "path", "query", "body"])
def test_token_in_a_wrong_place_is_not_logged(
    gateway: Gateway, place: str
) -> None:
    token = gateway.worker("ada").variables["TASKORCH_TOKEN"]
    target = {"path": f"/call/{token}", "query": f"/call?token={token}"}
    body = {"script": token, "key": token, "arguments": [token] * 6}
    headers = {"Authorization": token, "X-Token": token}

    with closing(
        HttpClient(gateway, token if place == "body" else "")
    ) as client:
        status, reply = client.post(
            target.get(place, "/call"),
            body,
            **headers if place == "header" else {},
        )

    assert status in (400, 401, 404)
    assert token not in str(reply)
    assert token not in gateway.log


def test_traceback_shows_no_token(gateway: Gateway) -> None:
    ada = gateway.worker("ada").having(TASKORCH_DEBUG="1")
    gateway.kill()

    in_python = "from taskorch import Queue; Queue.open().project('x')"
    for words in (
        (BIN / "worker", "check"),
        (BIN / "worker", "--json", "get", "item_00000000"),
        (sys.executable, "-c", in_python),
    ):
        calling = ada.start(*words)
        printed = "".join(calling.communicate(timeout=90))

        assert calling.returncode in (1, 4)
        assert secret_of(ada) not in printed
    assert "Traceback" in printed


def test_objects_with_tokens_do_not_show_them() -> None:
    from taskorch.config.settings import resolve
    from taskorch.domain import access_token
    from taskorch.transport import gateway

    token = f"tok_00000000_{'5' * 64}"
    variables = {
        "TASKORCH_URL": "https://queue.example",
        "TASKORCH_TOKEN": token,
    }

    shown = repr(
        [
            resolve({}, variables, Path()),
            gateway.parse("https://queue.example", token),
            access_token.new("tok_00000000", "5" * 64),
            access_token.parse(token),
        ]
    )

    assert re.search("5{8}", shown) is None
