"""Text of any kind and size is stored whole and shown escaped, or refused."""

import os

import pytest
from support.builders import Bench
from support.commands import BIN, Shell

#: Line breaks, an escape sequence, a bell, a C1 control, right-to-left override and
#: isolate, quotes, emoji.
GIVEN = "\ufeffone\r\ntwo \x1b[31mred\x1b[0m \a \x9b1m \u202eevil\u2066 'q' \"q\" \\ {0} %s 🙂 ü\r\n\tend"
#: The same as it is stored.
ODD = "one\ntwo \x1b[31mred\x1b[0m \a \x9b1m \u202eevil\u2066 'q' \"q\" \\ {0} %s 🙂 ü\n\tend"
UNSAFE = "\x1b\a\x9b\u202e\u2066\r"

ITEM_TEXTS = ["-d", "-r", "--resource", "--deliverable", "--accept"]


def is_safe(screen: str) -> bool:
    return not any(character in screen for character in UNSAFE)


def test_odd_text_of_orchestrator_is_stored_and_escaped(
    shell: Shell, bench: Bench
) -> None:
    project = shell.orchestrate("project", GIVEN, "-d", GIVEN).stdout.strip()
    texts = [word for option in ITEM_TEXTS for word in (option, GIVEN)]
    made = shell.orchestrate(
        "create",
        project,
        GIVEN,
        *texts,
        "--context",
        f"{GIVEN}={GIVEN}",
        "--assign",
        "ada",
    )
    item = made.stdout.strip()

    shown = shell.orchestrate("show", item, "--json").data()
    screens = [
        shell.orchestrate(*words)
        for words in (
            ["show", item],
            ["progress", project],
            ["list"],
            ["projects"],
        )
    ]
    screens += [
        shell.worker("get", item),
        shell.orchestrate("show", item, "--handoff"),
    ]

    assert (shown["title"], shown["description"]) == (ODD, ODD)
    assert (
        shown["requirements"]
        == shown["resources"]
        == shown["deliverables_expected"]
        == shown["criteria"]
        == [ODD]
    )
    # a pair is split at its first "="
    assert shown["context"] == {ODD: ODD}
    assert bench.queue.views.projects()[0].description == ODD
    for screen in screens:
        assert screen.code == 0
        assert screen.stdout
        assert is_safe(screen.stdout)


def test_odd_text_of_worker_is_stored_and_escaped(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    item = bench.item(project)

    steps = [
        shell.worker("progress", item, GIVEN),
        shell.worker("discover", item, GIVEN, "--impact", GIVEN),
        shell.worker("notes", item, GIVEN),
        shell.worker("blocker", item, GIVEN, "--needs", GIVEN),
        shell.orchestrate("inbox"),
        shell.orchestrate("answer", item, GIVEN),
        shell.worker("get", item),
        shell.worker("notes", item),
        shell.worker(
            "complete", item, GIVEN, "--deliverable", f"{GIVEN}={GIVEN}"
        ),
        shell.orchestrate("discoveries", project),
        shell.orchestrate("progress", item),
        shell.orchestrate("complete", project),
    ]

    shown = shell.orchestrate("show", item, "--json").data()
    found = shell.orchestrate("discoveries", project, "--json").data()[0]
    noted = shell.worker("notes", item, "--json").data()[0]
    assert [step.code for step in steps] == [0] * len(steps)
    assert all(is_safe(step.stdout + step.stderr) for step in steps)
    texts = {entry["text"] for entry in shown["timeline"]}
    assert texts - {""} == {ODD}
    assert (shown["summary"], shown["deliverables"]) == (ODD, {ODD: ODD})
    assert (found["text"], found["impact"], noted["text"]) == (ODD, ODD, ODD)


@pytest.mark.parametrize(
    "words",
    [
        ["get", "{}"],
        ["get", "item_1", "--{}"],
        ["--agent-id", "{}", "pop"],
        ["--redis-url", "redis://h/{}", "pop"],
    ],
    ids=["id", "option", "agent", "address"],
)
def test_odd_text_in_an_error_is_escaped(
    shell: Shell, words: list[str]
) -> None:
    odd = "item_\x1b[31m\u202e\nError: forged"

    code, screen = shell.on_terminal(
        BIN / "worker", *(word.replace("{}", odd) for word in words)
    )

    assert code in (2, 3, 4, 5)
    assert is_safe(screen), screen
    assert not any(
        row.startswith("Error: forged") for row in screen.splitlines()
    ), screen


def test_odd_session_name_changes_nothing(shell: Shell, bench: Bench) -> None:
    odd = shell.having(AGENT_SESSION="\x1b[31m\u202e\n")
    item = bench.item()
    before = bench.everything()

    screens = [odd.worker("get", item), odd.worker("whoami")]

    assert [ran.code for ran in screens] == [5, 5]
    assert all(
        "AGENT_SESSION" in ran.stderr and is_safe(ran.stderr)
        for ran in screens
    )
    assert bench.everything() == before


@pytest.mark.parametrize(
    "words",
    [
        ["progress", "{}", b"a\xffb"],
        ["complete", "{}", b"\xff"],
        ["notes", "{}", b"\xff"],
    ],
)
def test_argument_that_is_not_utf8_is_refused(
    shell: Shell, bench: Bench, words: list[str | bytes]
) -> None:
    item = bench.item()
    before = bench.everything()

    ran = shell.worker(*(item if word == "{}" else word for word in words))

    assert ran.code == 5
    assert "is not valid UTF-8 text" in ran.stderr
    assert bench.everything() == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([b"worker", b"get", b"item_\xff"], 3),
        ([b"worker", b"get", b"item_\xff", b"--json"], 3),
        ([b"worker", b"--agent-id", b"a\xff", b"pop"], 5),
        ([b"worker", b"get", b"--\xff"], 2),
        (
            [
                b"orchestrate",
                b"create",
                b"proj_00000000",
                b"x",
                b"--context",
                b"a\xff=b",
            ],
            5,
        ),
        ([b"orchestrate", b"list", b"--cursor", b"\xff"], 5),
        ([b"env", b"AGENT_SESSION=\xff", b"worker", b"pop"], 5),
        ([b"env", b"AGENT_SESSION=\xff", b"worker", b"whoami"], 5),
    ],
)
def test_invalid_utf8_reaches_neither_queue_nor_screen(
    shell: Shell, words: list[bytes], code: int
) -> None:
    on_path = shell.having(PATH=f"{BIN}:{os.environ['PATH']}")

    ran = on_path.run(*words)

    assert ran.code == code, ran.stderr
    (
        ran.stdout + ran.stderr
    ).encode()  # raises an error for bytes that were printed unchanged
    assert b"--json" not in words or ran.error()


