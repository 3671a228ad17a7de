"""What a plan file says becomes a plan; what is wrong with it is told with its line, and nothing of it is built."""

import json
import tracemalloc
from pathlib import Path

import pytest
from taskorch.domain import errors, limits
from taskorch.domain.item import NewItem
from taskorch.queue.plan import Plan
from taskorch_orchestrator.plan import plan_file, yaml_reader
from taskorch_orchestrator.plan.plan_file import PlanFile, PlannedItem

USAGE = Path(__file__).parents[3] / "docs" / "usage.md"
#: For machines that do much else besides.
ONE = "project: P\nitems:\n  - name: a\n    title: A\n"


def read(text: str | bytes) -> Plan:
    return plan_file.read("plan.yaml", text.encode() if isinstance(text, str) else text)


def refused(text: str | bytes) -> list[str]:
    """Return what is told of a file that is refused."""
    with pytest.raises(errors.BadPlan) as refusal:
        read(text)
    assert (
        str(refusal.value)
        == "plan.yaml is no plan that can be applied; nothing was written."
    )
    return list(refusal.value.more())


def with_item(*lines: str) -> str:
    """Return a plan whose second item has these lines; the first of them is line 6."""
    return ONE + "  - name: b\n" + "".join(f"    {line}\n" for line in lines)


def test_every_field_of_a_plan_becomes_one_of_an_item() -> None:
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


def test_the_guide_shows_every_field() -> None:
    example = (
        USAGE.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    )

    read(example)

    fields = [*PlanFile.model_fields, *PlannedItem.model_fields]
    assert [
        field
        for field in fields
        if f" {field}:" not in f" {example}".replace("\n", " ")
    ] == []


def test_the_id_of_a_project_adds_to_it() -> None:
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
def test_what_has_quotes_is_text_even_where_it_looks_like_nothing(text: str) -> None:
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
            {"project": "P", "items": [{"name": "a", "title": "A"}]}, indent="\t"
        ).encode(),
        b"# a comment\n\n" + ONE.encode() + b"\n\n",
        ONE.removesuffix("\n").encode(),
    ],
)
def test_what_surrounds_a_plan_does_not_matter(data: bytes) -> None:
    assert read(data) == Plan(title="P", items=(NewItem(key="a", title="A"),))


def test_a_plan_of_json_has_any_character() -> None:
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


def test_items_come_after_those_they_depend_on_and_else_as_in_the_file() -> None:
    needs = {"a": "[e]", "b": "[]", "c": "[b]", "d": "[]", "e": "[d]", "f": "[]"}
    rows = "".join(
        f" - {{name: {name}, title: x, depends_on: {names}}}\n"
        for name, names in needs.items()
    )

    plan = read(f"project: P\nitems:\n{rows}")

    assert [item.key for item in plan.items] == ["b", "c", "d", "e", "a", "f"]
    assert [item.depends_on for item in plan.items] == [(), (0,), (), (2,), (3,), ()]


def test_a_name_of_the_plan_goes_before_an_id() -> None:
    plan = read(
        "project: P\nitems:\n - {name: item_1, title: x}\n - {name: b, title: x, depends_on: [item_1, item_2]}"
    )

    assert plan.items[1].depends_on == (0, "item_2")


