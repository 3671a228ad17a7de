"""An open board keeps itself up to date, and nothing moves under its reader."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from support import browser as browsers
from support import gateways, servers
from support.browser import OpenBoard, Screen
from support.builders import Bench
from support.commands import Shell
from support.gateways import Gateway
from taskorch.domain.item import NewItem
from taskorch.domain.role import Role

MANY_EVENTS = 5_000
#: What a page may keep of them, in bytes.
MOST_GROWTH = 4_000_000
#: The script repeats its attempts with pauses of at most 5 s.
BACK_MS = 30_000


def row(fragment: str, key: str) -> str:
    """Return the selector of a row."""
    return f"#{fragment} [data-key~='{key}']"


def is_live(page: Page) -> None:
    """Wait until the board follows the events."""
    expect(page.locator("#status [role=status]")).to_have_text("live")


def hide(page: Page, *, hidden: bool) -> None:
    """Let a page believe that its tab is hidden or shown."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(
                document, "hidden", {get: () => hidden, configurable: true}
            );
            document.dispatchEvent(new Event("visibilitychange", {bubbles: true}));
        }""",
        hidden,
    )


def count_fades(page: Page, selector: str) -> None:
    """Count the fades of a row in the page: each is over sooner than a test may look."""
    page.evaluate(
        """selector => {
            const counts = document.documentElement.dataset;
            const count = (event, name) => document.addEventListener(event, e => {
                if (e.animationName !== "changed" || !e.target.matches(selector)) return;
                counts[name] = Number(counts[name] || 0) + 1;
            }, true);
            count("animationstart", "fadesStarted");
            count("animationend", "fadesEnded");
        }""",
        selector,
    )


def heap_size(page: Page) -> int:
    """Return the bytes that the objects of a page take."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used: int = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return used


def test_report_appears_on_open_board(board: OpenBoard, bench: Bench) -> None:
    lease = bench.claimed()
    page = board().page

    bench.agent().progress(lease, "Indexes on sessions", percent=40)

    agents = page.locator("#agents")
    expect(agents).to_contain_text("Indexes on sessions")
    expect(agents.locator("progress").first).to_have_attribute("value", "40")
    expect(page.locator("#events")).to_contain_text("Indexes on sessions")


def test_changed_row_fades_once(board: OpenBoard, bench: Bench) -> None:
    lease = bench.claimed()
    page = board().page
    is_live(page)
    agent = row("agents", lease.item)
    count_fades(page, agent)

    bench.agent().progress(lease, "Half of it")

    fades = page.locator("html")
    expect(fades).to_have_attribute("data-fades-ended", "1")
    expect(fades).to_have_attribute("data-fades-started", "1")
    expect(page.locator(agent)).to_have_count(1)
    expect(page.locator(f"{agent}.changed")).to_have_count(0)


def test_title_counts_what_needs_person(
    board: OpenBoard, bench: Bench
) -> None:
    page = board().page
    is_live(page)
    before = page.locator("#needs-you").get_attribute("data-count")

    bench.agent().blocker(bench.claimed(), "Which month?")

    count = int(before or 0) + 1
    expect(page).to_have_title(re.compile(rf"\({count}\) "))
    icon = page.locator("link[rel=icon]").get_attribute("href")
    assert f">{count}<" in (icon or "").replace("%3E", ">").replace("%3C", "<")


def test_row_waits_for_the_pointer(board: OpenBoard, bench: Bench) -> None:
    lease = bench.claimed(bench.item(agent="mia"), agent="mia")
    page = board().page
    is_live(page)
    page.locator(row("agents", lease.item)).hover()

    bench.agent("mia").progress(lease, "Under the pointer")
    new = bench.claimed(bench.item(agent="zoe"), agent="zoe")

    expect(page.locator("#agents")).to_contain_text("Under the pointer")
    expect(page.locator("#events")).to_contain_text("zoe")
    expect(page.locator(row("agents", new.item))).to_have_count(0)
    page.mouse.move(1, 1)
    expect(page.locator(row("agents", new.item))).to_have_count(1)


