"""Variables of a plan file, and the texts that they fill.

A plan declares its variables, and its texts name them as `${name}`. The texts are
filled after the file was parsed, so a value is always text and never YAML. A plan
without variables is taken as it is.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen

from taskorch_orchestrator.plan.yaml_reader import (
    MOST_MISTAKES,
    Mistake,
    Node,
    Step,
    path,
)

FIELD = "variables"
#: Maximum number of variables of a plan.
MOST_VARIABLES = 100
#: Variables that a message names.
NAMES_SHOWN = 10
#: What is copied of a text that is wrong, for a message that shows a part of it.
REST_CHARACTERS = 2 * limits.SHOWN_CHARACTERS
_FIELDS = ("default", "description")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
#: A placeholder, an escaped one, or the start of something that is neither.
_PLACEHOLDER = re.compile(r"\$\$\{|\$\{([A-Za-z][A-Za-z0-9_]{0,63})\}|\$\{")
#: What stands for "${" in the texts of a plan with variables.
ESCAPE = "$${"
#: What the messages about a missing and about an unknown variable begin with.
NO_VALUE = "This variable has no value and no default."
NOT_DECLARED = "The plan declares no variable"


class Variable(Frozen):
    """A variable that a plan declares."""

    name: str
    #: None for one that must be set.
    default: str | None
    description: str = ""


@dataclass(slots=True)
class Filled:
    """A document whose texts were filled, or the mistakes that prevent it."""

    #: The document without its variables.
    root: Node
    #: False for a plan that declares no variables.
    has_variables: bool = False
    mistakes: list[Mistake] = field(default_factory=list)


def declared(root: Node) -> tuple[Variable, ...]:
    """Return the variables that a document declares, without what is wrong in them."""
    if not isinstance(root.value, dict) or FIELD not in root.value:
        return ()
    found = root.value[FIELD].value
    if not isinstance(found, dict):
        return ()
    return tuple(
        Variable(
            name=name,
            default=_default(variable),
            description=_description(variable),
        )
        for name, variable in islice(found.items(), MOST_VARIABLES)
        if _NAME.fullmatch(name)
    )


def fill(
    root: Node, given: Mapping[str, str], offered: Mapping[str, str]
) -> Filled:
    """Fill the texts of a document with the values of its variables.

    `given` holds values by name; the other variables have the `offered` values or else
    their defaults.
    """
    if not isinstance(root.value, dict) or FIELD not in root.value:
        filled = Filled(root)
        if given:
            message = f"{NOT_DECLARED}s, so none can be set."
            filled.mistakes.append(_mistake(root, [], message))
        return filled
    rest = dict(root.value)
    declared = rest.pop(FIELD)
    filled = Filled(Node(root.line, rest), has_variables=True)
    wanted = {
        name: value
        for name, value in offered.items()
        if name in declared.value
    }
    values = _values(declared, {**wanted, **given}, filled.mistakes)
    if filled.mistakes:
        return filled
    texts = _Texts(values, filled.mistakes)
    texts.fill(filled.root, [])
    for name in sorted(values.keys() - texts.used):
        place = (
            declared.value[name]
            if isinstance(declared.value, dict)
            else declared
        )
        message = f"No text uses this variable. Write ${{{name}}} in one, or remove it."
        filled.mistakes.append(_mistake(place, [FIELD, name], message))
    return filled


def _values(
    declared: Node, given: Mapping[str, str], mistakes: list[Mistake]
) -> dict[str, str]:
    """Return the value of each variable, and add the mistakes in their declaration."""
    if not isinstance(declared.value, dict):
        message = "Expected a mapping of names to defaults."
        mistakes.append(_mistake(declared, [FIELD], message))
        return {}
    if len(declared.value) > MOST_VARIABLES:
        message = (
            f"There are {len(declared.value)} variables; at most "
            f"{MOST_VARIABLES} are allowed."
        )
        mistakes.append(_mistake(declared, [FIELD], message))
        return {}
    values: dict[str, str] = {}
    for name, variable in declared.value.items():
        mistakes += [
            _mistake(variable, [FIELD, name], message)
            for message in _mistakes_of(name, variable, given)
        ]
        default = _default(variable)
        values[name] = given.get(name, default or "")
    unknown = [name for name in given if name not in declared.value]
    for name in unknown[:MOST_VARIABLES]:
        message = (
            f"{NOT_DECLARED} {limits.shortened(name)!r}. "
            f"It declares {_listed(declared.value)}."
        )
        mistakes.append(_mistake(declared, [FIELD], message))
    return values


def _mistakes_of(
    name: str, variable: Node, given: Mapping[str, str]
) -> Iterator[str]:
    """Yield what is wrong with a variable: its name, its fields, or a missing value."""
    if not _NAME.fullmatch(name):
        yield (
            "A name has 1 to 64 letters, digits and '_', and starts with a letter."
        )
    if isinstance(variable.value, list):
        yield "Expected a default, or a mapping with default and description."
        return
    if isinstance(variable.value, dict):
        for key, node in variable.value.items():
            if key not in _FIELDS:
                shown = limits.shortened(key)
                yield f"Unknown field {shown!r}. Fields are {', '.join(_FIELDS)}."
            elif not isinstance(node.value, str):
                yield f"The {key} must be text."
    if name not in given and _default(variable) is None:
        yield f"{NO_VALUE} Use --set {limits.shortened(name)}=VALUE"
        return
    value = given.get(name, _default(variable) or "")
    try:
        limits.text(value, "value")
    except errors.Invalid as error:
        yield str(error)


def _default(variable: Node) -> str | None:
    """Return the default of a variable, or None."""
    if isinstance(variable.value, str):
        return variable.value
    if isinstance(variable.value, dict) and "default" in variable.value:
        default = variable.value["default"].value
        return default if isinstance(default, str) else ""
    return None


def _description(variable: Node) -> str:
    if not isinstance(variable.value, dict):
        return ""
    described = variable.value.get("description")
    if described is None or not isinstance(described.value, str):
        return ""
    return described.value


class _Texts:
    """Fills the texts of a document, and remembers which variables they use."""

    def __init__(
        self, values: Mapping[str, str], mistakes: list[Mistake]
    ) -> None:
        self.used: set[str] = set()
        self._values = values
        self._mistakes = mistakes
        #: Bytes that values may still add: short placeholders can become long texts.
        self._left = limits.PLAN_BYTES

    def fill(self, node: Node, steps: list[Step]) -> None:
        """Fill the texts under a node; it is nested 10 levels deep at most."""
        if isinstance(node.value, str):
            if "${" in node.value:
                node.value = self._filled(node, node.value, steps)
            return
        children = (
            node.value.items()
            if isinstance(node.value, dict)
            else enumerate(node.value)
        )
        for step, child in children:
            self.fill(child, [*steps, step])

    def _filled(self, node: Node, text: str, steps: Sequence[Step]) -> str:
        def value_of(found: re.Match[str]) -> str:
            if found[0] == ESCAPE:
                return "${"
            if len(self._mistakes) > MOST_MISTAKES:
                return ""
            name = found[1]
            if name is None:
                start = found.start()
                rest = limits.shortened(text[start : start + REST_CHARACTERS])
                message = (
                    f"{rest!r} does not start with a variable, such as ${{name}}. "
                    f"For the text '${{', write {ESCAPE}"
                )
            elif name not in self._values:
                message = (
                    f"${{{name}}} is not a variable of this plan. It declares "
                    f"{_listed(self._values)}. For the text itself, write "
                    f"{ESCAPE}{name}}}"
                )
            else:
                self.used.add(name)
                return self._taken(self._values[name], node, steps)
            self._mistakes.append(_mistake(node, steps, message))
            return ""

        return _PLACEHOLDER.sub(value_of, text)

    def _taken(self, value: str, node: Node, steps: Sequence[Step]) -> str:
        """Return a value, or "" once the plan would become too large."""
        if self._left < 0:
            return ""
        self._left -= len(value.encode(errors="replace"))
        if self._left < 0:
            message = f"The filled plan is longer than {limits.PLAN_BYTES} bytes (16 MiB)."
            self._mistakes.append(_mistake(node, steps, message))
            return ""
        return value


def _listed(names: Mapping[str, object]) -> str:
    """Return the names of variables for a message."""
    shown = [limits.shortened(name) for name in names][:NAMES_SHOWN]
    left_out = "" if len(names) <= NAMES_SHOWN else ", …"
    return (", ".join(shown) or "none") + left_out


def _mistake(node: Node, steps: Sequence[Step], message: str) -> Mistake:
    return Mistake(line=node.line, path=path(steps), message=message)
