"""Tells whether a command always succeeds, as a check that proves nothing does.

A command that is not known here may fail. Nothing is run.
"""

import os
import shlex
from collections.abc import Sequence

#: Commands that succeed whatever their arguments are.
HARMLESS = frozenset((":", "true", "echo", "printf", "sleep", "yes"))
#: Commands that succeed without arguments: they read nothing that may be missing.
HARMLESS_ALONE = frozenset(
    ("cat", "date", "id", "ls", "pwd", "uname", "wait", "whoami")
)
#: Commands that run the command behind their own options.
WRAPPERS = frozenset((
    "busybox", "command", "env", "exec", "nice", "nohup", "setsid", "stdbuf", "sudo", "time", "timeout",
))  # fmt: skip
#: Wrappers whose first argument is their own, such as the time of `timeout 5 make`.
WITH_ARGUMENT = frozenset(("timeout",))
SHELLS = frozenset(("sh", "ash", "bash", "dash", "ksh", "zsh"))
#: What ends a command in a shell script; after some, the next one decides the status.
SEPARATORS = frozenset((";", "\n", "&"))
#: Without a status, `exit` has that of the command before it.
EXIT = ["exit"]
#: Scripts longer than this are not looked at.
SCRIPT_CHARACTERS = 2000
#: Wrappers and shells inside each other.
DEPTH = 8


def cannot_fail(command: Sequence[str], depth: int = 0) -> bool:
    """Return whether a command, as an argument list, is known to succeed always."""
    if not command or depth == DEPTH:
        return not command
    name, rest = os.path.basename(command[0]), list(command[1:])
    if name in WRAPPERS:
        return cannot_fail(_wrapped(name, rest), depth + 1)
    if name in SHELLS:
        return _shell_cannot_fail(rest, depth)
    return _is_harmless(name, rest)


def _is_harmless(name: str, rest: Sequence[str]) -> bool:
    """Return whether a command succeeds always with these arguments."""
    if name in HARMLESS or [name, *rest] == ["exit", "0"]:
        return True
    if name in HARMLESS_ALONE:
        return not rest
    if name in ("test", "["):
        return _is_text_alone(name, rest)
    if name.startswith("python") and rest[:1] == ["-c"]:
        return all(line.strip() in ("", "pass") for line in rest[1:2])
    return False


def _is_text_alone(name: str, rest: Sequence[str]) -> bool:
    """Return whether `test` has one word, which is a text that is not empty."""
    words = rest[:-1] if name == "[" else rest
    return (
        len(words) == 1 and words[0] not in ("", "!") and "$" not in words[0]
    )


def _wrapped(name: str, rest: list[str]) -> list[str]:
    """Return the command behind the options and variables of a wrapper."""
    while rest and (rest[0].startswith("-") or "=" in rest[0]):
        rest = rest[1:]
    return rest[1:] if name in WITH_ARGUMENT else rest


def _shell_cannot_fail(rest: Sequence[str], depth: int) -> bool:
    """Return whether a shell with these arguments succeeds always.

    Without a script, it reads an empty standard input.
    """
    for place, word in enumerate(rest):
        is_option = word.startswith("-") and not word.startswith("--")
        if is_option and "c" in word:
            script = "".join(rest[place + 1 : place + 2])
            ends_at_failure = any("e" in each for each in rest[: place + 1])
            return _script_cannot_fail(
                script, ends_at_failure=ends_at_failure, depth=depth
            )
        if not word.startswith("-"):
            return False
    return True


def _script_cannot_fail(
    script: str, *, ends_at_failure: bool, depth: int
) -> bool:
    """Return whether the last command of a shell script decides that it succeeds."""
    words = _words(script)
    if words is None:
        return False
    lists: list[list[str]] = [[]]
    for word in words:
        if word in SEPARATORS:
            lists.append([])
        else:
            lists[-1].append(word)
    lists = [each for each in lists if each]
    while lists and lists[-1] == EXIT:
        lists.pop()
    lists = lists or [[":"]]
    if ends_at_failure or ["set", "-e"] in [each[:2] for each in lists]:
        return all(_list_cannot_fail(each, depth) for each in lists)
    return _list_cannot_fail(lists[-1], depth)


def _words(script: str) -> list[str] | None:
    """Return the words and the operators of a script; None if they are not clear."""
    if len(script) > SCRIPT_CHARACTERS or "$(" in script or "`" in script:
        return None
    lexer = shlex.shlex(
        script.replace("\n", " ; "), posix=True, punctuation_chars=";&|"
    )
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:
        return None


def _list_cannot_fail(words: Sequence[str], depth: int) -> bool:
    """Return whether commands that are joined by && and || succeed always."""
    result, operator, command = True, "&&", list[str]()
    for word in [*words, "&&"]:
        if word not in ("&&", "||", "|"):
            command.append(word)
            continue
        if command == EXIT:
            operator, command = word, []
            continue
        succeeds = cannot_fail(command, depth + 1)
        if operator == "&&":
            result = result and succeeds
        elif operator == "||":
            result = result or succeeds
        else:  # the last command of a pipeline decides
            result = succeeds
        operator, command = word, []
    return result
