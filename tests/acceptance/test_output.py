"""The output of commands on a terminal and in a pipe, and the parsing of arguments."""

import re
import signal
from pathlib import Path
from time import monotonic

import click
import pytest
from support import click_commands
from support.builders import Bench
from support.commands import BIN, Shell, eventually, result_of
from taskorch.cli.quoting import NOTICE
from taskorch.domain.item import State
from taskorch_orchestrator.cli import orchestrate
from taskorch_worker.cli import worker

BAR = "━"


def test_worker_check_prints_text_of_the_protocol(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(agent="database_specialist")

    ran = shell.having(AGENT_ID="database_specialist").worker("check")

    assert ran.stdout.splitlines() == [
        "You have 1 assigned work items:",
        f"  - {item}",
        "In your queue:",
        f"  - {item} (priority 2, assigned just now) An item",
        NOTICE,
    ]
    assert ran.stderr == ""


def test_worker_get_prints_text_of_the_protocol(
    shell: Shell, bench: Bench
) -> None:
    requirements = ("Users table", "Sessions table", "Password reset tokens")
    item = bench.item(
        title="Design database schema", requirements=requirements
    )

    ran = shell.worker("get", item)

    assert ran.stdout.splitlines()[:6] == [
        f"=== Work Item: {item} ===",
        "Title: Design database schema",
        "Requirements:",
        "  - Users table",
        "  - Sessions table",
        "  - Password reset tokens",
    ]


def test_workflow_of_the_protocol_works_as_written(
    shell: Shell, bench: Bench
) -> None:
    script = """set -e
        PROJECT=$(orchestrate project "User Management API")
        DB_ITEM=$(orchestrate create $PROJECT "Database design" -r "Users table" "Sessions table")
        orchestrate assign $DB_ITEM database_expert
        export AGENT_ID="database_expert"
        worker check
        worker get $DB_ITEM
        worker progress $DB_ITEM "Creating ERD diagram" --percent 50
        worker notes $DB_ITEM "Considering UUID vs auto-increment for IDs"
        worker discover $DB_ITEM "Need audit log table for compliance" --impact "Additional table required"
        worker blocker $DB_ITEM "Need clarification on password requirements" --needs "Min length"
        worker complete $DB_ITEM "5 tables designed with constraints"
        orchestrate progress $PROJECT
        orchestrate discoveries $PROJECT
        orchestrate complete $PROJECT"""

    ran = shell.having(PATH=f"{BIN}:/usr/bin:/bin").run("sh", "-c", script)

    assert ran.code == 0, ran.stderr
    assert "Need audit log table for compliance" in ran.stdout
    assert "5 tables designed with constraints" in ran.stdout
    assert [project.status for project in bench.queue.views.projects()] == [
        "completed"
    ]


def test_new_id_is_labelled_on_terminals_only(shell: Shell) -> None:
    piped = shell.orchestrate("project", "x").stdout
    item = shell.orchestrate("create", piped.strip(), "x").stdout
    _, project_screen = shell.on_terminal(BIN / "orchestrate", "project", "x")
    _, item_screen = shell.on_terminal(
        BIN / "orchestrate", "create", piped.strip(), "x"
    )

    assert re.fullmatch(r"proj_[0-9a-f]{8}\n", piped)
    assert re.fullmatch(r"item_[0-9a-f]{8}\n", item)
    assert re.fullmatch(r"Project ID: proj_[0-9a-f]{8}\n", project_screen)
    assert re.fullmatch(r"Work item ID: item_[0-9a-f]{8}\n", item_screen)


def test_colours_and_bars_are_for_terminals_only(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    bench.bring_to(bench.item(project), State.COMPLETED)
    words = (BIN / "orchestrate", "progress", project)

    _, screen = shell.on_terminal(*words)
    _, plain = shell.having(NO_COLOR="1").on_terminal(*words)
    _, document = shell.on_terminal(*words, "--json")
    piped = shell.run(*words).stdout

    assert "\x1b[32m" in screen
    assert BAR in screen
    for text in (plain, document, piped):
        assert "\x1b" not in text
        assert BAR not in text


def test_ids_stay_whole_on_narrow_terminals(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    item = bench.item(project, title="A long title " * 20)

    screens = [
        shell.on_terminal(BIN / "orchestrate", *words, width=40)[1]
        for words in (("progress", project), ("list",), ("projects",))
    ]
    piped = shell.orchestrate("progress", project).stdout

    assert all(item in screen for screen in screens[:2])
    assert all(project in screen for screen in screens[::2])
    assert ("A long title " * 20).strip() in piped


def test_data_is_on_stdout_and_messages_on_stderr(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    shell.worker("discover", bench.item(project), "It rains")

    found, none = (
        shell.orchestrate("discoveries", project),
        shell.orchestrate("discoveries", bench.project()),
    )

    assert "It rains" in found.stdout
    assert re.fullmatch(r"Continue with --since \d+-\d+\n", found.stderr)
    assert (none.stdout.strip(), none.stderr) == ("", "No discoveries.\n")


@pytest.mark.parametrize(
    ("words", "requirements"),
    [
        (["-r", "A", "B", "C"], ("A", "B", "C")),
        (["-r", "A", "-r", "B"], ("A", "B")),
        (["-r", "A", "B", "--priority", "1"], ("A", "B")),
        (["--requirement=A", "B"], ("A", "B")),
        (["--requirement", "A", "B", "-d", "x"], ("A", "B")),
        (["-rA", "B"], ("A", "B")),
        (["-r", "-5 degrees", "-r", "--strict"], ("-5 degrees", "--strict")),
        (["-r", "A", "--depends-on", "{}", "-r", "B"], ("A", "B")),
        (["-r", "-", "B"], ("from stdin", "B")),
    ],
)
def test_option_takes_many_values_and_can_be_repeated(
    shell: Shell, bench: Bench, words: list[str], requirements: tuple[str, ...]
) -> None:
    project = bench.project()
    other = bench.item(project)

    ran = shell.orchestrate(
        "create",
        project,
        "x",
        *(word.format(other) for word in words),
        stdin=b"from stdin\n",
    )

    assert ran.code == 0, ran.stderr
    assert (
        bench.queue.views.show(ran.stdout.strip()).item.requirements
        == requirements
    )


def test_dash_reads_standard_input(shell: Shell, bench: Bench) -> None:
    item = bench.item()

    shell.worker("progress", item, "-", stdin="one\ntwo 🙂\n".encode())
    shell.worker("discover", item, "x", "--impact", "-", stdin=b"wet")
    project = shell.orchestrate(
        "project", "-", "-d", "x", stdin=b"A title\n"
    ).stdout.strip()

    assert bench.queue.views.show(item).history[0].text == "one\ntwo 🙂"
    assert bench.queue.views.progress(project).project.title == "A title"


def test_text_after_two_dashes_may_begin_with_dash(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    shell.worker("progress", item, "--percent", "5", "--", "-5 % slower")

    assert bench.queue.views.show(item).history[0].text == "-5 % slower"


def test_common_options_work_before_and_after_the_command(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(agent="bob")
    options = (
        "--agent-id",
        "bob",
        "--namespace",
        bench.namespace,
        "--redis-url",
        bench.url,
    )
    bare = shell.lacking(
        "TASKORCH_REDIS_URL", "TASKORCH_NAMESPACE", "AGENT_ID"
    )

    before, after = (
        bare.worker(*options, "check"),
        bare.worker("check", *options),
    )

    assert f"  - {item}" in before.stdout
    assert after.stdout == before.stdout


def commands(group: click.Group, *above: str) -> list[tuple[str, ...]]:
    """Return the names of each command and group below a group."""
    found = []
    for name, command in click_commands.loaded_commands(group).items():
        found.append((*above, name))
        if isinstance(command, click.Group):
            found += commands(command, *above, name)
    return found


@pytest.mark.parametrize(
    "group", [worker, orchestrate], ids=["worker", "orchestrate"]
)
def test_help_has_an_example_and_needs_no_redis(
    shell: Shell, group: click.Group
) -> None:
    listed = commands(group)
    script = (
        'for words in "$@"; do $COMMAND $words --help || exit 1; echo; done'
    )
    away = shell.having(
        TASKORCH_REDIS_URL="redis://localhost:1",
        COMMAND=str(BIN / str(group.name)),
    )

    ran = away.run(
        "sh", "-c", script, "sh", *(" ".join(words) for words in listed)
    )

    help_texts = " ".join(ran.stdout.split())
    assert (ran.code, ran.stderr) == (0, "")
    assert [
        words
        for words in listed
        if f"Example: {group.name} {words[0]}" not in help_texts
    ] == []
    assert help_texts.count("Example: ") == len(listed)


@pytest.mark.parametrize("command", ["worker", "orchestrate"])
def test_command_has_help_and_version(shell: Shell, command: str) -> None:
    help_text, version = (
        shell.run(BIN / command, "--help"),
        shell.run(BIN / command, "--version"),
    )

    assert help_text.stdout.startswith(f"Usage: {command} ")
    assert "Start with:" in help_text.stdout
    assert re.fullmatch(rf"{command} \d+\.\d+\.\d+\n", version.stdout)


@pytest.mark.parametrize(
    ("command", "variable"),
    [("worker", "_WORKER_COMPLETE"), ("orchestrate", "_ORCHESTRATE_COMPLETE")],
)
def test_command_has_shell_completion(
    shell: Shell, command: str, variable: str
) -> None:
    scripts = [
        shell.having(**{variable: f"{kind}_source"}).run(BIN / command)
        for kind in ("bash", "zsh", "fish")
    ]

    assert [script.code for script in scripts] == [0, 0, 0]
    assert all(variable in script.stdout for script in scripts)


def test_closed_pipe_is_not_an_error(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    for _ in range(300):
        bench.item(project, title="A title " * 50)
    first, none = (
        f'"$@" | {reader}; exit ${{PIPESTATUS[0]}}'
        for reader in ("head -n 1", "true")
    )

    runs = [
        shell.run(
            "bash",
            "-c",
            first,
            "bash",
            BIN / "orchestrate",
            "list",
            "--limit",
            "1000",
        ),
        shell.run(
            "bash",
            "-c",
            none,
            "bash",
            BIN / "orchestrate",
            "list",
            "--limit",
            "1000",
            "--json",
        ),
        shell.run("sh", "-c", '"$@" | true', "sh", BIN / "worker", "--help"),
    ]

    assert [(run.code, run.stderr) for run in runs] == [(0, "")] * 3
    assert runs[0].stdout.startswith("ITEM")


@pytest.mark.parametrize("target", [">/dev/full", ">&-", "2>&-", "<&-"])
def test_full_or_closed_stream_prints_no_traceback(
    shell: Shell, bench: Bench, target: str
) -> None:
    item = bench.item()

    shell.run("sh", "-c", f'"$@" {target}', "sh", BIN / "worker", "get", item)

    assert shell.worker("complete", item, "done").code == 0


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
def test_unprintable_result_is_reported_as_done(
    shell: Shell, flags: list[str]
) -> None:
    words: list[str | Path] = [BIN / "orchestrate", "project", "Once", *flags]

    full = shell.run("sh", "-c", '"$@" >/dev/full', "sh", *words)
    closed = shell.run("sh", "-c", '"$@" >&-', "sh", *words)

    assert (full.code, closed.code) == (1, 0)
    assert (
        "The step was done, but its result could not be printed: No space left on device"
        in full.stderr
    )
    assert len(shell.orchestrate("projects", "--json").data()) == 2


def test_argument_after_option_of_many_values_gets_hint(
    shell: Shell, bench: Bench
) -> None:
    ran = shell.orchestrate(
        "create", "-r", "A", "B", bench.project(), "A title"
    )

    assert ran.code == 2
    assert "Missing argument 'PROJECT'" in ran.stderr
    assert "Put PROJECT and TITLE before -r" in ran.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-r", "--priority", "1"], "'-r' requires a value"),
        (["-r"], "'-r' requires a value"),
        (["-r", "A", "--lease", "1h", "third"], "unexpected extra argument"),
        (["-r", "-", "-"], "standard input ('-') was read already"),
        (["-d", "-", "-r", "-"], "standard input ('-') was read already"),
        (["-r", "A", "--lease", "0s"], "not between 1 ms and 365 days"),
    ],
)
def test_option_without_value_creates_nothing(
    shell: Shell, bench: Bench, words: list[str], complaint: str
) -> None:
    project = bench.project()

    ran = shell.orchestrate(
        "create", project, "An item", *words, stdin=b"text"
    )

    assert ran.code == 2
    assert complaint in ran.stderr
    assert bench.queue.views.list(project=project).items == ()


def test_interrupted_wait_ends_without_traceback(
    shell: Shell, bench: Bench
) -> None:
    process = shell.start(BIN / "worker", "pop", "--wait", "60")
    eventually(
        lambda: any(
            client["cmd"] == "blpop" for client in bench.raw.client_list()
        )
    )

    began = monotonic()
    process.send_signal(signal.SIGINT)
    ran = result_of(process)

    # a blocking call would last a minute
    assert monotonic() - began < 30
    assert (ran.code, ran.stdout, ran.stderr.strip()) == (
        130,
        "",
        "Interrupted.",
    )


def test_assignment_ends_the_wait_of_pop(shell: Shell, bench: Bench) -> None:
    item = bench.item(agent="")
    process = shell.start(BIN / "worker", "pop", "--wait", "60")
    eventually(
        lambda: any(
            client["cmd"] == "blpop" for client in bench.raw.client_list()
        )
    )

    bench.queue.assign(item, "ada")
    ran = result_of(process)

    assert ran.code == 0
    assert ran.stdout.startswith(f"=== Work Item: {item} ===")


def test_assign_names_handoff_file_that_is_there(
    shell: Shell, bench: Bench
) -> None:
    first, second, third = (bench.item(agent="") for _ in range(3))
    waiting = bench.item(agent="", depends_on=(third,))
    elsewhere = shell.orchestrate("assign", first, "ada")
    (shell.folder / ".task-orchestrator").mkdir()
    here = shell.orchestrate("assign", second, "ada")
    (shell.folder / "deep").mkdir()
    deeper = shell.within(shell.folder / "deep").orchestrate(
        "assign", third, "ada"
    )
    not_ready = shell.orchestrate("assign", waiting, "ada")

    printed = "orchestrate show {} --handoff"
    assert elsewhere.stdout.splitlines()[1] == (
        f"Handoff package: {printed.format(first)}"
    )
    file = f".task-orchestrator/handoffs/{second}_handoff.json"
    assert here.stdout.splitlines()[1] == (
        f"Handoff package: {file} (printed by: {printed.format(second)})"
    )
    assert (shell.folder / file).exists()
    [file] = re.findall(r"Handoff package: (/\S+)", deeper.stdout)
    assert Path(file).exists()
    assert not_ready.stdout.splitlines()[1] == (
        f"Handoff package: {printed.format(waiting)} "
        "(its file is written when the item is ready)"
    )
