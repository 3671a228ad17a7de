"""Plan files become plans; mistakes are reported with their line."""

import json
import tracemalloc
from pathlib import Path

import pytest
from taskorch.domain import errors, limits
from taskorch.domain.item import NewItem
from taskorch.queue.plan import Plan
from taskorch_orchestrator.plan import plan_file, yaml_reader
from taskorch_orchestrator.plan.plan_file import PlanFile, PlannedItem

GUIDE = Path(__file__).parents[3] / "docs" / "orchestrator.md"
#: A plan of one item.
ONE = "project: P\nitems:\n  - name: a\n    title: A\n"


def read(text: str | bytes) -> Plan:
    return plan_file.read(
        "plan.yaml", text.encode() if isinstance(text, str) else text
    )


def refused(text: str | bytes) -> list[str]:
    """Return the mistakes reported for a file that is refused."""
    with pytest.raises(errors.BadPlan) as refusal:
        read(text)
    assert (
        str(refusal.value)
        == "plan.yaml is not a valid plan. Nothing was written."
    )
    return list(refusal.value.rows())


def with_item(*lines: str) -> str:
    """Return a plan whose second item has these lines, starting with line 6."""
    return ONE + "  - name: b\n" + "".join(f"    {line}\n" for line in lines)


def test_plan_fields_become_item_fields() -> None:
    plan = read("""
project: Build it
description: All of it
key: auth-1
items:
  - name: schema
    title: Design it
  - name: api
    title: Write it
    description: |
      Two
      lines
    agent: backend
    requirements: [One, Two]
    depends_on: [schema, item_1a2b3c4d]
    priority: 0
    lease: 30m
    max_attempts: 5
    not_before: 2h
    context: {language: Python, since: 1999-01-01}
    resources: [a.md]
    deliverables: [b.py]
    accept: [it works]
""")

    assert (plan.project, plan.title, plan.description, plan.key) == (
        None,
        "Build it",
        "All of it",
        "auth-1",
    )
    assert plan.items == (
        NewItem(key="schema", title="Design it"),
        NewItem(
            key="api",
            title="Write it",
            description="Two\nlines\n",
            agent="backend",
            requirements=("One", "Two"),
            depends_on=(0, "item_1a2b3c4d"),
            priority=0,
            lease_ms=30 * 60_000,
            max_attempts=5,
            delay_ms=2 * 3_600_000,
            context={"language": "Python", "since": "1999-01-01"},
            resources=("a.md",),
            deliverables_expected=("b.py",),
            criteria=("it works",),
        ),
    )


def test_guide_shows_every_field() -> None:
    example = (
        GUIDE.read_text(encoding="utf-8")
        .partition("```yaml\n")[2]
        .partition("```")[0]
    )

    read(example)

    fields = [*PlanFile.model_fields, *PlannedItem.model_fields]
    assert [
        field
        for field in fields
        if f" {field}:" not in f" {example}".replace("\n", " ")
    ] == []


def test_project_id_adds_to_that_project() -> None:
    plan = read(ONE.replace("P", "proj_1a2b3c4d"))

    assert (plan.project, plan.title) == ("proj_1a2b3c4d", "")


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "No",
        "1:30",
        "2001-01-01",
        "0x10",
        "1e3",
        ".inf",
        "=",
        "<<",
        "007",
        "1_000",
    ],
)
def test_every_value_is_text(text: str) -> None:
    plan = read(
        f"project: {text}\nitems:\n  - name: {text}\n    title: {text}\n    context: {{{text}: {text}}}\n"
    )

    assert (plan.title, plan.items) == (
        text,
        (NewItem(key=text, title=text, context={text: text}),),
    )


@pytest.mark.parametrize("text", ["~", "null", "Null", ""])
def test_quoted_null_is_text(text: str) -> None:
    assert read(with_item("title: x", f"context: {{a: '{text}'}}")).items[
        1
    ].context == {"a": text}


