"""Our entries in the JSON files of others are added and removed byte for byte."""

import json
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskorch_orchestrator.setup.config_entry import ConfigEntry
from taskorch_orchestrator.setup.json_entries import JsonEntries
from taskorch_orchestrator.setup.managed_file import (
    UnsupportedFile,
    is_blank,
    with_part,
)

#: A path that exists: setup replaces others.
WORKER = str(Path(sys.executable).parent / "worker")


def hook(event: str, command: str) -> ConfigEntry:
    """Return a hook in its own group."""
    return ConfigEntry(
        labels=("hooks", event, None, "hooks", None),
        value={"type": "command", "command": command},
    )


HOOKS = JsonEntries(
    hook("SessionStart", "worker prime"),
    hook("Stop", "worker hook stop"),
    ConfigEntry(
        labels=("mcpServers", "ours"),
        value={"command": "worker", "args": ["mcp"]},
    ),
)
HEADED = JsonEntries(
    ConfigEntry(
        labels=("hooks", "stop", None), value={"command": "worker hook stop"}
    ),
    head={"version": 1},
)

FOREIGN = {
    "empty": "{}",
    "empty with space": "{ }",
    "empty over lines": "{\n}\n",
    "empty with a comment": "{ // nothing yet\n}\n",
    "one line": '{"model": "x"}',
    "one line with space": '{ "model": "x" }\n',
    "pretty": '{\n  "model": "x",\n  "permissions": {\n    "allow": ["Bash(ls)"]\n  }\n}\n',
    "tabs": '{\n\t"model": "x"\n}\n',
    "four": '{\n    "model": "x"\n}',
    "odd": '{\n       "model"  :   "x"\n ,   "b" : [ 1,2\n,3 ] }\n\n',
    "crlf": '{\r\n  "model": "x"\r\n}\r\n',
    "unicode": '{\n  "größe": "\\u00fc 🙂", "b": "\\"// no comment\\" { ["\n}\n',
    "byte order mark": '\ufeff{\n  "model": "x"\n}\n',
    "comments": '// head\n{\n  /* { */ "model": "x", // of [\n  "url": "http://x" // "hooks": {}\n}\n',
    "empty hooks": '{\n  "hooks": {}\n}\n',
    "hooks over lines": '{\n  "hooks": {\n  }, "b": 1\n}\n',
    "empty list": '{"hooks": {"SessionStart": [], "Stop": [\n]}}',
    "another's hooks": '{\n  "hooks": {\n    "Stop": [\n      {"hooks": [{"command": "say"}]}\n    ]\n  }\n}\n',
    "another's server": '{"mcpServers": {"theirs": {"command": "npx", "args": ["-y"]}}}',
    "empty servers": '{"mcpServers": {}, "hooks": {"PreToolUse": []}}\n',
    "a name twice": '{"hooks": 1, "hooks": {"Stop": []}}',
}


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_added_entries_are_removed_byte_for_byte(text: str) -> None:
    added = HOOKS.added(text)

    assert HOOKS.has(added)
    assert not HOOKS.has(text)
    assert HOOKS.removed(added) == text


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_adding_entries_twice_changes_nothing(text: str) -> None:
    once = with_part(HOOKS, text)

    assert with_part(HOOKS, once) == once


def test_new_json_file_is_readable_and_removed() -> None:
    made = with_part(HOOKS, None)

    assert made == json.dumps(json.loads(made), indent=2) + "\n"
    assert list(json.loads(made)) == ["hooks", "mcpServers"]
    assert HOOKS.removed(made) is None


@pytest.mark.parametrize("text", ["", " \n", "\ufeff"])
def test_blank_file_is_treated_as_missing(text: str) -> None:
    assert not HOOKS.has(text)
    assert with_part(HOOKS, text) == HOOKS.added(None)
    assert HOOKS.removed(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        '{"a": }',
        '{"a": 1,}',
        '{"a": 1',
        "hooks",
        "{}}",
        "[" * 100_000,
    ],
)
def test_invalid_json_is_refused(text: str) -> None:
    for act in (HOOKS.has, HOOKS.added, HOOKS.removed):
        with pytest.raises(UnsupportedFile, match="is not"):
            act(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"hooks": []}', "where hooks should be an object"),
        ('{"hooks": null}', "where hooks should be an object"),
        ('{"hooks": {"Stop": {}}}', "where hooks.Stop should be a list"),
        ('{"mcpServers": null}', "mcpServers should be"),
        (
            '{"mcpServers": {"ours": {"command": "another"}}}',
            "has another mcpServers.ours",
        ),
    ],
)
def test_different_value_in_our_place_is_refused(
    text: str, reason: str
) -> None:
    with pytest.raises(UnsupportedFile, match=reason):
        HOOKS.added(text)


