"""The arguments of a request: strict JSON in the body of POST, the query of GET.

A program writes them, not a model: nothing is guessed, and what is unknown, given twice
or of another type is refused.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from taskorch.domain import errors, limits
from taskorch.mcp.arguments import Schema
from taskorch.mcp.tool import ToolArguments

#: Maximum depth of a body. A plan has five levels.
DEPTH = 20
#: The types of JSON in schemas -> those of Python.
TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": (int, float),  # such as 5.0
    "number": (int, float),
    "array": list,
    "object": dict,
}


def of_body(content: bytes, verb: type[ToolArguments]) -> ToolArguments:
    """Return the arguments in a body; an empty one has none. Raises errors.Usage."""
    given = _parsed(content) if content else {}
    kinds = verb.kinds()
    for name, value in given.items():
        if name in kinds:
            _need_type(name, value, kinds[name].schema)
    return _within_bounds(verb.parse(given))


def of_query(query: str, verb: type[ToolArguments]) -> ToolArguments:
    """Return the arguments in a query. Raises errors.Usage."""
    kinds = verb.kinds()
    given: dict[str, Any] = {}
    for name, value in pairs_of(query):
        if name in kinds and kinds[name].schema.get("type") == "array":
            given.setdefault(name, []).append(value)
        elif name in given:
            raise _given_twice(name)
        else:
            given[name] = value
    arguments = verb.parse(given)
    for name in given:
        _need_choice(name, getattr(arguments, name), kinds[name].schema)
    return _within_bounds(arguments)


def pairs_of(query: str) -> Iterable[tuple[str, str]]:
    """Return the names and values of a query. Raises errors.Usage."""
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError:
        raise errors.Usage(reason="The query is not valid UTF-8.") from None


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(
            content.decode(),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError):
        raise errors.Usage(reason="The body is not JSON.") from None
    if not isinstance(parsed, dict):
        raise errors.Usage(reason="The body is not a JSON object.")
    _check(parsed)
    return parsed


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise _given_twice(name)
        found[name] = value
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise errors.Usage(reason=f"{name} is not JSON.")


def _check(parsed: object) -> None:
    """Refuse values that are too deep, numbers without end and halves of characters."""
    level: list[object] = [parsed]
    for _ in range(DEPTH):
        level = [member for value in level for member in _members(value)]
        if not level:
            return
    raise errors.Usage(reason=f"The body has more than {DEPTH} levels.")


def _members(value: object) -> Iterator[object]:
    if isinstance(value, str):
        _need_characters(value)
    elif isinstance(value, float) and not isfinite(value):
        raise errors.Usage(reason="A number is too large.")
    elif isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from value
        yield from value.values()


def _need_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise errors.Usage(
            reason="A text has half a character (a surrogate)."
        ) from None


def _need_type(name: str, value: object, schema: Schema) -> None:
    """Raise errors.Usage for a value of another type than its schema says."""
    kind = schema.get("type")
    if kind is None:
        return
    is_of_type = isinstance(value, TYPES[kind])
    if isinstance(value, bool) != (kind == "boolean") or not is_of_type:
        raise errors.Usage(reason=f"{name} is not of the type {kind}.")
    _need_choice(name, value, schema)
    if isinstance(value, list):
        for number, each in enumerate(value):
            _need_type(f"{name}.{number}", each, schema.get("items", {}))
    if isinstance(value, dict):
        others = schema.get("additionalProperties", {})
        own = schema.get("properties", {})
        for key, each in value.items():
            shown = limits.shortened(key)
            _need_type(f"{name}.{shown}", each, own.get(key, others))


def _need_choice(name: str, value: object, schema: Schema) -> None:
    values = value if isinstance(value, (list, tuple)) else [value]
    choices = schema.get("items", schema).get("enum")
    if choices and any(each not in choices for each in values):
        known = ", ".join(repr(choice) for choice in choices if choice)
        raise errors.Usage(reason=f"{name} must be one of {known}.")


def _within_bounds(arguments: ToolArguments) -> ToolArguments:
    """Return arguments whose numbers are within their bounds. Raises errors.Invalid."""
    for name, kind in arguments.kinds().items():
        value, schema = getattr(arguments, name), kind.schema
        least, most = schema.get("minimum"), schema.get("maximum")
        if value is None or least is None:
            continue
        if not least <= value <= most:
            raise errors.Invalid(
                reason=f"{name} is {value}. It must be {least} to {most:g}."
            )
    return arguments


def _given_twice(name: str) -> errors.Usage:
    return errors.Usage(reason=f"{limits.shortened(name)} is given twice.")
