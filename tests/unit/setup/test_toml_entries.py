"""Our tables in a TOML file: added and removed byte for byte, and found again after Codex has rewritten the file."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskorch_orchestrator.setup.config_entry import ConfigEntry, Json
from taskorch_orchestrator.setup.managed_file import (
    UnsupportedFile,
    with_part,
)
from taskorch_orchestrator.setup.toml_entries import TomlEntries


def server(command: str, *variables: str, **more: int) -> ConfigEntry:
    """Return an MCP server that is named for its command."""
    value: dict[str, Json] = {
        "command": command,
        "args": ["mcp"],
        "env_vars": list(variables),
        **more,
    }
    return ConfigEntry(labels=("mcp_servers", f"our-{command}"), value=value)


OURS = TomlEntries(
    server("orchestrate", "A", timeout=600), server("worker", "A", timeout=600)
)
TABLES = {
    f"our-{command}": {
        "command": command,
        "args": ["mcp"],
        "env_vars": ["A"],
        "timeout": 600,
    }
    for command in ("orchestrate", "worker")
}
FOREIGN = [
    "",
    "\n",
    "# note",
    'model = "x" # why\n',
    "model = 'x'\n\n\n",
    '[a]\r\nb = 1\r\n\r\n[a.c]\r\n"d e" = [1,\r\n2]\r\n',
    "a = '''\n\n[mcp_servers.our-worker]\n'''",
    'a = """\n# task-orchestrator: end\n"""\n',
    'a = [\n  ["mcp_servers"]\n]\n',
    "\ufeffa = 1\n",
    "\ufeff",
    "a = 1979-05-27T07:32:00Z\n[[b]]\nc = 1\n[[b]]\nc = 2",
    "[mcp_servers]\n",
    "[mcp_servers.other]\ncommand = 'npx' # why\n\n# The next\n[features]\nhooks = true\n",
    '"größe" = "\\u00fc 🙂"\n',
]
#: What Codex 0.171 made of our file, and of a user's file with our tables, by `mcp add
#: x -- y` and `features enable`.
ADDED_BY_CODEX = '\n[mcp_servers.x]\ncommand = "y"\n'
FEATURES_OF_CODEX = "\n[features]\nhooks = true\n"
BEGIN, END = (
    "# task-orchestrator: begin (orchestrate setup)\n",
    "# task-orchestrator: end\n",
)


def written_by_codex() -> str:
    """Return our tables as Codex writes them."""
    return OURS.added(None).replace("= 600", "= 600.0")


@pytest.mark.parametrize("text", FOREIGN)
def test_added_tables_are_removed_byte_for_byte(text: str) -> None:
    added = with_part(OURS, text)

    document, before = (
        tomllib.loads(each.lstrip("\ufeff")) for each in (added, text)
    )
    assert document == {
        **before,
        "mcp_servers": {**before.get("mcp_servers", {}), **TABLES},
    }
    assert OURS.has(added)
    assert not OURS.has(text)
    assert added.startswith(text)
    assert OURS.removed(added) == text
    assert with_part(OURS, added) == added


@pytest.mark.parametrize("number", ["nan", "-nan", "[1.5, nan]", "{b = +nan}"])
def test_nan_of_others_is_no_conflict(number: str) -> None:
    text = f"a = {number}\n"

    added = with_part(OURS, text)

    assert added.startswith(text)
    assert OURS.has(added)
    assert OURS.removed(added) == text


def test_nan_in_incomplete_table_stays() -> None:
    incomplete = OURS.added(None).replace("timeout = 600\n", "x = nan\n")

    completed = with_part(OURS, incomplete)

    assert completed.count("timeout = 600\n") == 2
    assert completed.count("x = nan\n") == 2
    assert OURS.has(completed)