WRONG: dict[str, tuple[str | bytes, str]] = {
    "tag": (
        with_item("title: !!str x"),
        "line 6: items[1].title: tag:yaml.org,2002:str: a plan has no tags",
    ),
    "tag of python": (
        with_item("title: !!python/object/apply:os.system ['x']"),
        "line 6: items[1].title: tag:yaml.org,2002:python/object/apply:os.system: a plan has no tags",
    ),
    "local tag": (
        with_item("title: !secret x"),
        "line 6: items[1].title: !secret: a plan has no tags",
    ),
    "anchor": (
        with_item("title: &x y"),
        "line 6: items[1].title: &x: a plan has no anchors",
    ),
    "alias": (
        with_item("title: *x"),
        "line 6: items[1].title: *x: a plan has no aliases",
    ),
    "merge key": (
        with_item("<<: {title: x}"),
        "line 6: items[1].<<: There is no such field",
    ),
    "second document": (ONE + "---\n" + ONE, "line 5: A second document begins here"),
    "key twice": (
        with_item("title: x", "title: y"),
        "line 7: items[1].title: It is there twice, first in line 6",
    ),
    "no value": (with_item("title:"), "line 6: items[1].title: There is no value here"),
    "null": (
        with_item("title: x", "agent: null"),
        "line 7: items[1].agent: There is no value here",
    ),
    "tilde": (
        with_item("title: x", "resources: [a, ~]"),
        "line 7: items[1].resources[1]: There is no value here",
    ),
    "key that is a list": (
        with_item("? [a]", ": x"),
        "line 6: items[1]: A key is to be a text",
    ),
    "tab": (with_item("title: x", "\tagent: ada"), "line 7: Not YAML"),
    "open quote": (with_item('title: "x'), "Not YAML"),
    "NUL as an escape": (
        with_item('title: "a\\0b"'),
        "line 6: items[1].title: There is a NUL character in the title",
    ),
    "control character": (
        with_item("title: a\0b"),
        "line 6: The character '\\x00' cannot stand in YAML",
    ),
    "escape": (
        with_item("title: \x1b[2J"),
        "line 6: The character '\\x1b' cannot stand in YAML",
    ),
    "unknown field": (
        with_item("titel: x", "title: x"),
        "line 6: items[1].titel: There is no such field; there are name",
    ),
    "unknown field of the plan": (
        ONE + "agents: x\n",
        "line 5: agents: There is no such field; there are project, description, key, items.",
    ),
    "no title": (with_item("agent: ada"), "line 5: items[1].title: It is missing."),
    "no name": (ONE + "  - title: x\n", "line 5: items[1].name: It is missing."),
    "no project": ("items: [{name: a, title: A}]", "line 1: project: It is missing."),
    "no items": ("project: x", "line 1: items: It is missing."),
    "empty items": ("project: x\nitems: []", "line 2: items: It is empty."),
    "items no list": (
        "project: x\nitems: {a: b}",
        "line 2: items: It is to be a list.",
    ),
    "item no mapping": (ONE + "  - b\n", "line 5: items[1]: It is to be a mapping"),
    "plan no mapping": ("- a\n- b\n", "line 1: It is to be a mapping"),
    "plan is a text": ("hello", "line 1: It is to be a mapping"),
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
        "line 6: items[1].title: It is to be a text.",
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
        "line 7: items[1].priority: The priority is 5; it may be 0 to 4.",
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
        "line 7: items[1].priority: It is to be a text.",
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
        "line 7: items[1].requirements: It is to be a list.",
    ),
    "requirement in the list": (
        with_item("title: x", "requirements:", "  - a", "  - b: c"),
        "line 9: items[1].requirements[1]: It is to be a text.",
    ),
    "blank requirement": (
        with_item("title: x", "requirements: [a, ' ']"),
        "line 7: items[1].requirements[1]: The value is empty.",
    ),
    "too many requirements": (
        with_item("title: x", f"requirements: [{'a, ' * 201}]"),
        "line 7: items[1].requirements: There are 201; 200 are allowed.",
    ),
    "context is a list": (
        with_item("title: x", "context: [a]"),
        "line 7: items[1].context: It is to be a mapping",
    ),
    "context in context": (
        with_item("title: x", "context:", "  a:", "    b: c"),
        "line 8: items[1].context.a: It is to be a text.",
    ),
    "key and id": (
        ONE.replace("P", "proj_1a2b3c4d\nkey: x"),
        "line 2: key: It does not go with the id of a project; proj_1a2b3c4d is there already.",
    ),
    "name twice": (
        ONE + "  - {name: a, title: x}\n",
        "line 5: items[1].name: 'a' is there twice, first in line 3.",
    ),
    "unknown name": (
        with_item("title: x", "depends_on:", "  - a", "  - c"),
        "line 9: items[1].depends_on[1]: 'c' is no name of this plan, and no id of an item.",
    ),
    "id of a project": (
        with_item("title: x", "depends_on: [proj_1a2b3c4d]"),
        "line 7: items[1].depends_on[0]: 'proj_1a2b3c4d' is no name of this plan",
    ),
    "itself": (
        with_item("title: x", "depends_on: [b]"),
        "line 7: items[1].depends_on: A circle: 'b' needs 'b'.",
    ),
    "empty": ("", "line 1: The file is empty."),
    "only a comment": ("# nothing\n", "line 1: The file is empty."),
    "empty document": ("---\n", "There is no value here"),
    "not UTF-8": (
        b"project: P\nitems:\n  - \xff\xfe",
        "line 3: This is not UTF-8 text.",
    ),
    "UTF-16": (ONE.encode("utf-16"), "line 1: This is not UTF-8 text."),
    "binary": (
        bytes(range(128)) * 10,
        "line 1: The character '\\x00' cannot stand in YAML",
    ),
    "surrogate": ('{"project": "\\ud83d"}', "line 1: "),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_with_its_line(what: str) -> None:
    text, message = WRONG[what]

    told = refused(text)

    assert any(message in line for line in told), told


