"""The costs page of the board over HTTP: who sees what, and what it refuses."""

from collections.abc import Iterator

import pytest
from support import gateways
from support.board_client import BoardClient, Reply
from support.builders import Bench, opened
from support.gateways import Gateway
from taskorch.domain.role import Role
from taskorch.domain.usage import ModelUsage

NAMESPACE = "board-costs"
USED = ModelUsage(tokens_in=1_200, cost_micros=3_200_000, model="opus")


@pytest.fixture(scope="module")
def gateway(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateways.serving(valkey_url, NAMESPACE, folder) as running:
        yield running


@pytest.fixture
def bench(valkey_url: str) -> Iterator[Bench]:
    with opened(valkey_url, NAMESPACE) as bench:
        yield bench


@pytest.fixture
def project(bench: Bench) -> str:
    """Return a project in which ada has used something today."""
    bench.stay_in_one_day()
    home = bench.queue.project("Monthly report")
    lease = bench.claimed(bench.item(home))
    bench.agent().progress(lease, "half", used=USED)
    return home


def client_of(
    gateway: Gateway, bench: Bench, role: Role, project: str = ""
) -> BoardClient:
    client = BoardClient(gateway)
    created = bench.queue.access_tokens().create("ana", role, project=project)
    client.sign_in(created.token)
    return client


@pytest.fixture
def ana(gateway: Gateway, bench: Bench) -> BoardClient:
    return client_of(gateway, bench, Role.ORCHESTRATOR)


def send(client: BoardClient, action: str, **typed: str) -> Reply:
    """Look at the page, and send a form of it."""
    page = client.page("/costs")
    form = {name: page.field(name) for name in ("csrf", "key", "back")}
    return client.submit(f"/costs/{action}", {**form, **typed})


@pytest.mark.parametrize("by", ["agent", "project", "model", "day"])
def test_costs_are_shown_by_each_kind(
    ana: BoardClient, project: str, by: str
) -> None:
    page = ana.page(f"/costs?by={by}")

    assert "$" in page.text
    assert f"By {by}" in page.text
    if by == "project":
        assert f'href="/costs?of={project}">Monthly report</a>' in page.text
    if by == "agent":
        assert 'href="/costs?of=ada">ada</a>' in page.text


@pytest.mark.parametrize("show", ["", "?show=all"])
def test_list_of_projects_has_their_costs(
    gateway: Gateway, bench: Bench, project: str, show: str
) -> None:
    unused = bench.queue.project("Nothing spent")
    bench.queue.set_budget(project, period="total", limit_micros=5_000_000)
    bench.queue.set_budget(project, period="day", limit_micros=3_000_000)
    viewer = client_of(gateway, bench, Role.VIEWER)
    confined = client_of(gateway, bench, Role.VIEWER, unused)

    page = viewer.page(f"/projects{show}").text
    own = confined.page(f"/projects{show}").text
    for period in ("total", "day"):
        bench.queue.set_budget(project, period=period)

    row = page.partition(f'data-key="{project}"')[2].partition("</tr>")[0]
    assert f'href="/costs?of={project}"' in row
    assert ">$3.20 of $5.00</a>" in row
    assert "<small>$3.20 of $3.00 today</small>" in row
    assert "OVER BUDGET" in row
    rest = page.partition(f'data-key="{unused}"')[2].partition("</tr>")[0]
    assert "$" not in rest
    assert "Nothing spent" in own
    assert "Cost" not in own.partition('id="project-list"')[2]


def test_costs_of_a_project_and_an_agent(
    ana: BoardClient, project: str
) -> None:
    of_project = ana.page(f"/costs?of={project}").text
    of_agent = ana.page("/costs?of=ada&by=model").text

    assert "Costs of Monthly report" in of_project
    assert "$3.20" in of_project
    assert "Costs of ada" in of_agent
    assert "opus" in of_agent


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("of=nobody", 404),
        ("of=proj_00000000", 404),
        ("of=a%20b", 422),
        ("by=week", 422),
        ("of=ada&by=project", 422),
    ],
)
def test_wrong_query_is_refused(
    ana: BoardClient, project: str, query: str, status: int
) -> None:
    assert project
    assert ana.get(f"/costs?{query}").status == status


def test_budget_is_set_and_removed(
    ana: BoardClient, bench: Bench, project: str
) -> None:
    typed = {"owner": project, "per": "total"}

    done = send(ana, "budget", **typed, limit="2.50", tokens="")
    (budget,) = bench.queue.views.budgets(project)
    page = ana.page(f"/costs?of={project}").text
    asked = send(ana, "budget/remove", **typed)
    kept = bench.queue.views.budgets(project)
    removed = send(ana, "budget/remove", **typed, confirm="yes")

    assert (done.status, budget.limit_micros) == (303, 2_500_000)
    assert "$3.20 of $2.50" in page
    assert "OVER BUDGET" in page
    assert f"Remove the budget of {project} in all?" in asked.text
    assert kept == (budget,)
    assert removed.status == 303
    assert bench.queue.views.budgets(project) == ()


@pytest.mark.parametrize(
    "typed",
    [
        {"owner": "ada", "per": "day", "limit": "", "tokens": ""},
        {"owner": "ada", "per": "week", "limit": "1", "tokens": ""},
        {"owner": "ada", "per": "day", "limit": "one", "tokens": ""},
        {"owner": "ada", "per": "day", "limit": "-1", "tokens": ""},
        {"owner": "ada", "per": "day", "limit": "", "tokens": "-1"},
        {"owner": "nobody", "per": "day", "limit": "1", "tokens": ""},
        {"owner": "", "per": "day", "limit": "1", "tokens": ""},
    ],
)
def test_wrong_budget_is_refused(
    ana: BoardClient, bench: Bench, project: str, typed: dict[str, str]
) -> None:
    assert project

    reply = send(ana, "budget", **typed)

    assert 400 <= reply.status < 500
    assert reply.alert
    assert bench.queue.views.budgets() == ()


def test_viewer_sees_costs_and_sets_nothing(
    gateway: Gateway, bench: Bench, project: str
) -> None:
    viewer = client_of(gateway, bench, Role.VIEWER)

    page = viewer.page(f"/costs?of={project}")

    assert "$3.20" in page.text
    assert 'action="/costs/' not in page.text


def test_confined_token_sees_its_project_alone(
    gateway: Gateway, bench: Bench, project: str
) -> None:
    other = bench.queue.project("Elsewhere")
    client = client_of(gateway, bench, Role.ORCHESTRATOR, project)

    page = client.page("/costs")

    assert "Costs of Monthly report" in page.text
    assert "of=ada" not in page.text
    assert client.get(f"/costs?of={other}").status == 404
    assert client.get("/costs?of=ada").status == 403
