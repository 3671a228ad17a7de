"""Frozen classes take keywords, compare by value and cannot be changed."""

from typing import Any, cast

import pytest
from taskorch.cli import json_output
from taskorch.domain.frozen import Frozen, members, replace


class Point(Frozen):
    _secret = ("code",)

    x: int
    y: int = 0
    code: str = ""


class Named(Point):
    name: str


class Pair(Frozen):
    _flat = "first"

    first: Point
    second: Point


def test_missing_field_has_its_default() -> None:
    assert list(members(Point(x=1))) == [("x", 1), ("y", 0), ("code", "")]


@pytest.mark.parametrize(
    ("values", "message"),
    [({"y": 1}, "needs x"), ({"x": 1, "z": 1}, "has no z")],
)
def test_missing_and_unknown_fields_are_refused(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        Point(**values)


def test_fields_cannot_be_changed() -> None:
    point = cast(Any, Point(x=1))

    with pytest.raises(AttributeError):
        point.x = 2
    with pytest.raises(AttributeError):
        del point.x
    assert point.x == 1


def test_equal_values_are_equal_and_hash_alike() -> None:
    assert Point(x=1) == Point(x=1, y=0)
    assert len({Point(x=1), Point(x=1, y=0), Point(x=2)}) == 2
    assert Point(x=1) != Pair(first=Point(x=1), second=Point(x=1))
    assert Point(x=1) != 1


def test_replace_leaves_the_original_unchanged() -> None:
    point = Point(x=1, y=2)

    moved = replace(point, x=3)

    assert (moved, point) == (Point(x=3, y=2), Point(x=1, y=2))
    with pytest.raises(TypeError):
        replace(point, z=1)


def test_subclass_has_fields_of_both_classes() -> None:
    named = Named(x=1, name="here")

    assert dict(members(named)) == {"x": 1, "y": 0, "code": "", "name": "here"}


def test_secret_field_is_not_in_repr() -> None:
    assert repr(Point(x=1, code="hunter2")) == "Point(x=1, y=0)"


def test_flat_field_is_merged_in_json() -> None:
    pair = Pair(first=Point(x=1), second=Point(x=2))

    assert json_output.plain(pair) == {
        "x": 1,
        "y": 0,
        "code": "",
        "second": {"x": 2, "y": 0, "code": ""},
    }
