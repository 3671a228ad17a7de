"""What carries data: given by keyword, equal by value, and not to be changed."""

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


def test_a_field_that_is_not_given_has_its_default() -> None:
    assert list(members(Point(x=1))) == [("x", 1), ("y", 0), ("code", "")]


@pytest.mark.parametrize(
    ("values", "told"), [({"y": 1}, "needs x"), ({"x": 1, "z": 1}, "has no z")]
)
def test_a_field_that_lacks_or_is_unknown_is_refused(
    values: dict[str, Any], told: str
) -> None:
    with pytest.raises(TypeError, match=told):
        Point(**values)


def test_nothing_of_it_changes() -> None:
    point = cast(Any, Point(x=1))

    with pytest.raises(AttributeError):
        point.x = 2
    with pytest.raises(AttributeError):
        del point.x
    assert point.x == 1


def test_equal_values_make_equals_of_the_same_class_and_hash_alike() -> None:
    assert Point(x=1) == Point(x=1, y=0)
    assert len({Point(x=1), Point(x=1, y=0), Point(x=2)}) == 2
    assert Point(x=1) != Pair(first=Point(x=1), second=Point(x=1))
    assert Point(x=1) != 1


def test_a_replacement_has_other_values_and_leaves_the_old_one_alone() -> None:
    point = Point(x=1, y=2)

    moved = replace(point, x=3)

    assert (moved, point) == (Point(x=3, y=2), Point(x=1, y=2))
    with pytest.raises(TypeError):
        replace(point, z=1)


def test_a_subclass_has_the_fields_of_both() -> None:
    named = Named(x=1, name="here")

    assert dict(members(named)) == {"x": 1, "y": 0, "code": "", "name": "here"}


def test_a_secret_is_not_shown() -> None:
    assert repr(Point(x=1, code="hunter2")) == "Point(x=1, y=0)"


def test_a_flat_field_stands_beside_the_others_in_json() -> None:
    pair = Pair(first=Point(x=1), second=Point(x=2))

    assert json_output.plain(pair) == {
        "x": 1,
        "y": 0,
        "code": "",
        "second": {"x": 2, "y": 0, "code": ""},
    }
