"""Tables fit the screen: columns leave, cells are cut, and no word is broken."""

import time

import pytest
from rich.cells import cell_len
from taskorch.domain.item import State
from taskorch_orchestrator.render import console
from taskorch_orchestrator.render.console import Column, Table

ID = "item_1a2b3c4d"
TITLES = (
    "Design the schema",
    "Write the documentation of every command, with an example for each",
    "認証システムを構築する、とても長いタイトル、そして続く",
    "🙂" * 40,
    "x" * 300,
    "",
)


def filled() -> Table:
    table = Table(
        Column(header="ITEM"),
        Column(header="STATE", leaves=2),
        Column(header="AGENT", leaves=1, least=10),
        Column(header="TITLE", least=16),
        Column(header="WHAT HELPS", is_below=True),
    )
    for title in TITLES:
        table.add_row(
            ID,
            console.state(State.IN_PROGRESS),
            "database_specialist",
            title,
            f"orchestrate requeue {ID}",
        )
    return table


def lines(width: int) -> list[str]:
    return [line.plain for line in filled().lines(width)]


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 45, 40])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    assert max(map(cell_len, lines(width))) <= width


@pytest.mark.parametrize("width", [1000, 80, 60, 40, 10])
def test_id_and_command_are_never_cut(width: int) -> None:
    shown = lines(width)

    assert sum(line.startswith(ID) for line in shown) == len(TITLES)
    assert sum(f"orchestrate requeue {ID}" in line for line in shown) == len(
        TITLES
    )


def test_wide_screen_shows_everything_in_one_line() -> None:
    shown = lines(1000)

    assert len(shown) == 1 + len(TITLES)
    assert all(
        title in line for title, line in zip(TITLES, shown[1:], strict=True)
    )
    assert "…" not in "".join(shown)


@pytest.mark.parametrize(
    ("width", "headers"),
    [
        (110, ["ITEM", "STATE", "AGENT", "TITLE", "WHAT", "HELPS"]),
        (80, ["ITEM", "STATE", "AGENT", "TITLE"]),
        (50, ["ITEM", "STATE", "TITLE"]),
        (40, ["ITEM", "TITLE"]),
    ],
)
def test_columns_leave_by_importance(width: int, headers: list[str]) -> None:
    assert lines(width)[0].split() == headers


def with_extra(width: int) -> list[str]:
    table = Table(
        Column(header="ITEM"),
        Column(header="AGENT", leaves=2, least=10, ample=20),
        Column(header="TITLE", least=20, ample=32),
        Column(header="EXTRA", leaves=1, least=16),
    )
    table.add_row(ID, "database_specialist", "t" * 50, "e" * 50)
    return [line.plain for line in table.lines(width)]


def test_extra_column_leaves_before_others_are_cut() -> None:
    wide, narrow, tiny = (with_extra(width)[1] for width in (90, 80, 50))

    assert "database_specialist" in wide
    assert "e" * 19 in wide
    assert "database_specialist" in narrow
    assert "t" * 40 in narrow
    assert "ee" not in narrow
    assert tiny.split() == [ID, "database_spe…", "t" * 19 + "…"]


def test_cut_cell_ends_with_ellipsis() -> None:
    _, first, below, second, *_ = lines(70)

    assert first.endswith("Design the schema")
    assert below == f"    orchestrate requeue {ID}"
    assert second.endswith("…")
    assert "Write the" in second


def test_columns_after_wide_characters_stay_aligned() -> None:
    table = Table(Column(header="TITLE", least=9), Column(header="STATE"))
    for title in TITLES:
        table.add_row(title, "queued")

    shown = [line.plain for line in table.lines(30)]

    assert {cell_len(line.partition("queued")[0]) for line in shown[1:]} == {
        30 - len("queued")
    }


def test_end_of_a_path_is_kept() -> None:
    table = Table(Column(header="ROOT", least=10, keeps_end=True))
    table.add_row("/home/me/a/long/way/to/the/root")

    assert [line.plain for line in table.lines(12)][1] == "…to/the/root"


@pytest.mark.parametrize(
    ("done", "shown"), [(0, ""), (1, "━" * 10), (4, "━" * 10)]
)
def test_bar_is_drawn_only_for_progress(done: int, shown: str) -> None:
    assert console.bar(done, 4, 10).plain == shown


def test_bar_is_green_only_when_everything_is_done() -> None:
    assert "green" not in str(console.bar(1, 4).style)
    assert "green" in str(console.bar(4, 4).style)


def test_empty_table_prints_nothing() -> None:
    assert console.printed(Table(Column(header="ITEM"))) == ""


def test_time_is_an_age_on_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ms = round(time.time() * 1000)

    piped = console.since(now_ms - 180_000)
    monkeypatch.setattr(console, "on_terminal", lambda: True)

    assert piped.endswith("Z")
    assert console.since(now_ms - 180_000) == "3 min ago"
    assert console.since(0) == "never"