@pytest.mark.parametrize(
    "data",
    [
        ONE.replace("\n", "\r\n").encode(),
        ONE.replace("\n", "\r").encode(),
        b"\xef\xbb\xbf" + ONE.encode(),
        b"--- # a plan\n" + ONE.encode() + b"...\n",
        b"%YAML 1.1\n---\n" + ONE.encode(),
        b'{"project": "P", "items": [{"name": "a", "title": "A"}]}',
        json.dumps(
            {"project": "P", "items": [{"name": "a", "title": "A"}]},
            indent="\t",
        ).encode(),
        b"# a comment\n\n" + ONE.encode() + b"\n\n",
        ONE.removesuffix("\n").encode(),
    ],
)
def test_encoding_and_comments_do_not_change_plan(data: bytes) -> None:
    assert read(data) == Plan(title="P", items=(NewItem(key="a", title="A"),))


def test_json_plan_holds_any_character() -> None:
    text = '😀 ü \1 \\ud83d\\ude00 " / \u2028'

    plan = read(
        json.dumps(
            {
                "project": "P",
                "items": [{"name": "a", "title": "A", "description": text}],
            }
        )
    )

    assert plan.items[0].description == text


def test_items_follow_dependencies_then_file_order() -> None:
    needs = {
        "a": "[e]",
        "b": "[]",
        "c": "[b]",
        "d": "[]",
        "e": "[d]",
        "f": "[]",
    }
    rows = "".join(
        f" - {{name: {name}, title: x, depends_on: {names}}}\n"
        for name, names in needs.items()
    )

    plan = read(f"project: P\nitems:\n{rows}")

    assert [item.key for item in plan.items] == ["b", "c", "d", "e", "a", "f"]
    assert [item.depends_on for item in plan.items] == [
        (),
        (0,),
        (),
        (2,),
        (3,),
        (),
    ]


def test_name_in_plan_takes_precedence_over_id() -> None:
    plan = read(
        "project: P\nitems:\n - {name: item_1, title: x}\n - {name: b, title: x, depends_on: [item_1, item_2]}"
    )

    assert plan.items[1].depends_on == (0, "item_2")


