"""The types of a tool's arguments: the JSON schema of each, and its check.

Only what the tools use: pydantic knows more, and takes longer to import than a client
waits for the tools.
"""

from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

from taskorch.domain.frozen import Frozen

Schema = Mapping[str, Any]


class Kind(Frozen):
    """A type of arguments."""

    schema: Schema
    #: Name and value of an argument -> its value as this type. Raises ValueError.
    read: Callable[[str, object], Any]


def kind_of(annotation: object) -> Kind:
    """Return the kind of an annotated field.

    In Annotated, a text is the description, and a mapping replaces the schema.
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _described(kind_of(inner[0]), inner[1:])
    if origin is UnionType:
        (known,) = (one for one in inner if one is not NoneType)
        return kind_of(known)
    if origin is Literal:
        return _choice(inner)
    if origin in (tuple, list):
        return _list(kind_of(inner[0]))
    if origin is dict:
        return _object(kind_of(inner[1]))
    return _PLAIN[annotation]


def _described(kind: Kind, more: tuple[object, ...]) -> Kind:
    schema = dict(kind.schema)
    for each in more:
        if isinstance(each, str):
            schema["description"] = each
        elif isinstance(each, Mapping):
            schema = dict(each)
    return Kind(schema=schema, read=kind.read)


def _choice(values: tuple[str, ...]) -> Kind:
    def read(name: str, value: object) -> str:
        if value not in values:
            known = ", ".join(repr(each) for each in values if each)
            raise ValueError(f"{name} must be one of {known}")
        return str(value)

    return Kind(schema={"type": "string", "enum": list(values)}, read=read)


def _list(entry: Kind) -> Kind:
    def read(name: str, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"{name} must be a list")  # noqa: TRY004
        return tuple(
            entry.read(f"{name}.{number}", each)
            for number, each in enumerate(value)
        )

    return Kind(schema={"type": "array", "items": entry.schema}, read=read)


def _object(entry: Kind) -> Kind:
    def read(name: str, value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"{name} must be an object")  # noqa: TRY004
        return {
            key: entry.read(f"{name}.{key}", each)
            for key, each in value.items()
        }

    return Kind(schema={"type": "object"}, read=read)


def _read_text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{name} must be a string")


def _read_flag(name: str, value: object) -> bool:
    known = {True: True, "true": True, False: False, "false": False}
    if isinstance(value, (bool, str)) and value in known:
        return known[value]
    raise ValueError(f"{name} must be true or false")


def _read_number(name: str, value: object) -> float:
    # a model may write a number as text
    if isinstance(value, str) and value.replace(".", "", 1).isdecimal():
        return float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise ValueError(f"{name} must be a number")


def _read_whole_number(name: str, value: object) -> int:
    number = _read_number(name, value)
    if isinstance(number, float) and not number.is_integer():
        raise ValueError(f"{name} must be a whole number")
    return int(number)


def _read_anything(_: str, value: object) -> object:
    return value


_PLAIN: Mapping[object, Kind] = {
    str: Kind(schema={"type": "string"}, read=_read_text),
    bool: Kind(schema={"type": "boolean"}, read=_read_flag),
    int: Kind(schema={"type": "integer"}, read=_read_whole_number),
    float: Kind(schema={"type": "number"}, read=_read_number),
    object: Kind(schema={}, read=_read_anything),
}
