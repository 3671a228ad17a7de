"""Wrong command lines: each has its exit code and message, and changes nothing."""

import shlex

import pytest
from support.builders import Bench
from support.commands import BIN, CommandResult, Shell
from taskorch.domain.item import State

#: The command line, its exit code, and a part of its message. {item} is queued for
#: ada; {pending} is not assigned.
REFUSED = [
    ("worker get ''", 3, "The id of an item is empty."),
    ("worker progress '' x", 3, "The id of an item is empty."),
    ("orchestrate show ''", 3, "The id of an item is empty."),
    ("orchestrate progress ''", 3, "The id of a project is empty."),
    ("orchestrate complete ''", 3, "The id of a project is empty."),
    ("orchestrate create '' x", 3, "The id of a project is empty."),
    ("worker get item_00000000", 3, "There is no item item_00000000"),
    ("worker progress item_00000000 x", 3, "There is no item item_00000000"),
    ("worker get {project}", 3, "There is no item {project}"),
    ("worker get item_../../../etc/passwd", 3, "There is no item item_../"),
    ("orchestrate show item_00000000", 3, "There is no item item_00000000"),
    ("orchestrate assign {project} ada", 3, "There is no item {project}"),
    (
        "orchestrate assign item_00000000 ada",
        3,
        "There is no item item_00000000",
    ),
    ("orchestrate create {item} x", 3, "There is no project {item}"),
    (
        "orchestrate create {project} x --depends-on item_00000000",
        3,
        "There is no item item_00000000",
    ),
    (
        "orchestrate progress proj_00000000",
        3,
        "There is no project proj_00000000",
    ),
    (
        "orchestrate progress item_00000000",
        3,
        "There is no item item_00000000",
    ),
    ("orchestrate complete {item}", 3, "There is no project {item}"),
    (
        "orchestrate purge proj_00000000 --yes",
        3,
        "There is no project proj_00000000",
    ),
    (
        "orchestrate purge {project} --yes",
        5,
        "{project} is active, so purge is not possible now",
    ),
    (
        "orchestrate purge {project} --older-than 1d",
        2,
        "--older-than selects among all projects",
    ),
    ("orchestrate purge --older-than long", 2, "'long' is not a duration"),
    ("orchestrate list proj_00000000", 3, "There is no project proj_00000000"),
    (
        "orchestrate unassigned --project proj_00000000",
        3,
        "There is no project proj_00000000",
    ),
    (
        "worker --agent-id bob get {item}",
        7,
        "{item} is assigned to ada, not to bob",
    ),
    (
        "worker --agent-id bob progress {item} x",
        7,
        "{item} is assigned to ada, not to bob",
    ),
    (
        "worker --agent-id bob complete {item} x",
        7,
        "{item} is assigned to ada, not to bob",
    ),
    ("worker get {pending}", 7, "{pending} is assigned to no agent yet"),
    (
        "worker get {pending} --peek --takeover",
        2,
        "peek and takeover exclude each other",
    ),
    (
        "orchestrate stuck --project proj_00000000",
        3,
        "There is no project proj_00000000",
    ),
    ("orchestrate stuck --silent-for long", 2, "'long' is not a duration"),
    ("orchestrate import /nowhere", 2, "'/nowhere' does not exist"),
    ("orchestrate import /dev/null", 5, "cannot be imported: it is empty"),
    (
        "orchestrate import /etc/passwd",
        5,
        "cannot be imported: it is not JSON",
    ),
    (
        "orchestrate export /nowhere/file",
        5,
        "/nowhere/file cannot be written: No such file or directory",
    ),
    ("orchestrate export .", 2, "is a directory"),
    (
        "orchestrate answer {item} x",
        5,
        "{item} has no open question. It is queued.",
    ),
    ("orchestrate complete {project}", 5, "{project} has 3 unfinished items"),
    ("orchestrate assign {done} bob", 5, "{done} is completed"),
    ("orchestrate depend {done} {item}", 5, "{done} is completed"),
    ("orchestrate edit {done} --title x", 5, "{done} is completed"),
    ("orchestrate edit {item}", 2, "Say what to change"),
    ("orchestrate edit item_00000000 --title x", 3, "There is no item"),
    ("orchestrate depend {item} {item}", 5, "{item} cannot depend on"),
    (
        "orchestrate depend {item} {waiting}",
        5,
        "{item} cannot depend on {waiting}",
    ),
    ("worker progress {waiting} x", 5, "{waiting} is waiting"),
    ("worker release {item}", 5, "{item} is queued"),
    ("orchestrate project ''", 5, "The title is empty"),
    ("orchestrate create {project} ''", 5, "The title is empty"),
    ("orchestrate create {project} x -r ''", 5, "empty"),
    ("worker progress {item} ''", 5, "The report is empty"),
    ("worker notes {item} ''", 5, "The note is empty"),
    (
        "orchestrate assign {item} ../evil",
        5,
        "'../evil' is not a name for an agent",
    ),
    (
        "orchestrate --namespace a:b projects",
        5,
        "'a:b' is not a name for a namespace",
    ),
    (
        "orchestrate discoveries {project} --since yesterday",
        5,
        "'yesterday' is not a cursor",
    ),
    (
        "orchestrate discoveries --since 1-0:{item}",
        5,
        "is not a cursor",
    ),
    ("worker discoveries {item} --since 1", 5, "'1' is not a cursor"),
    ("worker discoveries {project}", 3, "There is no item"),
    ("orchestrate list --cursor yesterday", 5, "'yesterday' is not a cursor"),
    (
        "orchestrate create {project} x --not-before 1960-01-01",
        2,
        "is not a time",
    ),
    (
        "worker progress {item} x --percent 150",
        2,
        "150 is not in the range 0<=x<=100",
    ),
    ("worker complete {item}", 2, "Missing argument 'SUMMARY'"),
    (
        "worker complete {item} x --deliverable schema",
        2,
        "'schema' is not NAME=VALUE",
    ),
    ("worker pop --lease 5y", 2, "'5y' is not a duration"),
    ("worker pop --wait 541", 2, "541.0 is not in the range"),
    ("worker pop --wait nan", 2, "nan"),
    ("worker pop --count 0", 2, "0 is not in the range"),
    ("worker pop --count 101", 2, "101 is not in the range"),
    ("worker run", 2, "Missing argument 'COMMAND...'"),
    (
        "worker run -- no-such-command",
        2,
        "Cannot run 'no-such-command': not found",
    ),
    (
        "worker run -- /etc/passwd",
        2,
        "Cannot run '/etc/passwd': not found, or not executable",
    ),
    ("worker run --pool 0 -- true", 2, "0 is not in the range"),
    ("worker run --wait nan -- true", 2, "nan"),
    ("worker run --timeout 0s -- true", 2, "'0s' is not between"),
    ("worker run --lease 10ms -- true", 5, "The lease in ms is 10"),
    ("worker run --wiat 5 -- true", 2, "No such option '--wiat'"),
    ("worker pop --wiat 5", 2, "No such option '--wiat'"),
    ("worker frobnicate", 2, "No such command 'frobnicate'"),
    (
        "worker discover {item} - --impact -",
        2,
        "standard input ('-') was read already",
    ),
    (
        "orchestrate create {project} x --context =v",
        2,
        "'=v' is not NAME=VALUE",
    ),
    (
        "orchestrate create {project} x --not-before tomorrow",
        2,
        "'tomorrow' is not a time",
    ),
    (
        "orchestrate create {project} x --priority 5",
        2,
        "5 is not in the range 0<=x<=4",
    ),
    ("orchestrate list --state done", 2, "'done' is not one of"),
    ("orchestrate depend {item}", 2, "Missing argument"),
    ("orchestrate apply nowhere.yaml", 2, "No such file"),
    ("orchestrate apply -", 5, "line 1: The file is empty."),
    ("orchestrate doctor {item}", 2, "unexpected extra argument"),
    ("orchestrate wait item_00000000", 3, "There is no item item_00000000"),
    ("orchestrate wait proj_00000000", 3, "There is no project proj_00000000"),
    ("orchestrate wait nonsense", 3, "There is no project nonsense"),
    (
        "orchestrate wait {done} --until blocked",
        5,
        "{done} is completed, and will not be blocked unless someone intervenes",
    ),
    ("orchestrate wait {item} --until done", 2, "'done' is not one of"),
    ("orchestrate wait {item} --timeout -1", 2, "-1.0 is not in the range"),
    (
        "orchestrate wait {item} --timeout 86401",
        2,
        "86401.0 is not in the range",
    ),
    ("orchestrate wait {item} --timeout nan", 2, "nan"),
    ("orchestrate wait {item} --since 1-0", 2, "since needs until any"),
    (
        "orchestrate wait {item} --until any --since yesterday",
        5,
        "'yesterday' is not a cursor",
    ),
    (
        "orchestrate wait {item} --timeout 0",
        8,
        "timed out after 0 s: it is queued, 0%",
    ),
    ("orchestrate watch {item}", 3, "There is no project {item}"),
    (
        "orchestrate watch proj_00000000",
        3,
        "There is no project proj_00000000",
    ),
    ("orchestrate watch --since yesterday", 5, "'yesterday' is not a cursor"),
    (
        "orchestrate discoveries proj_00000000 --follow",
        3,
        "There is no project proj_00000000",
    ),
    (
        "orchestrate discoveries {project} --follow --since yesterday",
        5,
        "'yesterday' is not a cursor",
    ),
    ("worker wait item_00000000", 3, "There is no item item_00000000"),
    ("worker wait {project}", 3, "There is no item {project}"),
    (
        "worker --agent-id bob wait {item}",
        7,
        "{item} is assigned to ada, not to bob",
    ),
    (
        "worker wait {item} --timeout never",
        2,
        "'never' is not a number of seconds.",
    ),
    ("orchestrate setup vim", 2, "'vim' is not one of"),
    (
        "orchestrate setup claude --check --remove",
        2,
        "--check changes nothing",
    ),
    ("worker prime {item}", 2, "unexpected extra argument"),
]