def test_standard_input_that_is_not_utf8_is_refused(
    shell: Shell, bench: Bench
) -> None:
    ran = shell.worker("progress", bench.item(), "-", stdin=b"a\xffb")

    assert ran.code == 5
    assert "on standard input is not valid UTF-8 text" in ran.stderr


@pytest.mark.parametrize("stdin", [b"a\0b", "a\0b".encode("utf-16-le")])
def test_nul_on_standard_input_is_refused(
    shell: Shell, bench: Bench, stdin: bytes
) -> None:
    item = bench.item()

    ran = shell.worker("progress", item, "-", stdin=stdin)

    assert (ran.code, ran.stderr) == (
        5,
        "Error: There is a NUL character in the report. Remove it.\n",
    )
    assert bench.queue.views.show(item).history == ()


@pytest.mark.parametrize(
    ("stdin", "kept"),
    [
        (b"one\r\ntwo\r\n", "one\ntwo"),
        (b"\xef\xbb\xbfone\n", "one"),
        (b"one\n\n", "one\n"),
        (b"\xef\xbb\xbf" + b"\r\n" * 65536 + b"x", None),
        (b"\xef\xbb\xbfx" + b"\r\n" * 65535 + b"\r\n", "x" + "\n" * 65535),
    ],
)
def test_line_breaks_on_standard_input_are_normalised(
    shell: Shell, bench: Bench, stdin: bytes, kept: str | None
) -> None:
    item = bench.item()

    ran = shell.worker("progress", item, "-", stdin=stdin)

    assert ran.code == (5 if kept is None else 0), ran.stderr
    assert [
        report.text for report in bench.queue.views.show(item).history
    ] == ([] if kept is None else [kept])


def test_ten_megabytes_on_standard_input_are_refused(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    ran = shell.worker("progress", item, "-", stdin=b"x" * 10_000_000)

    assert ran.code == 5
    assert "longer than 65536 bytes (64 KiB)" in ran.stderr


def test_text_longer_than_64_kib_is_refused(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    most = b"x" * 65536

    taken, refused = (
        shell.worker("progress", item, "-", stdin=text)
        for text in (most + b"\n", most + b"x")
    )

    assert (taken.code, refused.code) == (0, 5)
    assert [
        report.text for report in bench.queue.views.show(item).history
    ] == [most.decode()]


@pytest.mark.parametrize(("title", "code"), [("ü" * 500, 0), ("x" * 501, 5)])
def test_title_has_at_most_500_characters(
    shell: Shell, title: str, code: int
) -> None:
    ran = shell.orchestrate("project", title)

    assert ran.code == code
    assert (
        code == 0
        or "The title has 501 characters; at most 500 are allowed"
        in ran.stderr
    )


def test_item_has_at_most_200_requirements(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    requirements = [f"requirement {number}" for number in range(201)]

    refused = shell.orchestrate("create", project, "x", "-r", *requirements)
    taken = shell.orchestrate(
        "create", project, "x", "-r", *requirements[:200]
    )

    assert (refused.code, taken.code) == (5, 0)
    assert "Requirement: 201 values; at most 200 are allowed" in refused.stderr
    assert (
        len(bench.queue.views.list(project=project).items[0].requirements)
        == 200
    )


def test_deliverables_have_at_most_256_kib_together(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    pairs = [
        word
        for number in range(5)
        for word in ("--deliverable", f"{number}={'x' * 60_000}")
    ]

    ran = shell.worker("complete", item, "done", *pairs)

    assert ran.code == 5
    assert "deliverables" in ran.stderr
    assert bench.queue.views.show(item).item.state == "queued"
