"""What is known and does not change: the base of the classes that carry data.

class Lease(Frozen):
    item: str
    token: int = 0

A dataclass has source text written and compiled for it, which takes 0.4 ms a class, in each of the short processes that
commands are. Here one method serves all classes; for a reader and for mypy they are frozen dataclasses.
"""

from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar, dataclass_transform

F = TypeVar("F", bound="Frozen")


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Frozen:
    """Values under names, given by keyword; equal to another of its class with equal values."""

    _names: tuple[str, ...] = ()
    #: A field whose own fields stand beside the others in JSON, so that an item is the same object everywhere.
    _flat = ""
    #: Fields that are left out of JSON.
    _hidden: tuple[str, ...] = ()
    #: Fields that are never shown.
    _secret: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._names = (*cls._names, *cls.__annotations__)

    def __init__(self, **values: Any) -> None:  # noqa: ANN401  the fields say their types
        for name in self._names:
            if name not in values and not hasattr(self, name):
                raise TypeError(f"{type(self).__name__} needs {name}.")
        if not values.keys() <= set(self._names):
            raise TypeError(
                f"{type(self).__name__} has no {', '.join(values.keys() - set(self._names))}."
            )
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} does not change: see replace().")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} does not change: see replace().")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and dict(members(self)) == dict(members(other))

    def __hash__(self) -> int:
        return hash((type(self), *(value for _, value in members(self))))

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={value!r}"
            for name, value in members(self)
            if name not in self._secret
        )
        return f"{type(self).__name__}({shown})"


def members(known: Frozen) -> Iterator[tuple[str, object]]:
    """Return the name and the value of each field, in their order."""
    return ((name, getattr(known, name)) for name in known._names)  # noqa: SLF001


def is_hidden(known: Frozen, name: str) -> bool:
    """Return whether a field is left out of JSON."""
    return name in known._hidden  # noqa: SLF001


def flat(known: Frozen) -> str:
    """Return the name of the field whose own fields stand beside the others in JSON; "" where there is none."""
    return known._flat  # noqa: SLF001


def replace(known: F, **changes: object) -> F:
    """Return the same with other values for some fields; raises TypeError for a field that it does not have."""
    return type(known)(**{**dict(members(known)), **changes})