@pytest.fixture
def names(bench: Bench) -> dict[str, str]:
    """The ids in the command lines: a project with an item in each of four states."""
    project = bench.project()
    done = bench.bring_to(bench.item(project), State.COMPLETED).item
    item, pending = bench.item(project), bench.item(project, agent="")
    waiting = bench.item(project, depends_on=(item,))
    return {
        "project": project,
        "item": item,
        "pending": pending,
        "waiting": waiting,
        "done": done,
    }


def run_line(
    shell: Shell, line: str, names: dict[str, str], *more: str
) -> CommandResult:
    """Run a command line, split as a shell splits it."""
    command, *words = (
        word.format_map(names) for word in (*shlex.split(line), *more)
    )
    return (
        shell.worker(*words)
        if command == "worker"
        else shell.orchestrate(*words)
    )


@pytest.mark.parametrize("refusal", REFUSED, ids=lambda refusal: refusal[0])
def test_wrong_command_line_has_exit_code_and_reason(
    shell: Shell,
    bench: Bench,
    names: dict[str, str],
    refusal: tuple[str, int, str],
) -> None:
    line, code, message = refusal
    before = bench.everything()

    ran = run_line(shell, line, names)

    assert ran.code == code, ran.stderr
    assert message.format_map(names) in ran.stderr
    assert ran.stdout == ""
    assert bench.everything() == before


