"""The prelude keeps nothing from one call to the next."""

import re

import pytest
from taskorch.queue import scripts

PARTS = dict.fromkeys((*scripts.PRELUDE, *sum(scripts.PARTS.values(), ())))
NAME = r"[A-Za-z_]\w*"


def code(part: str) -> str:
    return re.sub(r"--.*", "", scripts.source(f"prelude/{part}"))


def names(listed: str) -> list[str]:
    return re.findall(NAME, listed)


def set_at_begin() -> set[str]:
    """Return the variables that `begin_call` sets."""
    _, _, rest = code("call").partition("local function begin_call(")
    body = rest.partition("\nend\n")[0]
    lists = re.findall(rf"^  ((?:{NAME}, )*{NAME}) = ", body, re.MULTILINE)
    return {name for listed in lists for name in names(listed)}


def variables_without_value(lua: str) -> set[str]:
    """Return the variables of a part that are declared for a later value."""
    declared = re.findall(rf"^local ((?:{NAME}, )*{NAME})$", lua, re.MULTILINE)
    return {name for listed in declared for name in names(listed)}


def test_each_call_begins_with_all_variables_set() -> None:
    declared = variables_without_value(code("call"))

    assert declared
    assert set_at_begin() >= declared


@pytest.mark.parametrize("part", PARTS)
def test_part_changes_only_what_a_call_resets(part: str) -> None:
    lua = code(part)
    defined = re.findall(rf"^local ((?:{NAME}, )*{NAME}) =", lua, re.MULTILINE)

    changed = {
        name
        for listed in defined
        for name in names(listed)
        if re.search(rf"^ +{name}(?:\[.*?\])? =", lua, re.MULTILINE)
        and not re.search(rf"^ +local {name}\b", lua, re.MULTILINE)
    }

    assert not changed
