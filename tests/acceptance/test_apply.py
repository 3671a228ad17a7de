"""`orchestrate apply`: a plan file creates a project with all its items, or nothing."""

import json
import re
from pathlib import Path

import pytest
from support.builders import Bench
from support.commands import BIN, Shell
from taskorch.domain.item import State

PLAN = """project: Build it
key: auth-1
items:
  - name: api
    title: Write the API
    agent: backend
    depends_on: [schema]
  - name: schema
    title: Design it
    agent: database
  - name: review
    title: Review it
"""
#: A POSIX time zone: a name would need the time zone database.
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
BAD = "project: P\nitems:\n  - {name: a, title: x, priority: 9}\n  - {name: a, title: x, agent: '../x'}\n"


@pytest.fixture
def plan(shell: Shell) -> Path:
    file = shell.folder / "plan.yaml"
    file.write_text(PLAN, encoding="utf-8")
    return file


@pytest.mark.usefixtures("plan")
def test_apply_prints_only_project_id_in_pipe(
    shell: Shell, bench: Bench
) -> None:
    ran = shell.orchestrate("apply", "plan.yaml")

    assert (ran.code, ran.stderr) == (0, "")
    assert re.fullmatch(r"proj_[0-9a-f]{8}\n", ran.stdout)
    items = bench.queue.views.progress(ran.stdout.strip()).items
    assert [(item.title, item.state) for item in items] == [
        ("Design it", State.QUEUED),
        ("Write the API", State.WAITING),
        ("Review it", State.PENDING),
    ]


def test_plan_with_too_large_item_writes_nothing(
    shell: Shell, bench: Bench
) -> None:
    rows = "".join(f"      - {'x' * 60_000}\n" for _ in range(18))
    heavy = f"project: P\nitems:\n  - name: heavy\n    title: H\n    requirements:\n{rows}"
    (shell.folder / "heavy.yaml").write_text(heavy, encoding="utf-8")

    ran = shell.orchestrate("apply", "heavy.yaml", "--json")

    error = json.loads(ran.stdout)["error"]
    assert (ran.code, error["code"]) == (5, "TOO_LARGE")
    assert error["message"].startswith("heavy would have 10")
    assert bench.queue.views.projects() == ()


@pytest.mark.usefixtures("plan")
def test_apply_prints_item_rows_on_terminal(shell: Shell) -> None:
    plain = shell.having(NO_COLOR="1")

    _, first = plain.on_terminal(BIN / "orchestrate", "apply", "plan.yaml")
    _, again = plain.on_terminal(BIN / "orchestrate", "apply", "plan.yaml")

    rows = [line.split() for line in first.splitlines()]
    assert rows[0][:2] == ["Project", "ID:"]
    assert rows[1] == ["NAME", "ITEM", "AGENT", "STATE"]
    assert [(row[0], *row[2:]) for row in rows[2:]] == [
        ("schema", "database", "queued", "created"),
        ("api", "backend", "waiting", "created"),
        ("review", "-", "pending", "created"),
    ]
    assert again.splitlines()[0] == first.splitlines()[0] + " (existing)"
    assert [line.split()[:4] for line in again.splitlines()[2:]] == [
        row[:4] for row in rows[2:]
    ]
    assert [line.split()[4:] for line in again.splitlines()[2:]] == [
        ["existing"]
    ] * 3


def test_apply_json_has_state_of_each_item(shell: Shell, bench: Bench) -> None:
    first = shell.orchestrate(
        "apply", "-", "--json", stdin=PLAN.encode()
    ).data()
    more = PLAN + "  - {name: docs, title: Write it down}\n"
    again = shell.orchestrate(
        "apply", "-", "--json", stdin=more.encode()
    ).data()

    assert [
        (item["name"], item["state"], item["agent"], item["created"])
        for item in first["items"]
    ] == [
        ("schema", "queued", "database", True),
        ("api", "waiting", "backend", True),
        ("review", "pending", "", True),
    ]
    assert (first["created"], again["created"]) == (True, False)
    assert again["project"] == first["project"]
    assert [item["id"] for item in again["items"][:3]] == [
        item["id"] for item in first["items"]
    ]
    assert [item["created"] for item in again["items"]] == [
        False,
        False,
        False,
        True,
    ]
    assert len(bench.queue.views.list().items) == 4


