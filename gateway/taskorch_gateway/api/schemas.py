"""JSON schemas of results, made from the classes that hold them.

They describe what `taskorch.cli.json_output` makes of a value.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from taskorch.domain import item, timeline
from taskorch.domain.events import Event
from taskorch.domain.frozen import Frozen

Schema = dict[str, Any]
#: Classes that others name in quotes, because they import them only for a type checker.
_NAMED: Mapping[str, object] = {
    **{
        name: value
        for module in (item, timeline)
        for name, value in vars(module).items()
        if isinstance(value, type)
    },
    "Event": Event,
}
_PLAIN: Mapping[object, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    object: {},
}
TIME: Schema = {"type": ["string", "null"], "format": "date-time"}


class Schemas:
    """The schemas of a description: each class once."""

    def __init__(self) -> None:
        #: Name of a class -> its schema.
        self.components: dict[str, Schema] = {}

    def of(self, annotation: object) -> Schema:
        """Return the schema of a type; classes are references to the components."""
        origin, inner = get_origin(annotation), get_args(annotation)
        if origin in (UnionType, Union):
            return {"anyOf": [self.of(each) for each in inner]}
        if origin in (tuple, list):
            return {"type": "array", "items": self.of(inner[0])}
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {
                "type": "object",
                "additionalProperties": self.of(inner[1]),
            }
        if not isinstance(annotation, type):
            raise TypeError(f"{annotation} has no schema.")
        if issubclass(annotation, StrEnum):
            return {
                "type": "string",
                "enum": [each.value for each in annotation],
            }
        if issubclass(annotation, Frozen):
            return self._reference(annotation)
        return dict(_PLAIN[annotation])

    def _reference(self, kind: type[Frozen]) -> Schema:
        name = kind.__name__
        if name not in self.components:
            self.components[name] = {}  # it may contain itself
            self.components[name] = self._object(kind)
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, kind: type[Frozen]) -> Schema:
        properties = self._properties(kind)
        return {
            "type": "object",
            "description": (kind.__doc__ or "").partition("\n")[0],
            "properties": properties,
            "required": list(properties),
        }

    def _properties(self, kind: type[Frozen]) -> dict[str, Schema]:
        hints = get_type_hints(kind, localns=dict(_NAMED))
        found: dict[str, Schema] = {}
        for name in kind._names:  # noqa: SLF001  the fields of the class
            if name in kind._hidden:  # noqa: SLF001
                continue
            hint = hints[name]
            is_time = name in ("at", "since") or name.endswith("_at")
            if name == kind._flat:  # noqa: SLF001
                found |= self._properties(hint)
            elif is_time and hint is int:
                found[name] = dict(TIME)
            else:
                found[name] = self.of(hint)
        return found