WRONG: dict[str, tuple[str | bytes, str]] = {
    "tag": (
        with_item("title: !!str x"),
        "line 6: items[1].title: tag:yaml.org,2002:str: tags are not supported",
    ),
    "tag of python": (
        with_item("title: !!python/object/apply:os.system ['x']"),
        "line 6: items[1].title: tag:yaml.org,2002:python/object/apply:os.system: tags are not supported",
    ),
    "local tag": (
        with_item("title: !secret x"),
        "line 6: items[1].title: !secret: tags are not supported",
    ),
    "anchor": (
        with_item("title: &x y"),
        "line 6: items[1].title: &x: anchors are not supported",
    ),
    "alias": (
        with_item("title: *x"),
        "line 6: items[1].title: *x: aliases are not supported",
    ),
    "merge key": (
        with_item("<<: {title: x}"),
        "line 6: items[1].<<: Unknown field",
    ),
    "second document": (
        ONE + "---\n" + ONE,
        "line 5: A second document starts here",
    ),
    "key twice": (
        with_item("title: x", "title: y"),
        "line 7: items[1].title: This key is used twice, first in line 6",
    ),
    "no value": (
        with_item("title:"),
        "line 6: items[1].title: This value is missing",
    ),
    "null": (
        with_item("title: x", "agent: null"),
        "line 7: items[1].agent: This value is missing",
    ),
    "tilde": (
        with_item("title: x", "resources: [a, ~]"),
        "line 7: items[1].resources[1]: This value is missing",
    ),
    "key that is a list": (
        with_item("? [a]", ": x"),
        "line 6: items[1]: A key must be text",
    ),
    "tab": (with_item("title: x", "\tagent: ada"), "line 7: This is not YAML"),
    "variable": (
        "project: P\nitems: [{name: a, title: T ${x} y}]\n",
        "Put a text with ${ in [ ] or { } in quotes",
    ),
    "open quote": (with_item('title: "x'), "This is not YAML"),
    "NUL as an escape": (
        with_item('title: "a\\0b"'),
        "line 6: items[1].title: There is a NUL character in the title. Remove it.",
    ),
    "control character": (
        with_item("title: a\0b"),
        "line 6: YAML does not allow the character '\\x00'",
    ),
    "escape": (
        with_item("title: \x1b[2J"),
        "line 6: YAML does not allow the character '\\x1b'",
    ),
    "unknown field": (
        with_item("titel: x", "title: x"),
        "line 6: items[1].titel: Unknown field. Fields are name",
    ),
    "unknown field of the plan": (
        ONE + "agents: x\n",
        "line 5: agents: Unknown field. Fields are project, description, key, items.",
    ),
    "no title": (
        with_item("agent: ada"),
        "line 5: items[1].title: This field is missing.",
    ),
    "no name": (
        ONE + "  - title: x\n",
        "line 5: items[1].name: This field is missing.",
    ),
    "no project": (
        "items: [{name: a, title: A}]",
        "line 1: project: This field is missing.",
    ),
    "no items": ("project: x", "line 1: items: This field is missing."),
    "empty items": (
        "project: x\nitems: []",
        "line 2: items: The list is empty.",
    ),
    "items no list": (
        "project: x\nitems: {a: b}",
        "line 2: items: Expected a list.",
    ),
    "item no mapping": (
        ONE + "  - b\n",
        "line 5: items[1]: Expected a mapping",
    ),
    "plan no mapping": ("- a\n- b\n", "line 1: Expected a mapping"),
    "plan is a text": ("hello", "line 1: Expected a mapping"),
    "blank title": (
        with_item("title: ' '"),
        "line 6: items[1].title: The title is empty.",
    ),
    "long title": (
        with_item(f"title: {'x' * 501}"),
        "line 6: items[1].title: The title has 501 characters",
    ),
    "long name": (
        ONE.replace("name: a", f"name: {'x' * 501}"),
        "line 3: items[0].name: The name has 501 characters",
    ),
    "long text": (
        with_item("title: x", f"description: {'x' * 65537}"),
        "line 7: items[1].description: The description is longer than 65536 bytes",
    ),
    "empty text": (
        with_item("title: x", "description: ''"),
        "line 7: items[1].description: The description is empty.",
    ),
    "title is a list": (
        with_item("title: [x]"),
        "line 6: items[1].title: Expected text.",
    ),
    "agent": (
        with_item("title: x", "agent: ../x"),
        "line 7: items[1].agent: '../x' is not a name for an agent",
    ),
    "empty agent": (
        with_item("title: x", "agent: ''"),
        "line 7: items[1].agent: The name of an agent is empty",
    ),
    "priority": (
        with_item("title: x", "priority: 5"),
        "line 7: items[1].priority: The priority is 5. It must be 0 to 4.",
    ),
    "negative": (
        with_item("title: x", "priority: -1"),
        "line 7: items[1].priority: '-1' is not a whole number",
    ),
    "high": (
        with_item("title: x", "priority: high"),
        "line 7: items[1].priority: 'high' is not a whole number",
    ),
    "other digits": (
        with_item("title: x", "priority: ٣"),
        "line 7: items[1].priority: '٣' is not a whole number",
    ),
    "priority is a list": (
        with_item("title: x", "priority: [1]"),
        "line 7: items[1].priority: Expected text.",
    ),
    "attempts": (
        with_item("title: x", "max_attempts: 0"),
        "line 7: items[1].max_attempts: The number of attempts is 0",
    ),
    "lease": (
        with_item("title: x", "lease: soon"),
        "line 7: items[1].lease: 'soon' is not a duration",
    ),
    "lease without a unit": (
        with_item("title: x", "lease: 30"),
        "line 7: items[1].lease: '30' is not a duration",
    ),
    "not_before": (
        with_item("title: x", "not_before: 1:30"),
        "line 7: items[1].not_before: '1:30' is not a time",
    ),
    "requirements are a text": (
        with_item("title: x", "requirements: a"),
        "line 7: items[1].requirements: Expected a list.",
    ),
    "requirement in the list": (
        with_item("title: x", "requirements:", "  - a", "  - b: c"),
        "line 9: items[1].requirements[1]: Expected text.",
    ),
    "blank requirement": (
        with_item("title: x", "requirements: [a, ' ']"),
        "line 7: items[1].requirements[1]: The value is empty.",
    ),
    "too many requirements": (
        with_item("title: x", f"requirements: [{'a, ' * 201}]"),
        "line 7: items[1].requirements: The list has 201 values; at most 200 are allowed.",
    ),
    "context is a list": (
        with_item("title: x", "context: [a]"),
        "line 7: items[1].context: Expected a mapping",
    ),
    "context in context": (
        with_item("title: x", "context:", "  a:", "    b: c"),
        "line 8: items[1].context.a: Expected text.",
    ),
    "key and id": (
        ONE.replace("P", "proj_1a2b3c4d\nkey: x"),
        "line 2: key: Remove this field: proj_1a2b3c4d exists already.",
    ),
    "name twice": (
        ONE + "  - {name: a, title: x}\n",
        "line 5: items[1].name: 'a' is used twice, first in line 3.",
    ),
    "unknown name": (
        with_item("title: x", "depends_on:", "  - a", "  - c"),
        "line 9: items[1].depends_on[1]: 'c' is neither a name in this plan nor an id.",
    ),
    "id of a project": (
        with_item("title: x", "depends_on: [proj_1a2b3c4d]"),
        "line 7: items[1].depends_on[0]: 'proj_1a2b3c4d' is neither a name in this plan nor an id",
    ),
    "itself": (
        with_item("title: x", "depends_on: [b]"),
        "line 7: items[1].depends_on: Circular dependency: 'b' needs 'b'.",
    ),
    "empty": ("", "line 1: The file is empty."),
    "only a comment": ("# nothing\n", "line 1: The file is empty."),
    "empty document": ("---\n", "This value is missing"),
    "not UTF-8": (
        b"project: P\nitems:\n  - \xff\xfe",
        "line 3: This is not UTF-8 text.",
    ),
    "UTF-16": (ONE.encode("utf-16"), "line 1: This is not UTF-8 text."),
    "binary": (
        bytes(range(128)) * 10,
        "line 1: YAML does not allow the character '\\x00'",
    ),
    "surrogate": ('{"project": "\\ud83d"}', "line 1: "),
}