def test_a_circle_is_told_with_its_names() -> None:
    rows = [
        f" - {{name: n{n}, title: x, depends_on: [n{(n + 1) % 3}]}}\n" for n in range(3)
    ]

    (told,) = refused("project: P\nitems:\n" + "".join(rows))

    assert (
        told
        == "line 3: items[0].depends_on: A circle: 'n0' needs 'n1' needs 'n2' needs 'n0'."
    )


def test_a_long_circle_is_told_in_short() -> None:
    rows = [
        f" - {{name: n{n}, title: x, depends_on: [n{(n + 1) % 5000}]}}\n"
        for n in range(5000)
    ]

    (told,) = refused("project: P\nitems:\n" + "".join(rows))

    assert "needs '" in told
    assert len(told) < 200


def test_all_mistakes_are_told_in_the_order_of_their_lines() -> None:
    told = refused("nmae: x\nitems:\n  - {name: a}\n  - {title: b, priority: 7}\n")

    assert [line.partition(":")[0] for line in told] == [
        "line 1",
        "line 1",
        "line 3",
        "line 4",
        "line 4",
    ]


def test_of_very_many_mistakes_the_first_twenty_are_told() -> None:
    told = refused("project: P\nitems:\n" + "  - {name: a, priority: 9}\n" * 40)

    assert len(told) == 21
    assert told[0].startswith("line 3: ")
    assert told[-1] == "… and 60 more"


def test_a_mistake_is_told_in_short_even_where_a_text_is_long() -> None:
    told = refused(
        with_item("title: x", f"lease: {'9' * 60000}", f"{'k' * 60000}: x")
        + "x: "
        + "*y" * 1000
    )

    assert max(len(line) for line in told) < 1000


def test_the_mistakes_are_in_the_details_of_the_error() -> None:
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
                "message": "The priority is 9; it may be 0 to 4.",
            }
        ],
    }


def laughs() -> str:
    """Return a few lines that stand for ten billion texts."""
    rows = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
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
    "too many bytes": "project: P\nitems: # " + "x" * limits.PLAN_BYTES,
    "one long line": "x" * (limits.PLAN_BYTES - 1),
    "quotes": "'" * 1_000_000,
    "question marks": "? " * 100_000,
    "percent signs": "%" * 1_000_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bomb_is_refused_and_takes_little_memory(bomb: str) -> None:
    tracemalloc.start(1)

    told = refused(BOMBS[bomb])

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert told
    assert peak < 400 * 1024 * 1024
    assert sum(len(line) for line in told) < 10_000


def test_a_plan_of_5000_items_is_read_and_one_more_is_refused() -> None:
    rows = [
        f"  - {{name: n{n}, title: Item {n}, depends_on: [{f'n{n - 1}' if n else ''}]}}\n"
        for n in range(5001)
    ]

    plan = read("project: P\nitems:\n" + "".join(rows[:5000]))
    told = refused("project: P\nitems:\n" + "".join(rows))

    assert len(plan.items) == limits.BATCH_ITEMS
    assert told == ["line 2: items: There are 5001; 5000 are allowed."]


@pytest.mark.parametrize(
    ("line", "cut", "kept"),
    [
        ("title: fix #123", "#123", "fix"),
        ("title: two\n      lines #1 of it", "#1 of it", "two lines"),
        ("title: x\n    requirements: [Users #1\n      , b]", "#1", "Users"),
        ("title: x\n    context: {a: see é \t#foo #bar\n      }", "#foo #bar", "see é"),
        ("title: x #y\r", "#y", "x"),
    ],
)
def test_comment_that_cuts_off_a_text_is_named(line: str, cut: str, kept: str) -> None:
    (remark,) = read(with_item(line)).remarks

    assert f": YAML takes {cut!r} for a comment, and the text is {kept!r}." in remark


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
def test_usual_comment_and_quoted_text_are_not_named(line: str) -> None:
    assert read(with_item(line)).remarks == ()


def test_json_plan_has_no_comments() -> None:
    document = json.dumps(
        {"project": "P", "items": [{"name": "a", "title": "fix #123"}]}, indent=1
    )

    plan = read(document)

    assert (plan.items[0].title, plan.remarks) == ("fix #123", ())


def test_remarks_stand_in_the_order_of_their_lines() -> None:
    text = with_item(
        "title: fix #1", "not_before: 2027-01-01 12:00", "resources: [a #2", "  ]"
    )

    remarks = read(text).remarks

    assert [remark.partition(":")[0] for remark in remarks] == [
        "line 6",
        "line 7",
        "line 8",
    ]
