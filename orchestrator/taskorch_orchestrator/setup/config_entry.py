"""An entry of ours in a configuration file: how it is found there and completed.

An entry is found by its command, or by the address of its server. The path of the
command does not matter, and neither do options or members that the user has added, or
the gateway that the address names.
"""

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias, cast

from taskorch.domain.frozen import Frozen

from taskorch_orchestrator.setup.remote_server import ADDRESSES, server_in

Json: TypeAlias = "str | int | bool | Sequence[Json] | dict[str, Json] | None"

#: The members that tell which entry it is.
IDENTITY = ("command", *ADDRESSES)


class ConfigEntry(Frozen):
    """An object with a command or a server of ours, or a text, in a file."""

    #: The keys that lead to the entry; None for a place in a list.
    labels: tuple[str | None, ...]
    value: str | dict[str, Json]
    #: Members with a value that is removed from the entry.
    without: Mapping[str, Json] = MappingProxyType({})

    def is_in(self, value: object) -> bool:
        """Return whether a value is, or contains, this entry in any of its forms."""
        if isinstance(self.value, str):
            return value == self.value
        if server_in(self.value):
            return server_in(value) is not None
        ours = _words(_argv(self.value))
        return any(ours <= _words(argv) for argv in _commands(value))

    def completed(self, value: Json) -> Json:
        """Return the value of an existing entry with what it lacks.

        Members of others stay, and so does a value that the user has changed, except for
        the address of a server.
        """
        whole = merged(self.value, value)
        if not isinstance(whole, dict) or isinstance(self.value, str):
            return whole
        if server_in(self.value):
            whole |= {
                name: member
                for name, member in self.value.items()
                if name in ADDRESSES
            }
        elif isinstance(value, dict) and "command" in value:
            whole["command"] = value[
                "command"
            ]  # words of a list are not members
        if "command" in self.value and _has_lost_program(whole, self.value):
            whole["command"] = self.value["command"]
        return {
            name: member
            for name, member in whole.items()
            if name not in self.without or self.without[name] != member
        }


def merged(ours: Json, theirs: Json) -> Json:
    """Return a value with additions from ours. In a conflict, theirs wins."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        additions = {
            name: merged(value, theirs.get(name, value))
            for name, value in ours.items()
        }
        return theirs | additions
    if isinstance(ours, list) and isinstance(theirs, list):
        missing = [
            value for value in cast("list[Json]", ours) if value not in theirs
        ]
        return [*theirs, *missing]
    return theirs


def _has_lost_program(theirs: dict[str, Json], ours: dict[str, Json]) -> bool:
    """Return whether an existing command is ours under a path that is not usable.

    A name is not usable if ours is a path, because the name was not found.
    """
    program, *arguments = _argv(theirs)
    our_program, *our_arguments = _argv(ours)
    if arguments != our_arguments or program == our_program:
        return False
    path, our_path = Path(program), Path(our_program)
    if path.name != our_path.name:
        return False
    if path.is_absolute():
        return not os.access(path, os.X_OK)
    return program == path.name


def _commands(value: object) -> Iterator[list[str]]:
    """Yield the words of each command in a value."""
    if isinstance(value, list):
        for inner in value:
            yield from _commands(inner)
    if isinstance(value, dict):
        for inner in value.values():
            yield from _commands(inner)
        if "command" in value:
            yield _argv(value)


def _argv(value: Mapping[str, object]) -> list[str]:
    """Return a command and its arguments; a hook is one line of a shell.

    Options of a server are left out: they do not tell which command it is.
    """
    words, arguments = value["command"], value.get("args")
    if isinstance(words, list) and words:
        words, arguments = words[0], words[1:]
    command = str(words)
    if isinstance(arguments, list):
        return [command, *filter(_is_no_option, map(str, arguments))]
    try:
        return shlex.split(command) or [command]
    except ValueError:  # a quotation without an end
        return command.split() or [command]


def _is_no_option(word: str) -> bool:
    return not word.startswith("-")


def _words(argv: Sequence[str]) -> set[str]:
    """Return the words of a command; those of a path are not, except for its last."""
    words = set[str]()
    for argument in argv:
        if argument.startswith("/"):
            words.add(Path(argument).name)
        else:
            words.update(re.findall(r"""[^\s/"'\[\],]+""", argument))
    return words
