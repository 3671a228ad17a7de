"""PROJECT as an argument and as `--project`, and answers that are no errors."""

import pytest
from support.builders import Bench
from support.commands import Shell

COMMANDS = (
    "list",
    "unassigned",
    "stuck --unstarted-for 1ms",
    "progress",
    "discoveries",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_argument_and_option_name_a_project(
    shell: Shell, bench: Bench, command: str
) -> None:
    project, other = bench.project(), bench.project()
    for each in (project, other):
        bench.item(each, agent="")
        bench.item(each)
        bench.agent().discover(bench.claimed(bench.item(each)), "It rains")
    words = command.split()

    argument = shell.orchestrate(*words, project)
    option = shell.orchestrate(*words, "--project", project)
    both = shell.orchestrate(*words, project, "--project", project)
    another = shell.orchestrate(*words, other)

    assert argument.code == 0
    assert argument.stdout
    assert argument == option == both
    assert argument.stdout != another.stdout


def test_two_different_projects_are_refused(
    shell: Shell, bench: Bench
) -> None:
    project, other = bench.project(), bench.project()

    ran = shell.orchestrate("list", project, "--project", other)

    assert ran.code == 2
    assert "PROJECT and --project name different projects." in ran.stderr


@pytest.mark.parametrize("command", ["progress", "complete", "wait"])
def test_missing_project_is_refused(shell: Shell, command: str) -> None:
    ran = shell.orchestrate(command)

    assert ran.code == 2
    assert "Missing argument 'PROJECT" in ran.stderr


def test_project_option_completes_a_project(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()

    ran = shell.orchestrate("complete", "--project", project)

    assert ran.code == 0
    assert bench.queue.views.progress(project).project.status == "completed"


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            "pop",
            "There is nothing to do now.",
            "Wait for work: worker pop --wait 100",
        ),
        (
            "run --once -- true",
            "There is nothing to do now.",
            "Wait for work: worker run --once --wait 300 -- COMMAND",
        ),
        (
            "run --wait 0 -- true",
            "There is nothing to do now.",
            "To wait until the run is stopped, leave out --wait.",
        ),
    ],
)
def test_nothing_to_do_is_not_an_error(
    shell: Shell, words: str, message: str, hint: str
) -> None:
    ran = shell.worker(*words.split())

    assert (ran.code, ran.stderr) == (8, f"{message}\n  {hint}\n")


def test_wait_that_times_out_is_not_an_error(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    ran = shell.orchestrate("wait", item, "--timeout", "0")

    assert ran.code == 8
    assert ran.stderr.startswith(f"The wait for {item} timed out after 0 s")


def test_last_report_of_blocked_item_is_a_question(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    lease = bench.claimed(bench.item(project))
    bench.agent().blocker(lease, "Which one?")

    row = shell.orchestrate("progress", project).stdout.splitlines()[2]

    assert row.endswith("question 1: Which one?")
