"""`orchestrate edit`, `depend --remove`, labels and links, and plans applied again."""

import json
from pathlib import Path

import pytest
from support.builders import Bench
from support.commands import BIN, Shell
from taskorch.domain.item import Lease, State

PLAN = """project: Build it
key: k
items:
  - name: schema
    title: Design it
    agent: database
    labels: [db]
  - name: api
    title: Write the API
    depends_on: [schema]
"""
CHANGED = PLAN.replace("Design it", "Design the schema").replace(
    "Write the API", "Write a small API\n    priority: 0"
)


@pytest.fixture
def plan(shell: Shell) -> Path:
    file = shell.folder / "plan.yaml"
    file.write_text(PLAN, encoding="utf-8")
    return file


def test_edit_prints_each_change(shell: Shell, bench: Bench) -> None:
    item = bench.item(
        title="Old", requirements=("One",), labels=("a",), context={"x": "1"}
    )

    ran = shell.orchestrate(
        *("edit", item, "--title", "New", "-r", "Two", "Three"),
        *("--priority", "0", "--lease", "30m", "--max-attempts", "5"),
        *("--accept", "Tested", "--deliverable", "a.sql", "--resource", "b"),
        *("--context", "db=pg", "--remove-context", "x"),
        *("--label", "b", "c", "--unlabel", "a", "-d", "Text"),
    )

    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        f"{item} is queued.",
        "  title: Old -> New",
        "  description: (none) -> Text",
        "  requirements: One -> Two; Three",
        "  acceptance criteria: (none) -> Tested",
        "  expected deliverables: (none) -> a.sql",
        "  resources: (none) -> b",
        "  labels: a -> b; c",
        "  context: x=1 -> db=pg",
        "  priority: 2 -> 0",
        "  max attempts: 3 -> 5",
        "  lease: 4h -> 30m",
    ]
    found = bench.queue.views.show(item).item
    assert (found.title, found.criteria) == ("New", ("Tested",))