def test_json_plan_is_read_from_standard_input(
    shell: Shell, bench: Bench
) -> None:
    document = {
        "project": "Build it",
        "items": [{"name": "a", "title": "Ü 😀", "context": {"x": "1"}}],
    }

    ran = shell.orchestrate("apply", "-", stdin=json.dumps(document).encode())

    assert ran.code == 0, ran.stderr
    assert bench.queue.views.list().items[0].title == "Ü 😀"


def test_plan_without_key_says_how_to_repeat_it(shell: Shell) -> None:
    plan = "project: Shop\nitems:\n  - {name: a, title: A}\n"

    first = shell.orchestrate("apply", "-", stdin=plan.encode())
    project = first.stdout.strip()
    named = plan.replace("Shop", project).replace("title: A", "title: B")
    again = shell.orchestrate("apply", "-", stdin=named.encode())

    assert first.stderr == (
        "The plan has no key: applied again, it creates another project. "
        f"To update this one instead, write in the plan: project: {project}\n"
    )
    assert again.stdout == first.stdout
    assert again.stderr.endswith("title: A -> B\n")


@pytest.mark.usefixtures("plan")
def test_dry_run_writes_nothing_and_says_so(
    shell: Shell, bench: Bench
) -> None:
    ran = shell.orchestrate("apply", "plan.yaml", "--dry-run")
    code, screen = shell.having(NO_COLOR="1").on_terminal(
        BIN / "orchestrate", "apply", "plan.yaml", "--dry-run"
    )

    assert (ran.code, ran.stdout, ran.stderr) == (
        0,
        "",
        "The plan creates a new project.\nNothing was written.\n",
    )
    assert code == 0
    assert screen.splitlines()[0] == "Project ID: a new one"
    assert screen.splitlines()[2].split() == [
        "schema",
        "-",
        "database",
        "-",
        "new",
    ]
    assert screen.splitlines()[-1] == "Nothing was written."
    assert bench.everything() == {}