def test_half_typed_answer_stays(board: OpenBoard, bench: Bench) -> None:
    first, second = bench.claimed(), bench.claimed()
    bench.agent().blocker(first, "Which month?")
    page = board().page
    is_live(page)
    answer = page.locator(row("needs-you", first.item)).locator(
        "[name=answer]"
    )
    answer.type("Janu")
    page.mouse.move(1, 1)

    bench.agent().blocker(second, "Which year?")
    bench.agent().withdraw(first)

    expect(page.locator("#events")).to_contain_text("Which year?")
    expect(answer).to_have_value("Janu")
    answer.fill("")
    page.locator("h1").first.evaluate("() => document.activeElement.blur()")
    expect(page.locator(row("needs-you", second.item))).to_have_count(1)
    expect(page.locator(row("needs-you", first.item))).to_have_count(0)


def test_answer_of_one_shows_to_other(board: OpenBoard, bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which colour?")
    one, other = board().page, board(Role.VIEWER).page
    is_live(other)
    question = row("needs-you", lease.item)

    one.locator(f"{question} [name=answer]").fill("Blue")
    one.keyboard.press("Enter")

    expect(one.locator(f"{question}.settled output")).to_be_visible()
    expect(one.locator(question)).to_have_count(0)
    expect(other.locator(question)).to_have_count(0)
    expect(other.locator("#events")).to_contain_text("answer")
    assert bench.queue.views.show(lease.item).item.state == "in_progress"


def test_open_drawer_follows_its_item(board: OpenBoard, bench: Bench) -> None:
    lease = bench.claimed()
    page = board().page
    is_live(page)
    page.locator(f"{row('agents', lease.item)} [data-drawer]").click()
    drawer = page.locator("dialog.drawer")
    expect(drawer).to_be_visible()

    bench.agent().progress(lease, "Seen in the drawer", percent=70)

    expect(drawer.locator("ol.time").first).to_contain_text(
        "Seen in the drawer"
    )
    expect(drawer.locator("progress").first).to_have_attribute("value", "70")


def test_typed_text_in_drawer_stays(board: OpenBoard, bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which month?")
    page = board(path=f"/items/{lease.item}").page
    is_live(page)
    page.locator("[name=answer]").last.type("Febr")

    bench.queue.comment(lease.item, "Any month will do")

    drawer = page.locator("dialog.drawer")
    expect(drawer.locator("ol.time").first).to_contain_text("Any month")
    expect(page.locator("[name=answer]").last).to_have_value("Febr")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(drawer).to_be_visible()


def test_hidden_tab_reads_nothing(board: OpenBoard, bench: Bench) -> None:
    lease = bench.claimed()
    page = board().page
    is_live(page)
    hide(page, hidden=True)

    bench.agent().progress(lease, "While it was hidden")
    other = board(Role.VIEWER).page
    expect(other.locator("#agents")).to_contain_text("While it was hidden")

    expect(page.locator("#agents")).not_to_contain_text("While it was hidden")
    hide(page, hidden=False)
    expect(page.locator("#agents")).to_contain_text("While it was hidden")


def test_pause_stops_the_updates(board: OpenBoard, bench: Bench) -> None:
    lease = bench.claimed()
    page = board().page
    is_live(page)
    page.keyboard.press("p")
    expect(page.locator("#status [role=status]")).to_have_text("paused")

    bench.agent().progress(lease, "While it was paused")
    other = board(Role.VIEWER).page
    expect(other.locator("#agents")).to_contain_text("While it was paused")

    expect(page.locator("#agents")).not_to_contain_text("While it was paused")
    page.keyboard.press("p")
    expect(page.locator("#agents")).to_contain_text("While it was paused")


def test_revoked_token_is_reported(
    chromium: Browser, gateway: Gateway, bench: Bench
) -> None:
    created = bench.queue.access_tokens().create("ana", Role.VIEWER)
    screen = browsers.opened(chromium, gateway.url)
    screen.sign_in(created.token)
    screen.open()
    is_live(screen.page)

    bench.queue.access_tokens().revoke(created.id)

    state = screen.page.locator("#status [role=status]")
    expect(state).to_have_text("signed out")
    screen.close()


def test_many_events_leave_no_memory(board: OpenBoard, bench: Bench) -> None:
    project = bench.project()
    items = bench.create_many(
        project, [NewItem(title=f"Item {n}", agent=f"a{n}") for n in range(10)]
    )
    leases = [
        bench.claimed(item.id, agent=f"a{number}")
        for number, item in enumerate(items)
    ]
    page = board().page
    is_live(page)
    bench.agent("a0").progress(leases[0], "The first one")
    expect(page.locator("#agents")).to_contain_text("The first one")
    before = heap_size(page), page.locator("*").count()

    for number in range(MANY_EVENTS):
        agent = number % len(leases)
        bench.agent(f"a{agent}").progress(leases[agent], f"Step {number}.")

    expect(page.locator("#agents")).to_contain_text(f"Step {MANY_EVENTS - 1}.")
    assert heap_size(page) - before[0] < MOST_GROWTH
    assert page.locator("*").count() - before[1] < 100


class RestartedRedis:
    """A server that a test kills and starts again, with the data that it has saved."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._life = ExitStack()

    def start(self) -> str:
        """Start it, and return its address."""
        options = ("--appendonly", "yes", "--appendfsync", "always")
        valkey = servers.binaries()["valkey"]
        running = servers.running(valkey, self._folder, *options)
        return self._life.enter_context(running)

    def kill(self) -> None:
        """Kill it."""
        self._life.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RestartedRedis]:
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RestartedRedis(folder)
    yield server
    server.kill()


@pytest.fixture
def own_shell(own_redis: RestartedRedis, tmp_path: Path) -> Shell:
    """Return a shell whose server and gateway may be killed."""
    root = tmp_path / "root"
    root.mkdir()
    return Shell(root, {"TASKORCH_REDIS_URL": own_redis.start()})


@pytest.fixture
def own_gateway(own_shell: Shell) -> Iterator[Gateway]:
    with gateways.running(own_shell) as running:
        yield running


@pytest.fixture
def own_screen(
    chromium: Browser, own_gateway: Gateway, own_shell: Shell
) -> Iterator[Screen]:
    """Return a window with a question in it."""
    project = own_shell.orchestrate("project", "Report").stdout.strip()
    created = own_shell.orchestrate(
        "create", project, "Sum it up", "--assign", "ada"
    )
    ada = own_shell.having(AGENT_ID="ada")
    asked = ada.worker("blocker", created.stdout.strip(), "Which month?")
    assert asked.code == 0, asked.stderr
    screen = browsers.opened(chromium, own_gateway.url)
    screen.sign_in(own_gateway.token("ana", "orchestrator"))
    screen.open()
    is_live(screen.page)
    screen.page.locator("[name=answer]").type("January")
    yield screen
    screen.close()


def test_killed_redis_is_reported_and_survived(
    own_screen: Screen, own_redis: RestartedRedis, own_shell: Shell
) -> None:
    page = own_screen.page

    own_redis.kill()

    expect(page.locator("#status [role=status]")).to_contain_text(
        "reconnecting, data is"
    )
    own_redis.start()
    own_shell.orchestrate("project", "After the restart")
    expect(page.locator("#status [role=status]")).to_have_text(
        "live", timeout=BACK_MS
    )
    expect(page.locator("#projects")).to_contain_text("After the restart")
    expect(page.locator("[name=answer]")).to_have_value("January")


def test_killed_gateway_is_reported_and_survived(
    own_screen: Screen, own_gateway: Gateway, own_shell: Shell
) -> None:
    page = own_screen.page

    own_gateway.kill()

    expect(page.locator("#status [role=status]")).to_contain_text(
        "reconnecting, data is"
    )
    page.keyboard.press("Enter")
    expect(page.locator("[role=alert]")).to_contain_text("Not sent")
    own_shell.orchestrate("project", "While it was dead")
    own_gateway.start()
    expect(page.locator("#status [role=status]")).to_have_text(
        "live", timeout=BACK_MS
    )
    expect(page.locator("#projects")).to_contain_text("While it was dead")
    expect(page.locator("[name=answer]")).to_have_value("January")