def test_file_without_required_head_is_refused() -> None:
    with pytest.raises(UnsupportedFile, match='no "version"'):
        HEADED.added("{}")


def test_head_of_existing_file_stays() -> None:
    old = '{\n  "version": 1\n}\n'

    assert json.loads(HEADED.added(None)) == {
        "version": 1,
        "hooks": {"stop": [{"command": "worker hook stop"}]},
    }
    assert HEADED.removed(HEADED.added(None)) is None
    assert HEADED.removed(HEADED.added(old)) == old


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            '"command": "worker prime"',
            '"timeout": 5, "command": "worker prime"',
        ),
        ('"worker prime"', f'"{WORKER} prime"'),
        ('"worker hook stop"', '"$HOME/bin/worker --namespace x hook stop"'),
        (
            '"command": "worker"',
            '"env": {"AGENT_ID": "ada"}, "command": "worker"',
        ),
        ('"mcp"', '"--namespace", "x", /* why */ "mcp"'),
        ('"hooks": [', '"matcher": "startup", "hooks": ['),
    ],
)
@pytest.mark.parametrize(
    "before", ["{}", '{"model": "x"}', '{\n  "model": "x"\n}\n']
)
def test_additions_to_our_entry_stay_until_removal(
    before: str, ours: str, theirs: str
) -> None:
    changed = HOOKS.added(before).replace(ours, theirs, 1)

    assert theirs in changed
    assert with_part(HOOKS, changed) == changed
    assert HOOKS.removed(changed) == before


def test_half_a_character_in_entry_stays() -> None:
    before = '{"mcpServers": {"ours": {"command": "worker", "x": "\\ud800"}}}'
    newer = JsonEntries(
        ConfigEntry(
            labels=("mcpServers", "ours"),
            value={"command": "worker", "timeout": 9},
        )
    )

    completed = with_part(newer, before)

    ours = json.loads(completed.encode())["mcpServers"]["ours"]
    assert ours == {"command": "worker", "x": "\ud800", "timeout": 9}


def test_incomplete_entry_is_completed() -> None:
    newer = JsonEntries(
        ConfigEntry(
            labels=("mcpServers", "ours"),
            value={
                "command": "worker",
                "args": ["mcp"],
                "env": {"A": "$A", "B": "$B"},
                "timeout": 9,
            },
        )
    )
    before = '{\n\t"mcpServers": {\n\t\t"theirs": {"command": "npx"}\n\t}\n}'
    old = before.replace(
        '"theirs"',
        f'"ours": {{"command": "{WORKER}", "args": ["mcp"], "env": {{"B": "b"}}}},\n\t\t"theirs"',
    )

    completed = with_part(newer, old)

    assert not newer.has(old)
    assert json.loads(completed)["mcpServers"]["ours"] == {
        "command": WORKER, "args": ["mcp"], "env": {"B": "b", "A": "$A"}, "timeout": 9
    }  # fmt: skip
    command = f'\n\t\t"ours": {{\n\t\t\t"command": "{WORKER}",\n'
    assert command in completed
    assert newer.removed(completed) == newer.removed(old) == before
    assert with_part(newer, completed) == completed


def test_our_hooks_in_a_shared_group_are_removed() -> None:
    ours = [
        {"type": "command", "command": "worker prime"},
        {"type": "command", "command": "worker hook stop"},
    ]
    both = JsonEntries(
        hook("Stop", "worker prime"), hook("Stop", "worker hook stop")
    )
    group = json.dumps({"hooks": {"Stop": [{"hooks": ours}]}})
    mixed = json.dumps(
        {
            "hooks": {
                "Stop": [{"hooks": [ours[0], {"prompt": "Done?"}, ours[1]]}]
            }
        }
    )

    assert both.has(group)
    assert both.has(mixed)
    assert json.loads(both.removed(group) or "") == {"hooks": {"Stop": []}}
    assert json.loads(both.removed(mixed) or "") == {
        "hooks": {"Stop": [{"hooks": [{"prompt": "Done?"}]}]}
    }


def test_missing_entries_are_added_beside_existing_ones() -> None:
    old = '{"hooks": { // c\n"SessionStart": [ { "hooks": [ {"type": "command", "command": "worker prime"} ] } ]\n}}'

    added = with_part(HOOKS, old)

    assert HOOKS.has(added)
    assert (
        (HOOKS.removed(added) or "").split()
        == (HOOKS.removed(old) or "").split()
        == ['{"hooks":', "{", "//", "c", "}}"]
    )