@given(
    st.lists(
        st.sampled_from(
            [
                "a.b = 1",
                "",
                "# c",
                "[d]",
                "[e.f]",
                "g = '''",
                "'''",
                "h = [",
                "[1]]",
                "\t",
            ]
        )
    )
)
def test_any_toml_gets_every_byte_back(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return

    assert OURS.removed(with_part(OURS, text)) == text


def test_created_file_is_removed_and_empty_file_stays() -> None:
    assert OURS.removed(OURS.added(None)) is None
    assert OURS.removed(OURS.added("")) == ""


@pytest.mark.parametrize(
    "behind",
    [ADDED_BY_CODEX, FEATURES_OF_CODEX, ADDED_BY_CODEX + FEATURES_OF_CODEX],
)
@pytest.mark.parametrize("mark", ["", END])
def test_tables_rewritten_by_codex_are_current(behind: str, mark: str) -> None:
    rewritten = written_by_codex() + behind + mark

    assert OURS.has(rewritten)
    assert with_part(OURS, rewritten) == rewritten
    assert OURS.removed(rewritten) == behind.removeprefix("\n")


@pytest.mark.parametrize("behind", ["", ADDED_BY_CODEX, FEATURES_OF_CODEX])
def test_tables_between_tables_of_others_are_removed(behind: str) -> None:
    theirs = (
        'model = "x"   # my model\n\n[mcp_servers.other]\ncommand = "npx"\n'
    )

    assert (
        OURS.removed(f"{theirs}\n{written_by_codex()}{behind}{END}")
        == theirs + behind
    )


def test_table_of_others_between_our_tables_stays() -> None:
    first, second = written_by_codex().split("\n\n")

    left = OURS.removed(
        f"{BEGIN}{first}\n{FEATURES_OF_CODEX}\n# Mine\n\n{second}{END}"
    )

    assert left == FEATURES_OF_CODEX.removeprefix("\n") + "\n# Mine\n"


@pytest.mark.parametrize("theirs", ["", "a = 1\n", "[a]\n"])
def test_marks_of_earlier_versions_are_removed(theirs: str) -> None:
    marked = theirs + "\n" * bool(theirs) + BEGIN + OURS.added(None) + END

    assert OURS.has(marked)
    assert OURS.removed(marked) == (theirs or None)


def test_addition_to_our_table_is_removed_with_it() -> None:
    changed = OURS.added("b = 1\n").replace(
        'vars = ["A"]\ntimeout = 600\n\n',
        'vars = ["A", "B"] # why\n# more\nsince = 2026-01-01\ntimeout = 9\n\n',
    )
    changed += '[mcp_servers.our-worker.env]\nG = "h"\n\n# Mine\n[c]\n'

    assert with_part(OURS, changed) == changed
    assert OURS.removed(changed) == "b = 1\n\n# Mine\n[c]\n"


def test_missing_key_is_added_beside_additions_of_others() -> None:
    newer = TomlEntries(server("worker", "A", "C", timeout=600, retries=3))
    old = (
        '[mcp_servers.our-worker] # mine\nenv_vars = ["B",\n"A"]\n# path\ncommand = "sudo worker"\n'
        'since = 2026-01-01\nargs = ["mcp", "-v"]\n[mcp_servers.our-worker."é v"]\nG = "h"\n[z]\n'
    )

    repaired = with_part(newer, old)

    assert tomllib.loads(repaired)["mcp_servers"]["our-worker"] == {
        **tomllib.loads(old)["mcp_servers"]["our-worker"],
        "env_vars": ["B", "A", "C"],
        "timeout": 600,
        "retries": 3,
    }
    assert repaired.startswith(
        "[mcp_servers.our-worker] # mine\ntimeout = 600\nretries = 3\nenv_vars = ["
    )
    assert '# path\ncommand = "sudo worker"\n' in repaired
    assert newer.removed(repaired) == "[z]\n"


def test_one_lost_table_is_added_again() -> None:
    first, second = OURS.added("a = 1\n").rsplit("\n\n", 1)

    assert not OURS.has(first + "\n")
    assert with_part(OURS, first + "\n") == f"{first}\n\n{second}"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            "[mcp_servers]\nour-worker = {command = 'worker', args = ['mcp']}\nx.command = 'y'\n",
            "x.command = 'y'\n",
        ),
        (
            "mcp_servers.our-worker.command = 'worker'\nmcp_servers.our-worker.args = ['mcp']\na = 1\n",
            "a = 1\n",
        ),
    ],
)
def test_server_without_its_own_table_is_removed(text: str, left: str) -> None:
    assert (OURS.removed(text) or "").removeprefix("[mcp_servers]\n") == left


@pytest.mark.parametrize(
    "text", ["a = ", "a", "[a]\n[a]", f"a = {'[' * 5000}{']' * 5000}"]
)
def test_invalid_toml_is_refused(text: str) -> None:
    for act in (OURS.has, OURS.added, OURS.removed):
        with pytest.raises(UnsupportedFile, match="is not valid TOML"):
            act(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[mcp_servers.our-worker]\n", "another mcp_servers.our-worker"),
        (
            "[mcp_servers.our-worker]\ncommand = 'npx'\n",
            "another mcp_servers.our-worker",
        ),
        ("[[mcp_servers.our-worker]]\n", "another mcp_servers.our-worker"),
        ("mcp_servers = {}\n", "conflicts"),
        ("mcp_servers = 1\n", "conflicts"),
        ("[[mcp_servers]]\n", "conflicts"),
    ],
)
def test_name_used_by_others_is_refused_and_left(
    text: str, reason: str
) -> None:
    with pytest.raises(UnsupportedFile, match=reason):
        OURS.added(text)
    assert not OURS.has(text)
    assert OURS.removed(text) == text


def test_inline_server_beside_others_is_refused() -> None:
    text = "mcp_servers = {a = {}, our-worker = {command = 'worker', args = ['mcp']}}\n"

    with pytest.raises(
        UnsupportedFile, match="form that must be edited by hand"
    ):
        OURS.removed(text)