@pytest.mark.parametrize("what", WRONG)
def test_mistake_is_reported_with_its_line(what: str) -> None:
    text, message = WRONG[what]

    mistakes = refused(text)

    assert any(message in line for line in mistakes), mistakes


def test_circular_dependency_is_reported_with_names() -> None:
    rows = [
        f" - {{name: n{n}, title: x, depends_on: [n{(n + 1) % 3}]}}\n"
        for n in range(3)
    ]

    (mistakes,) = refused("project: P\nitems:\n" + "".join(rows))

    assert (
        mistakes
        == "line 3: items[0].depends_on: Circular dependency: 'n0' needs 'n1' needs 'n2' needs 'n0'."
    )


def test_long_circular_dependency_is_shortened() -> None:
    rows = [
        f" - {{name: n{n}, title: x, depends_on: [n{(n + 1) % 50}]}}\n"
        for n in range(50)
    ]

    (mistakes,) = refused("project: P\nitems:\n" + "".join(rows))

    assert "needs '" in mistakes
    assert len(mistakes) < 200


def test_mistakes_are_sorted_by_line() -> None:
    mistakes = refused(
        "nmae: x\nitems:\n  - {name: a}\n  - {title: b, priority: 7}\n"
    )

    assert [line.partition(":")[0] for line in mistakes] == [
        "line 1",
        "line 1",
        "line 3",
        "line 4",
        "line 4",
    ]


def test_first_twenty_mistakes_are_reported() -> None:
    mistakes = refused(
        "project: P\nitems:\n" + "  - {name: a, priority: 9}\n" * 40
    )

    assert len(mistakes) == 21
    assert mistakes[0].startswith("line 3: ")
    assert mistakes[-1] == "… and 60 more"


def test_long_text_is_shortened_in_mistake() -> None:
    mistakes = refused(
        with_item("title: x", f"lease: {'9' * 60000}", f"{'k' * 60000}: x")
        + "x: "
        + "*y" * 1000
    )

    assert max(len(line) for line in mistakes) < 1000


def test_error_details_list_mistakes() -> None:
    with pytest.raises(errors.BadPlan) as refusal:
        read("project: P\nitems:\n  - {name: a, title: x, priority: 9}\n")

    assert refusal.value.exit_code == 5
    assert refusal.value.details == {
        "file": "plan.yaml",
        "left_out": 0,
        "mistakes": [
            {
                "line": 3,
                "path": "items[0].priority",
                "message": "The priority is 9. It must be 0 to 4.",
            }
        ],
    }