SERVER = JsonEntries(
    ConfigEntry(labels=("s", "ours"), value={"command": "worker"})
)
OURS = '"ours": {"command": "worker"}'


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"s": {"a": 1, // of a\n  OURS\n}}', '{"s": {"a": 1 // of a\n}}'),
        ('{"s": {"a": 1, // of a\n  OURS }}', '{"s": {"a": 1 // of a\n   }}'),
        (
            '{"s": {"a": 1 /* of a */, OURS, "b": 2}}',
            '{"s": {"a": 1 /* of a */, "b": 2}}',
        ),
        (
            '{"s": {"a": 1, /* of a */ OURS, // of ours\n "b": 2}}',
            '{"s": {"a": 1 /* of a */ , // of ours\n "b": 2}}',
        ),
        (
            '{"s": { // head\n  OURS /* of ours */, "b": 2}}',
            '{"s": { // head\n   /* of ours */ "b": 2}}',
        ),
        (
            '{"s": {\n  OURS // of ours\n  , "b": 2\n}}',
            '{"s": { // of ours\n   "b": 2\n}}',
        ),
        ('{"s": { OURS // of ours\n}}', '{"s": { // of ours\n}}'),
        ('{ "s": { // head\n  OURS } }', '{ "s": { // head\n   } }'),
        ('// head\n{ "s": { OURS } }', "// head\n{}"),
        ('{ "s": { OURS } }\n// foot\n', "{}\n// foot\n"),
    ],
)
def test_comments_stay(text: str, left: str) -> None:
    assert SERVER.removed(text.replace("OURS", OURS)) == left
    SERVER.has(left)


def test_entries_added_by_others_stay() -> None:
    added = json.loads(HOOKS.added("{}"))
    added["hooks"]["Stop"].append(
        {"hooks": [{"type": "command", "command": "say"}]}
    )
    added["model"] = "x"

    left = HOOKS.removed(json.dumps(added, indent=4))

    assert left is not None
    assert json.loads(left) == {
        "hooks": {
            "Stop": [{"hooks": [{"type": "command", "command": "say"}]}]
        },
        "model": "x",
    }


def test_rewritten_file_keeps_nothing_of_ours() -> None:
    rewritten = json.dumps(json.loads(HOOKS.added('{"model": "x"}')), indent=2)

    left = HOOKS.removed(rewritten)

    assert left is not None
    assert json.loads(left) == {"model": "x"}


LETTERS = 'a"\\{}[],:/*é🙂 '
NAMES = st.sampled_from(
    [
        "hooks",
        "SessionStart",
        "Stop",
        "mcpServers",
        "ours",
        "a",
        'b"{',
        "é🙂",
        "//",
        "/*",
    ]
)
#: Space and comments for each place where some can be, in turns.
COMMENTS = st.sampled_from(["/* c */", " // c\n", '//[{"\r\n  ', "/*\n*/ "])
SPACES = st.lists(
    st.text(alphabet=" \t\n\r", max_size=3) | COMMENTS, min_size=1, max_size=7
).map(cycle)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(0, 9)
    | st.text(LETTERS, max_size=4)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2)
    ),
    max_leaves=6,
)
EVENTS = st.dictionaries(
    st.sampled_from(["SessionStart", "Stop", "PreToolUse"]),
    st.lists(VALUES, max_size=2),
)
SERVERS = st.dictionaries(st.sampled_from(["theirs", "x"]), VALUES)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "a": VALUES,
        "hooks": EVENTS,
        "mcpServers": SERVERS,
        "é🙂": VALUES,
    },
)


def spaced(value: Any, spaces: Iterator[str]) -> str:
    """Return JSON with space and comments wherever they are allowed."""
    if isinstance(value, dict):
        members = [
            f"{next(spaces)}{json.dumps(k)}{next(spaces)}:{spaced(v, spaces)}"
            for k, v in value.items()
        ]
        return f"{next(spaces)}{{{','.join(members) or next(spaces)}}}{next(spaces)}"
    if isinstance(value, list):
        return f"{next(spaces)}[{','.join(spaced(v, spaces) for v in value) or next(spaces)}]{next(spaces)}"
    return f"{next(spaces)}{json.dumps(value, ensure_ascii=bool(next(spaces)))}{next(spaces)}"


@given(st.builds(spaced, FILES, SPACES))
def test_any_json_is_restored_byte_for_byte(text: str) -> None:
    added = HOOKS.added(text)

    assert HOOKS.has(added)
    assert HOOKS.removed(added) == text
    assert with_part(HOOKS, added) == added


@given(st.builds(spaced, VALUES, SPACES) | st.text(LETTERS, max_size=20))
def test_any_text_is_restored_or_refused(text: str) -> None:
    try:
        added = with_part(HOOKS, text)
    except UnsupportedFile:
        return

    assert HOOKS.has(added)
    assert HOOKS.removed(added) == (None if is_blank(text) else text)