def test_project_id_adds_to_that_project(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    document = f"project: {project}\nitems: [{{name: a, title: A}}]"

    first = shell.orchestrate("apply", "-", stdin=document.encode())
    again = shell.orchestrate("apply", "-", stdin=document.encode())

    assert first.stdout == again.stdout == f"{project}\n"
    assert [
        item.title for item in bench.queue.views.progress(project).items
    ] == ["A"]


def test_mistakes_are_reported_with_lines_before_writing(
    shell: Shell, bench: Bench
) -> None:
    (shell.folder / "bad.yaml").write_text(BAD, encoding="utf-8")

    ran = shell.orchestrate("apply", "bad.yaml")

    assert (ran.code, ran.stdout) == (5, "")
    assert ran.stderr.splitlines()[:2] == [
        "Error: bad.yaml is not a valid plan. Nothing was written.",
        "  line 3: items[0].priority: The priority is 9. It must be 0 to 4.",
    ]
    assert ran.stderr.splitlines()[2].startswith(
        "  line 4: items[1].agent: '../x' is not a name for an agent"
    )
    assert bench.everything() == {}


def test_json_error_has_mistakes_in_details(shell: Shell) -> None:
    ran = shell.orchestrate("apply", "-", "--json", stdin=BAD.encode())

    error = ran.error()
    assert (ran.code, error["code"], error["details"]["file"]) == (
        5,
        "BAD_PLAN",
        "Standard input",
    )
    assert [
        (mistake["line"], mistake["path"])
        for mistake in error["details"]["mistakes"]
    ] == [
        (3, "items[0].priority"),
        (4, "items[1].agent"),
    ]


def test_mistake_forges_no_line_of_output(shell: Shell) -> None:
    ran = shell.orchestrate(
        "apply",
        "-",
        stdin=b'project: P\nitems:\n - {name: a, title: x, "\\e[2J\\nError: y": z}\n',
    )

    assert ran.code == 5
    assert len(ran.stderr.splitlines()) == 2
    assert "\x1b" not in ran.stderr


@pytest.mark.parametrize("words", [["nowhere.yaml"], ["."], []])
def test_unreadable_file_is_usage_error(
    shell: Shell, words: list[str]
) -> None:
    ran = shell.orchestrate("apply", *words)

    assert (ran.code, ran.stdout) == (2, "")


@pytest.mark.parametrize(
    ("document", "code", "message"),
    [
        (
            "project: proj_00000000\nitems: [{name: a, title: A}]",
            3,
            "There is no project proj_00000000",
        ),
        (
            "project: P\nitems: [{name: a, title: A, depends_on: [item_00000000]}]",
            3,
            "There is no item item_00000000",
        ),
        (
            "project: {closed}\nitems: [{name: a, title: A}]",
            5,
            "{closed} is completed",
        ),
    ],
)
def test_apply_refuses_unknown_project_and_item(
    shell: Shell, bench: Bench, document: str, code: int, message: str
) -> None:
    closed = bench.project()
    bench.queue.complete_project(closed)
    before, stdin = (
        bench.everything(),
        document.replace("{closed}", closed).encode(),
    )

    ran = shell.orchestrate("apply", "-", stdin=stdin)
    dry = shell.orchestrate("apply", "-", "--dry-run", stdin=stdin)

    assert (ran.code, ran.stdout) == (code, "")
    assert message.replace("{closed}", closed) in ran.stderr
    assert dry == ran
    assert bench.everything() == before


@pytest.mark.parametrize("state", [State.CANCELLED, State.FAILED])
def test_create_warns_of_dead_dependency(
    shell: Shell, bench: Bench, state: State
) -> None:
    dead = bench.bring_to(bench.item(), state).item
    project = bench.project()
    hint = (
        f"{dead} is {state}: the new item cannot start unless it is requeued."
    )

    ran = shell.orchestrate("create", project, "x", "--depends-on", dead)
    document = shell.orchestrate(
        "create", project, "x", "--depends-on", dead, "--json"
    )

    assert (ran.code, ran.stderr) == (0, f"{hint}\n")
    assert document.stderr == ""
    assert document.json()["meta"] == {"dead_dependency": dead, "hint": hint}


def test_create_accepts_live_dependency_without_warning(
    shell: Shell, bench: Bench
) -> None:
    ran = shell.orchestrate(
        "create", bench.project(), "x", "--depends-on", bench.item(), "--json"
    )

    assert (ran.json()["meta"], ran.stderr) == ({}, "")


def test_apply_names_item_that_cannot_start(
    shell: Shell, bench: Bench
) -> None:
    dead = bench.bring_to(bench.item(), State.CANCELLED).item
    document = f"project: P\nkey: k\nitems: [{{name: a, title: A, depends_on: [{dead}]}}]"

    ran = shell.orchestrate("apply", "-", stdin=document.encode())

    assert (
        ran.stderr
        == f"a: {dead} is cancelled: the new item cannot start unless it is requeued.\n"
    )


@pytest.mark.parametrize("state", [State.CANCELLED, State.FAILED])
def test_create_names_the_dead_item_of_its_key(
    shell: Shell, bench: Bench, state: State
) -> None:
    project = bench.project()
    item = bench.bring_to(bench.item(project, key="k"), state).item
    hint = (
        f"{item} has this key already and is {state}: nothing was created. "
        f"To have it done: orchestrate requeue {item}. To create another item, use another key."
    )

    ran = shell.orchestrate("create", project, "x", "--key", "k")
    document = shell.orchestrate(
        "create", project, "x", "--key", "k", "--json"
    )

    assert (ran.code, ran.stdout, ran.stderr) == (0, f"{item}\n", f"{hint}\n")
    assert document.stderr == ""
    assert document.data() == {
        "id": item,
        "created": False,
        "state": state,
        "not_before_at": None,
    }
    assert document.json()["meta"] == {"hint": hint}


def test_create_repeats_live_key_without_warning(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()

    first = shell.orchestrate("create", project, "x", "--key", "k", "--json")
    again = shell.orchestrate("create", project, "x", "--key", "k", "--json")

    assert (first.data()["created"], first.data()["state"]) == (
        True,
        "pending",
    )
    assert (again.data()["created"], again.data()["id"]) == (
        False,
        first.data()["id"],
    )
    assert (again.json()["meta"], again.stderr) == ({}, "")


@pytest.mark.usefixtures("plan")
def test_apply_names_dead_items_in_a_pipe(shell: Shell, bench: Bench) -> None:
    project = shell.orchestrate("apply", "plan.yaml").stdout.strip()
    review = bench.queue.views.list(project=project).items[-1].id
    bench.queue.cancel(review)

    again = shell.orchestrate("apply", "plan.yaml")
    document = shell.orchestrate("apply", "plan.yaml", "--json")

    assert (again.code, again.stdout) == (0, f"{project}\n")
    assert again.stderr.startswith(
        f"review: {review} has this key already and is cancelled: nothing was created. "
    )
    assert document.json()["meta"] == {"hints": [again.stderr.strip()]}


def test_create_reports_time_without_zone(shell: Shell, bench: Bench) -> None:
    berlin, project = shell.having(TZ=BERLIN), bench.project()

    ran = berlin.orchestrate(
        "create", project, "x", "--not-before", "2027-03-28 02:30"
    )
    document = berlin.orchestrate(
        "create", project, "x", "--not-before", "2027-07-01 12:00", "--json"
    )
    zoned = berlin.orchestrate(
        "create",
        project,
        "x",
        "--not-before",
        "2027-07-01T12:00+02:00",
        "--json",
    )

    assert ran.stderr == (
        "2027-03-28 02:30 has no time zone. It is read as 2027-03-28T01:30:00Z, "
        "in the local time zone (CEST, UTC+02:00).\n"
    )
    assert (
        document.data()["not_before_at"]
        == zoned.data()["not_before_at"]
        == "2027-07-01T10:00:00.000Z"
    )
    assert (
        "It is read as 2027-07-01T10:00:00Z" in document.json()["meta"]["hint"]
    )
    assert zoned.json()["meta"] == {}


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_apply_remarks_on_times_and_comments(
    shell: Shell, more: tuple[str, ...]
) -> None:
    document = b"project: P\nitems:\n  - name: a\n    title: fix #123\n    not_before: 2027-12-01 12:00\n"

    ran = shell.having(TZ=BERLIN).orchestrate(
        "apply", "-", *more, stdin=document
    )
    data = shell.having(TZ=BERLIN).orchestrate(
        "apply", "-", "--json", *more, stdin=document
    )

    comment, time = ran.stderr.splitlines()[-3 if more else 0 :][:2]
    assert comment == (
        "line 4: items[0].title: YAML reads '#123' as a comment, so the text is 'fix'. Put the whole text in quotes."
    )
    assert time == (
        "line 5: items[0].not_before: 2027-12-01 12:00 has no time zone. It is read as 2027-12-01T11:00:00Z, "
        "in the local time zone (CET, UTC+01:00)."
    )
    assert data.json()["meta"]["hints"][:2] == [comment, time]
    assert (
        data.data()["items"][0]["not_before_at"] == "2027-12-01T11:00:00.000Z"
    )


def test_plan_of_51_items_is_refused(shell: Shell, bench: Bench) -> None:
    document = "project: P\nkey: k\nitems:\n" + "".join(
        f" - {{name: n{n}, title: x}}\n" for n in range(51)
    )
    (shell.folder / "long.yaml").write_text(document, encoding="utf-8")

    ran = shell.orchestrate("apply", "long.yaml")

    assert ran.code == 5
    assert "51 items; at most 50 are created in one step" in ran.stderr
    assert bench.queue.views.projects() == ()