def laughs() -> str:
    """Return nested aliases that expand to ten billion values."""
    rows = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    rows += [
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)
    ]
    return "\n".join(rows)


BOMBS = {
    "a billion laughs": laughs(),
    "deep lists": "[" * 100_000,
    "deep mappings": '{"a":' * 100_000,
    "deep blocks": "".join(f"{' ' * n}a:\n" for n in range(2000)),
    "deep lists of blocks": "- " * 100_000,
    "very many values": "project: P\nitems: ["
    + "a," * (yaml_reader.MOST_VALUES + 10)
    + "]",
    "very many mistakes": "project: P\nitems: [" + "~," * 300_000 + "]",
    "very many keys": "{" + ",".join(f"k{n}: 1" for n in range(20_000)) + "}",
    "very many unknown fields": "project: P\nitems: ["
    + ("{" + ",".join(f"k{n}: 1" for n in range(9_000)) + "},") * 50
    + "]",
    "too many bytes": "project: P\nitems: # " + "x" * limits.PLAN_BYTES,
    "one long line": "x" * (limits.PLAN_BYTES - 1),
    "quotes": "'" * 1_000_000,
    "question marks": "? " * 100_000,
    "percent signs": "%" * 1_000_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bomb_is_refused_and_takes_little_memory(bomb: str) -> None:
    tracemalloc.start(1)

    mistakes = refused(BOMBS[bomb])

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert mistakes
    assert peak < 400 * 1024 * 1024
    assert sum(len(line) for line in mistakes) < 10_000


def test_plan_of_51_items_is_refused() -> None:
    rows = [
        f"  - {{name: n{n}, title: Item {n}, depends_on: [{f'n{n - 1}' if n else ''}]}}\n"
        for n in range(51)
    ]

    plan = read("project: P\nitems:\n" + "".join(rows[:50]))
    mistakes = refused("project: P\nitems:\n" + "".join(rows))

    assert len(plan.items) == limits.BATCH_ITEMS
    (mistake,) = mistakes
    assert mistake == (
        "line 2: items: The list has 51 items; at most 50 are created in one step, all or none."
        " Split the plan: the next one names the project and the ids of earlier items."
    )


@pytest.mark.parametrize(
    ("line", "lost", "kept"),
    [
        ("title: fix #123", "#123", "fix"),
        ("title: two\n      lines #1 of it", "#1 of it", "two lines"),
        ("title: x\n    requirements: [Users #1\n      , b]", "#1", "Users"),
        (
            "title: x\n    context: {a: see é \t#foo #bar\n      }",
            "#foo #bar",
            "see é",
        ),
        ("title: x #y\r", "#y", "x"),
    ],
)
def test_suspicious_comment_is_reported(
    line: str, lost: str, kept: str
) -> None:
    (remark,) = read(with_item(line)).remarks

    assert (
        f": YAML reads {lost!r} as a comment, so the text is {kept!r}."
        in remark
    )


@pytest.mark.parametrize(
    "line",
    [
        "title: x # the first",
        "title: x\t# the first",
        "title: x ## the first",
        "title: 'fix #123'",
        'title: "fix #123" #123',
        "title: fix#123",
        "title: x\n    description: |\n      see #123",
        "title: x\n    #123",
    ],
)
def test_usual_comment_is_not_reported(line: str) -> None:
    assert read(with_item(line)).remarks == ()


def test_json_plan_has_no_comments() -> None:
    document = json.dumps(
        {"project": "P", "items": [{"name": "a", "title": "fix #123"}]},
        indent=1,
    )

    plan = read(document)

    assert (plan.items[0].title, plan.remarks) == ("fix #123", ())


def test_remarks_are_sorted_by_line() -> None:
    text = with_item(
        "title: fix #1",
        "not_before: 2027-01-01 12:00",
        "resources: [a #2",
        "  ]",
    )

    remarks = read(text).remarks

    assert [remark.partition(":")[0] for remark in remarks] == [
        "line 6",
        "line 7",
        "line 8",
    ]
