"""`orchestrate list`: filters that can be combined, an order, and what is left out."""

import pytest
from support.builders import Bench
from support.commands import Shell


@pytest.fixture
def items(bench: Bench) -> dict[str, str]:
    """Return items by name: two of the API, and one without labels."""
    project = bench.project()
    return {
        "schema": bench.item(
            project, title="Schema", labels=("api", "v2"), priority=1
        ),
        "login": bench.item(
            project, title="Login", labels=("api",), agent="bob"
        ),
        "docs": bench.item(
            project, title="Docs", description="of the login", agent=""
        ),
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--label api", ["schema", "login"]),
        ("--label api --label v2", ["schema"]),
        ("--agent ada --agent bob", ["schema", "login"]),
        ("--state pending --state waiting", ["docs"]),
        ("--priority 1 --priority 0", ["schema"]),
        ("--grep LOGIN", ["login", "docs"]),
        ("--grep login --label api", ["login"]),
        ("--since 1h", ["schema", "login", "docs"]),
        ("--since 2020-01-01T00:00:00Z", ["schema", "login", "docs"]),
        ("--since 2100-01-01T00:00:00Z", []),
        ("--sort priority --limit 1", ["schema"]),
    ],
)
def test_options_select_items(
    shell: Shell, items: dict[str, str], options: str, expected: list[str]
) -> None:
    listed = shell.orchestrate("list", *options.split(), "--json").data()

    assert [item["id"] for item in listed] == [
        items[name] for name in expected
    ]


def test_list_says_when_more_items_match(
    shell: Shell, items: dict[str, str]
) -> None:
    page = shell.orchestrate("list", "--label", "api", "--limit", "1")
    ordered = shell.orchestrate("list", "--sort", "created", "--limit", "2")
    document = shell.orchestrate(
        "list", "--sort", "created", "--limit", "2", "--json"
    )
    cursor = page.stderr.split()[-1]
    rest = shell.orchestrate(
        "list", "--label", "api", "--cursor", cursor, "--json"
    )

    assert page.stderr.startswith("There are more: --cursor proj_")
    assert [item["id"] for item in rest.data()] == [items["login"]]
    assert ordered.stderr == (
        "3 items match; the first 2 are shown: --limit\n"
    )
    assert document.json()["meta"] == {"cursor": "", "matching": 3}
    assert document.stderr == ""


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("--label two,words", 5, "is not a label"),
        ("--since soon", 2, "is not a time"),
        ("--sort size", 2, "--sort"),
        ("--priority 5", 2, "--priority"),
        ("--agent ../x", 5, "is not a name"),
        ("--sort created --cursor proj_1:1", 2, "no further page"),
    ],
)
def test_bad_filter_is_refused(
    shell: Shell, bench: Bench, options: str, code: int, message: str
) -> None:
    bench.item()

    ran = shell.orchestrate("list", *options.split())

    assert (ran.code, ran.stdout) == (code, "")
    assert message in ran.stderr


def test_no_match_is_not_an_error(shell: Shell, bench: Bench) -> None:
    bench.item()

    ran = shell.orchestrate("list", "--grep", "\x1b[2J nothing like this")

    assert (ran.code, ran.stdout, ran.stderr) == (0, "", "No items.\n")