@pytest.mark.parametrize(
    "refusal",
    [
        ("orchestrate progress proj_00000000", 3, "NO_PROJECT", False),
        ("worker --agent-id bob get {item}", 7, "NOT_YOURS", False),
        ("orchestrate answer {item} x", 5, "NO_QUESTION", False),
        ("orchestrate complete {project}", 5, "OPEN_ITEMS", False),
        ("orchestrate project ''", 5, "INVALID", False),
        ("worker progress {item} x --percent 150", 2, "USAGE", False),
        ("orchestrate frobnicate", 2, "USAGE", False),
        ("worker --agent-id eve pop", 8, "NOTHING_TO_DO", True),
        ("orchestrate wait {item} --timeout 0", 8, "WAIT_OVER", True),
        ("orchestrate wait {done} --until blocked", 5, "DEAD_END", False),
        ("orchestrate watch {item}", 3, "NO_PROJECT", False),
        ("orchestrate apply -", 5, "BAD_PLAN", False),
        ("orchestrate apply nowhere.yaml", 2, "USAGE", False),
    ],
    ids=lambda refusal: refusal[0],
)
def test_error_as_json_is_one_document(
    shell: Shell, names: dict[str, str], refusal: tuple[str, int, str, bool]
) -> None:
    line, code, word, retryable = refusal

    ran = run_line(shell, line, names, "--json")

    error = ran.error()
    assert ran.code == code
    assert (error["code"], error["retryable"]) == (word, retryable)
    assert error["message"]
    assert ran.stderr == ""


def test_dependency_may_belong_to_another_project(
    shell: Shell, bench: Bench
) -> None:
    elsewhere, item = bench.item(), bench.item()

    ran = shell.orchestrate("depend", item, elsewhere)

    assert ran == CommandResult(0, f"{item} is waiting.\n", "")
    assert bench.queue.views.show(item).item.depends_on == (elsewhere,)


@pytest.mark.parametrize(
    "agent", ["../../evil", "..", "-rf", "x" * 65, "ada\n"]
)
def test_invalid_agent_name_creates_no_folder(
    shell: Shell, agent: str
) -> None:
    ran = shell.having(AGENT_ID=agent).worker("pop")

    assert ran.code == 5
    assert "is not a name for an agent" in ran.stderr
    assert list(shell.folder.parent.rglob("*")) == [shell.folder]


@pytest.mark.parametrize(
    "variables", [{}, {"AGENT_ID": ""}, {"AGENT_ID": "", "TM_AGENT_ID": ""}]
)
def test_missing_agent_name_is_reported(
    shell: Shell, variables: dict[str, str]
) -> None:
    ran = shell.lacking("AGENT_ID").having(**variables).worker("check")

    assert ran.code == 2
    assert "Set AGENT_ID, or give --agent-id NAME" in ran.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"redis = 'x'\n",
            "unknown key 'redis'. Use: redis_url, url, namespace",
        ),
        (b"namespace = \n", "is not TOML"),
        (b"namespace = 3\n", "namespace must be text"),
        (b"namespace = '\xff'\n", "config.toml"),
    ],
)
def test_wrong_config_file_is_named(
    shell: Shell, content: bytes, message: str
) -> None:
    (shell.folder / ".task-orchestrator").mkdir()
    (shell.folder / ".task-orchestrator" / "config.toml").write_bytes(content)

    ran = shell.worker("check")

    assert ran.code == 2
    assert message in ran.stderr
    assert ".task-orchestrator/config.toml" in ran.stderr


def test_deleted_current_folder_is_reported(shell: Shell) -> None:
    script = 'cd gone && rmdir ../gone && exec "$@"'
    (shell.folder / "gone").mkdir()

    ran = shell.run("sh", "-c", script, "sh", BIN / "worker", "check")

    assert ran.code == 2
    assert "The current folder does not exist any more" in ran.stderr
