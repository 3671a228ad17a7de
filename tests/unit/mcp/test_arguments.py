"""The arguments of a tool: the schema that a client lists, and the check of a call."""

from typing import Annotated, Any, Literal

import pytest
from taskorch.domain import errors
from taskorch.mcp.tool import ToolArguments, ToolResult, listed


class Draw(ToolArguments):
    """Draw a picture,
    or several.
    """

    name = "draw"
    idempotent = True
    title: Annotated[str, "What it shows"]
    number: int = 1
    scale: float = 0
    bold: bool = False
    style: Literal["plain", "fine"] = "plain"
    colours: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    notes: dict[str, str] = {}  # noqa: RUF012
    frame: int | None = None
    parts: Annotated[list[object], {"type": "array", "items": {}}] = ()  # type: ignore[assignment]

    def perform(self, _: object) -> ToolResult:
        return ToolResult(self.title)


def test_listed_tool_describes_each_argument() -> None:
    assert listed(Draw) == {
        "name": "draw",
        "description": "Draw a picture, or several.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "title": {"type": "string", "description": "What it shows"},
                "number": {"type": "integer", "default": 1},
                "scale": {"type": "number"},
                "bold": {"type": "boolean"},
                "style": {
                    "type": "string",
                    "enum": ["plain", "fine"],
                    "default": "plain",
                },
                "colours": {"type": "array", "items": {"type": "string"}},
                "sizes": {"type": "array", "items": {"type": "integer"}},
                "notes": {"type": "object"},
                "frame": {"type": "integer"},
                "parts": {"type": "array", "items": {}},
            },
            "required": ["title"],
        },
        "annotations": {
            "readOnlyHint": False,
            "destructiveHint": False,
            "idempotentHint": True,
            "openWorldHint": False,
        },
    }


@pytest.mark.parametrize(
    ("argument", "given", "read"),
    [
        ("number", 3, 3),
        ("number", 3.0, 3),
        ("number", "3", 3),
        ("number", None, 1),
        ("scale", 2, 2),
        ("scale", "0.5", 0.5),
        ("bold", True, True),
        ("bold", "false", False),
        ("style", "fine", "fine"),
        ("colours", ["red", "blue"], ("red", "blue")),
        ("colours", None, ()),
        ("sizes", [1, "2"], (1, 2)),
        ("notes", {"a": "b"}, {"a": "b"}),
        ("frame", 0, 0),
        ("frame", None, None),
        ("parts", [{"a": [1]}, None], ({"a": [1]}, None)),
    ],
)
def test_argument_is_read_as_its_type(
    argument: str, given: object, read: object
) -> None:
    drawn = Draw.parse({"title": "x", argument: given})

    assert getattr(drawn, argument) == read
    assert drawn.title == "x"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "The argument title is missing."),
        ({"title": None}, "title must be a string."),
        ({"title": 7}, "title must be a string."),
        ({"title": "x", "number": 1.5}, "number must be a whole number."),
        ({"title": "x", "number": True}, "number must be a number."),
        ({"title": "x", "number": "many"}, "number must be a number."),
        ({"title": "x", "number": "1.2.3"}, "number must be a number."),
        ({"title": "x", "bold": 1}, "bold must be true or false."),
        ({"title": "x", "bold": []}, "bold must be true or false."),
        ({"title": "x", "style": ""}, "style must be one of 'plain', 'fine'."),
        ({"title": "x", "style": []}, "style must be one of 'plain', 'fine'."),
        ({"title": "x", "colours": "red"}, "colours must be a list."),
        ({"title": "x", "colours": [1]}, "colours.0 must be a string."),
        ({"title": "x", "notes": []}, "notes must be an object."),
        ({"title": "x", "notes": {"a": 1}}, "notes.a must be a string."),
        ({"title": "x", "idempotent": True}, "There is no argument idempotent; there are title, number,"),
        ({"bold": 2, "x": 1}, "bold must be true or false. There is no argument x;"),
    ],
)  # fmt: skip
def test_bad_argument_is_refused_with_its_name(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(errors.Usage) as refused:
        Draw.parse(arguments)

    assert message in str(refused.value)