def test_edit_json_is_one_object_or_a_list(shell: Shell, bench: Bench) -> None:
    one, two = bench.item(), bench.item(title="X")

    single = shell.orchestrate("edit", one, "--title", "X", "--json")
    both = shell.orchestrate("edit", one, two, "--title", "X", "--json")

    assert single.data() == {
        "id": one,
        "state": "queued",
        "changes": [{"field": "title", "before": "An item", "after": "X"}],
    }
    assert [each["changes"] for each in both.data()] == [[], []]
    assert both.json()["meta"]["hints"] == [
        f"Nothing has changed in {item}: it is like this already."
        for item in (one, two)
    ]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ((), 2, "Say what to change"),
        (("--title", ""), 5, "The title is empty."),
        (("--label", "two words"), 5, "'two words' is not a label."),
        (("--priority", "7"), 2, "--priority"),
        (("--clear", "title"), 2, "--clear"),
        (("--clear", "label", "--label"), 2, "requires a value"),
        (
            ("--clear", "description", "-d", "x"),
            2,
            "--clear description and a new value for it exclude each other.",
        ),
    ],
)
def test_bad_edit_is_refused(
    shell: Shell,
    bench: Bench,
    options: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    item = bench.item()
    before = bench.everything()

    ran = shell.orchestrate("edit", item, *options)

    assert (ran.code, ran.stdout) == (code, "")
    assert message in ran.stderr
    assert bench.everything() == before


def test_edit_clears_fields_and_accepts_stdin(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(
        description="Old", requirements=("One",), context={"x": "1"}
    )

    shell.orchestrate(
        *("edit", item, "--clear", "requirement", "context"),
        *("--context", "y=2", "-d", "-"),
        stdin=b"From stdin\n",
    )

    found = bench.queue.views.show(item).item
    assert (found.requirements, found.context, found.description) == (
        (),
        {"y": "2"},
        "From stdin",
    )


def test_holder_reads_what_the_orchestrator_changed(
    shell: Shell, bench: Bench
) -> None:
    ada = shell.having(AGENT_ID="ada")
    item = bench.item()
    ada.worker("get", item)
    shell.orchestrate("edit", item, "--priority", "0", "--context", "db=pg")

    refused = shell.orchestrate("edit", item, "--title", "Other")
    told = ada.worker("progress", item, "half way")
    shown = ada.worker("get", item)
    again = ada.worker("progress", item, "more")

    assert refused.code == 5
    assert f"{item} is in_progress: its title cannot change" in refused.stderr
    assert f"orchestrate assign {item} ada --force" in refused.stderr
    assert told.stdout.splitlines()[1:] == [
        f"The orchestrator changed its context, priority: worker get {item}"
    ]
    assert "Changed since you claimed it:" in shown.stdout
    assert "priority: 2 -> 0" in shown.stdout
    assert len(again.stdout.splitlines()) == 1


def test_receipt_json_has_edited_fields(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    ada = shell.having(AGENT_ID="ada")
    ada.worker("get", item)
    shell.orchestrate("edit", item, "--label", "hot")

    told = ada.worker("progress", item, "half way", "--json")

    assert told.data()["edited"] == ["labels"]


def test_edit_of_hostile_text_forges_no_line(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(title="Old")
    hostile = "x\nError: forged \x1b[2J"

    ran = shell.orchestrate("edit", item, "-d", hostile)
    shown = shell.orchestrate("show", item)
    got = shell.having(AGENT_ID="ada").worker("get", item)

    for screen in (ran.stdout, shown.stdout, got.stdout):
        assert "\x1b" not in screen
        assert not any(
            line.startswith("Error") for line in screen.splitlines()
        )


def test_depend_remove_queues_the_item(shell: Shell, bench: Bench) -> None:
    first = bench.item(agent="bob")
    item = bench.item(depends_on=(first,))

    removed = shell.orchestrate("depend", item, first, "--remove")
    again = shell.orchestrate("depend", item, first, "--remove", "--json")

    assert (removed.code, removed.stdout) == (0, f"{item} is queued.\n")
    assert again.data() == {"id": item, "state": "queued"}
    assert again.json()["meta"]["hints"] == [
        f"Nothing has changed: {item} does not depend on {first}."
    ]
    assert bench.claimed_next() == item


def test_labels_are_shown_everywhere(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    item = shell.orchestrate(
        *("create", project, "x", "--label", "a", "b/c", "--assign", "ada")
    ).stdout.strip()

    shown = shell.orchestrate("show", item).stdout
    got = shell.having(AGENT_ID="ada").worker("get", item).stdout
    listed = shell.orchestrate("list", "--json").data()
    table = shell.orchestrate("list").stdout

    assert "Labels: a, b/c\n" in shown
    assert "Labels: a, b/c\n" in got
    assert listed[0]["labels"] == ["a", "b/c"]
    assert table.split("\n")[0].split()[-2:] == ["LABELS", "TITLE"]
    assert "a, b/c" in table


def test_known_deliverables_are_links_if_urls(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    bench.agent().complete(
        Lease(item=item),
        "done",
        deliverables={
            "pr": "https://example.org/pull/1",
            "branch": "feature",
            "commit": "javascript:alert(1)",
            "report": "https://example.org/x",
        },
    )

    (listed,) = shell.orchestrate("list", "--json").data()

    assert listed["links"] == {"pr": "https://example.org/pull/1"}


# Plans --------------------------------------------------------------------------------


def test_changed_plan_reports_differences_on_stderr(
    shell: Shell, bench: Bench, plan: Path
) -> None:
    project = shell.orchestrate("apply", "plan.yaml").stdout.strip()
    schema, api = bench.queue.views.list(project=project).items
    bench.claimed(schema.id, agent="database")
    plan.write_text(CHANGED, encoding="utf-8")
    differences = [
        f"schema ({schema.id}) is in progress: title differs from the plan.",
        f"api ({api.id}) title: Write the API -> Write a small API",
        f"api ({api.id}) priority: 2 -> 0",
    ]

    dry = shell.orchestrate("apply", "plan.yaml", "--dry-run")
    untouched = bench.queue.views.show(api.id).item.title
    ran = shell.orchestrate("apply", "plan.yaml")

    assert (dry.code, dry.stdout) == (0, f"{project}\n")
    assert dry.stderr.splitlines() == [*differences, "Nothing was written."]
    assert untouched == "Write the API"
    assert (ran.code, ran.stdout) == (0, f"{project}\n")
    assert ran.stderr.splitlines() == differences
    assert bench.queue.views.show(api.id).item.title == "Write a small API"
    assert bench.queue.views.show(schema.id).item.title == "Design it"


def test_apply_json_has_changes_and_differences(
    shell: Shell, bench: Bench, plan: Path
) -> None:
    project = shell.orchestrate("apply", "plan.yaml").stdout.strip()
    schema = bench.queue.views.list(project=project).items[0].id
    bench.claimed(schema, agent="database")
    plan.write_text(CHANGED, encoding="utf-8")

    document = shell.orchestrate("apply", "plan.yaml", "--json")

    assert document.stderr == ""
    assert [
        (item["name"], item["changes"], item["differences"])
        for item in document.data()["items"]
    ] == [
        (
            "schema",
            [],
            [
                {
                    "field": "title",
                    "before": "Design it",
                    "after": "Design the schema",
                }
            ],
        ),
        (
            "api",
            [
                {
                    "field": "title",
                    "before": "Write the API",
                    "after": "Write a small API",
                },
                {"field": "priority", "before": "2", "after": "0"},
            ],
            [],
        ),
    ]
    assert len(document.json()["meta"]["hints"]) == 3


@pytest.mark.usefixtures("plan")
def test_unchanged_plan_is_applied_in_silence(
    shell: Shell, bench: Bench
) -> None:
    shell.orchestrate("apply", "plan.yaml")
    before = bench.everything()

    again = shell.orchestrate("apply", "plan.yaml")

    assert (again.code, again.stderr) == (0, "")
    assert bench.everything() == before


def test_terminal_marks_changed_items(shell: Shell, plan: Path) -> None:
    shell.orchestrate("apply", "plan.yaml")
    plan.write_text(CHANGED, encoding="utf-8")

    _, screen = shell.having(NO_COLOR="1").on_terminal(
        BIN / "orchestrate", "apply", "plan.yaml"
    )

    rows = [line.split() for line in screen.splitlines()]
    assert [row[-1] for row in rows[2:4]] == ["changed", "changed"]
    assert "title: Write the API -> Write a small API" in screen


def test_plan_names_the_agent_that_it_cannot_change(
    shell: Shell, bench: Bench, plan: Path
) -> None:
    project = shell.orchestrate("apply", "plan.yaml").stdout.strip()
    schema, api = bench.queue.views.list(project=project).items
    plan.write_text(
        PLAN.replace("agent: database", "agent: other").replace(
            "title: Write the API", "title: Write the API\n    agent: backend"
        ),
        encoding="utf-8",
    )

    ran = shell.orchestrate("apply", "plan.yaml")

    follow = "To follow the plan: orchestrate assign"
    assert ran.stderr.splitlines() == [
        f"schema ({schema.id}) is assigned to database. {follow} {schema.id} other",
        f"api ({api.id}) is not assigned. {follow} {api.id} backend",
    ]
    assert bench.state(api.id) is State.PENDING


@pytest.mark.usefixtures("plan")
def test_plan_with_a_bad_label_names_its_line(shell: Shell) -> None:
    document = PLAN.replace("[db]", "[two words]")

    ran = shell.orchestrate("apply", "-", stdin=document.encode())

    assert ran.code == 5
    assert "line 7: items[0].labels[0]: 'two words' is not a label." in (
        ran.stderr
    )


def test_differences_are_cut_and_escaped(shell: Shell, plan: Path) -> None:
    shell.orchestrate("apply", "plan.yaml")
    document = json.dumps(
        {
            "project": "Build it",
            "key": "k",
            "items": [{"name": "schema", "title": "a\x1b[2J\nError: x"}],
        }
    )

    ran = shell.orchestrate("apply", "-", stdin=document.encode())

    assert plan.exists()
    assert "\x1b" not in ran.stderr
    assert not any(
        line.startswith("Error") for line in ran.stderr.splitlines()
    )
