"""Hints for an agent that has tools and no shell: commands become tools.

"worker get item_1a2b3c4d --peek" becomes "the tool get with item=item_1a2b3c4d, peek=true".
"""

import re
from collections.abc import Mapping, Sequence

from taskorch.domain.frozen import Frozen

#: An argument of a command: an option, a PLACEHOLDER, a number, an id, or a name before
#: an option or the end of the sentence.
_ARGUMENT = (
    r"--[a-z][a-z-]*|[A-Z]{2,}\b|\"[A-Z]+\"|N\b|[0-9]+\b|(?:item|proj)_\w+"
    r"|[A-Za-z0-9][\w-]*(?:\.[\w-]+)*(?= --|\.?$|\. |,)"
)
#: A command of ours with its arguments.
_COMMAND = re.compile(
    r"\b(?:worker|orchestrate) (?P<name>schedule (?:list|remove|run)|[a-z][a-z-]*)"
    rf"(?P<arguments>(?: (?:{_ARGUMENT}))*)"
)
#: An option on its own, with the value that may follow.
_OPTION = re.compile(
    r"--(?P<name>[a-z][a-z-]*)(?: (?P<value>[0-9][0-9a-z:_-]*))?"
)


class Tool(Frozen):
    """The tool that does what a command does."""

    name: str
    #: The arguments for the positional ones of the command.
    positional: Sequence[str] = ()
    #: The arguments that stand for the command itself.
    fixed: Mapping[str, str] = {}
    #: The options of the command that are followed by a value.
    valued: Sequence[str] = ()


#: A command -> its tool. "get --peek" is the command with this option. None: there is no
#: tool, and the sentence with the command is left out.
Tools = Mapping[str, Tool | None]


def for_tools(text: str, tools: Tools) -> str:
    """Return a hint with the tools in place of the commands that they replace.

    Commands without a tool stay: a person can type them.
    """

    def tool(found: re.Match[str]) -> str:
        words = found["arguments"].replace('"', "").split()
        for option in (word for word in words if word.startswith("--")):
            if known := tools.get(f"{found['name']} {option}"):
                words.remove(option)
                return _call(known, words)
        known = tools.get(found["name"])
        return _call(known, words) if known else found[0]

    sentences = [
        sentence
        for sentence in re.split(r"(?<=\.) ", text)
        if not any(
            tools.get(found["name"], ...) is None
            for found in _COMMAND.finditer(sentence)
        )
    ]
    translated = _COMMAND.sub(tool, " ".join(sentences))
    translated = translated.replace(
        "rerun this command", "call this tool again"
    )
    if translated == text and _COMMAND.search(text):
        # It is about a command without a tool, whose options stay.
        return translated
    return _OPTION.sub(_argument, translated)


def _call(tool: Tool, words: Sequence[str]) -> str:
    """Return a tool with the arguments that a command had."""
    given = [f"{name}={value}" for name, value in tool.fixed.items()]
    positional = iter(tool.positional)
    at = 0
    while at < len(words):
        word = words[at]
        following = words[at + 1] if at + 1 < len(words) else ""
        if not word.startswith("--"):
            if name := next(positional, ""):
                given.append(f"{name}={word}")
        elif word[2:] in tool.valued or re.fullmatch("[0-9]+|N", following):
            given.append(f"{_name(word[2:])}={following}")
            at += 1
        else:
            given.append(f"{_name(word[2:])}=true")
        at += 1
    return f"the tool {tool.name}" + (
        f" with {', '.join(given)}" if given else ""
    )


def _argument(option: re.Match[str]) -> str:
    value = option["value"]
    return _name(option["name"]) + (f"={value}" if value else "")


def _name(option: str) -> str:
    return option.replace("-", "_")
