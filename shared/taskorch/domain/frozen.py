"""The base of all classes that hold data: frozen, with keywords, cheap to define.

class Lease(Frozen):
    item: str
    token: int = 0

For a reader and for mypy, the subclasses are frozen dataclasses. A real dataclass
generates and compiles source text, which takes 0.4 ms per class in every short command.
Here, one method serves all classes.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any, NoReturn, TypeVar, dataclass_transform

F = TypeVar("F", bound="Frozen")


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Frozen:
    """A record of named values, equal to another of its class with equal values."""

    _names: tuple[str, ...] = ()
    #: The names, and those without a default, to check values with two comparisons.
    _known: frozenset[str] = frozenset()
    _needed: frozenset[str] = frozenset()
    #: The field whose own fields are merged into the object in JSON, or "". So an item
    #: is the same object everywhere.
    _flat = ""
    #: The fields that are left out of JSON.
    _hidden: tuple[str, ...] = ()
    #: The fields that `repr` leaves out.
    _secret: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._names = (*cls._names, *cls.__annotations__)
        cls._known = frozenset(cls._names)
        cls._needed = frozenset(
            name for name in cls._names if not hasattr(cls, name)
        )

    def __init__(self, **values: Any) -> None:  # noqa: ANN401  the fields say their types
        if not self._needed <= values.keys() <= self._known:
            raise self._misfit(values.keys())
        self.__dict__.update(values)

    def _misfit(self, given: AbstractSet[str]) -> TypeError:
        """Return the error for values that are not those of the class."""
        kind = type(self).__name__
        for name in self._names:
            if name in self._needed - given:
                return TypeError(f"{kind} needs {name}.")
        return TypeError(f"{kind} has no {', '.join(given - self._known)}.")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            f"{type(self).__name__} does not change: see replace()."
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"{type(self).__name__} does not change: see replace()."
        )

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and dict(members(self)) == dict(
            members(other)
        )

    def __hash__(self) -> int:
        return hash((type(self), *(value for _, value in members(self))))

    def __repr__(self) -> str:
        shown = []
        for name, value in members(self):
            if name not in self._secret:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def members(known: Frozen) -> Iterator[tuple[str, object]]:
    """Return the name and the value of each field, in order."""
    return ((name, getattr(known, name)) for name in known._names)  # noqa: SLF001


def is_hidden(known: Frozen, name: str) -> bool:
    """Tell whether a field is left out of JSON."""
    return name in known._hidden  # noqa: SLF001


def flat(known: Frozen) -> str:
    """Return the field whose own fields are merged into the object in JSON, or ""."""
    return known._flat  # noqa: SLF001


def replace(known: F, **changes: object) -> F:
    """Return a copy with other values; TypeError for an unknown field."""
    return type(known)(**{**dict(members(known)), **changes})
