"""The frame of the board over HTTP: sessions, forms, and what it refuses."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from support import gateways
from support.board_client import FRAGMENT, BoardClient
from support.builders import Bench, opened
from support.commands import eventually
from support.gateways import Gateway
from taskorch.domain.role import Role
from taskorch_gateway.board import routes
from taskorch_gateway.board.visit import Action

NAMESPACE = "board"
HOSTILE = "\"'><script>alert(1)</script>\u202e</textarea>"
LOOKING = (Role.VIEWER, Role.ORCHESTRATOR, Role.ADMIN)
Person = Callable[..., BoardClient]
EACH = pytest.mark.parametrize(
    "action", routes.ACTIONS, ids=lambda each: each.path
)


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
def person(gateway: Gateway, bench: Bench) -> Person:
    """Return what makes a person with a role, who is signed in."""

    def signed_in(role: Role = Role.ORCHESTRATOR) -> BoardClient:
        client = BoardClient(gateway)
        client.sign_in(token_of(bench, role))
        return client

    return signed_in


def token_of(bench: Bench, role: Role) -> str:
    return bench.queue.access_tokens().create("ana", role).token


def time_of_children(gateway: Gateway) -> int:
    """Return the processor time, in ticks, of the processes that a gateway has ended."""
    stat = Path(f"/proc/{gateway.pid}/stat").read_text(encoding="utf-8")
    fields = stat.rpartition(") ")[2].split()
    return int(fields[13]) + int(fields[14])


def test_pages_are_compiled_before_the_first_is_shown(
    gateway: Gateway,
) -> None:
    eventually(lambda: time_of_children(gateway) > 0, within_s=60)

    assert BoardClient(gateway).get("/").status == 401


def path_of(action: Action) -> str:
    """Return the path of an action, for something that does not exist."""
    id_ = "proj_00000000" if "project" in action.path else "item_00000000"
    return re.sub(r"\{\w+\}", id_, action.path)


def test_stranger_is_asked_for_a_token(gateway: Gateway) -> None:
    client = BoardClient(gateway)

    reply = client.get("/?q=state:failed")

    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert reply.field("back") == "/?q=state:failed"
    assert reply.alert == ""
    assert reply.cookies == []


@pytest.mark.parametrize("role", LOOKING)
def test_token_signs_a_person_in(
    gateway: Gateway, bench: Bench, role: Role
) -> None:
    client, token = BoardClient(gateway), token_of(bench, role)

    reply = client.submit(
        "/sign-in", {"token": f" {token}\n", "back": "/?a=1"}
    )

    assert (reply.status, reply.place) == (303, "/?a=1")
    (cookie,) = reply.cookies
    assert cookie.startswith(f"taskorch_session_{gateway.port}={token};")
    attributes = cookie.lower().replace(" ", "").split(";")[1:]
    assert {"httponly", "samesite=strict", "path=/"} <= set(attributes)
    assert client.get("/").status == 200


@pytest.mark.parametrize(
    "token", ["", "tok_x", "tok_00000000_" + "0" * 64, HOSTILE]
)
def test_wrong_token_signs_nobody_in(gateway: Gateway, token: str) -> None:
    client = BoardClient(gateway)

    reply = client.submit("/sign-in", {"token": token, "back": "/"})

    assert reply.status in (401, 429)
    assert reply.alert
    assert reply.cookies == []
    assert token not in reply.text or not token


def test_worker_sees_no_board(gateway: Gateway, bench: Bench) -> None:
    client, token = BoardClient(gateway), token_of(bench, Role.WORKER)

    reply = client.submit("/sign-in", {"token": token})
    client.sign_in(token)

    assert reply.status == 403
    assert "its role is worker" in reply.alert
    assert reply.cookies == []
    assert client.get("/").status == 403


def test_sign_in_link_works_once(gateway: Gateway, bench: Bench) -> None:
    link = bench.queue.access_tokens().create_link("ana", Role.ADMIN).token
    first, second = BoardClient(gateway), BoardClient(gateway)

    reply = first.get(f"/sign-in?link={link}")
    again = second.get(f"/sign-in?link={link}")

    assert reply.status == 200
    assert 'content="0; url=/"' in reply.text
    assert first.get("/").status == 200
    assert link not in first.cookies.values()
    assert again.status == 403
    assert "used already" in again.alert
    assert second.cookies == {}


def test_revoked_session_ends(bench: Bench, person: Person) -> None:
    client = person()
    (token,) = client.cookies.values()
    client.page("/")
    bench.queue.access_tokens().revoke(token[:12])

    reply = client.get("/")

    assert reply.status == 401
    assert "expired or revoked" in reply.alert
    assert client.cookies == {}


def test_signed_out_person_is_a_stranger(person: Person) -> None:
    client = person()

    reply = client.submit("/sign-out", {})

    assert (reply.status, reply.place) == (303, "/sign-in")
    assert client.get("/").status == 401


def test_sign_out_revokes_the_token_of_a_link(
    gateway: Gateway, bench: Bench
) -> None:
    tokens = bench.queue.access_tokens()
    link = tokens.create_link("ana", Role.VIEWER).token
    client, other = BoardClient(gateway), BoardClient(gateway)
    client.get(f"/sign-in?link={link}")
    (session,) = (
        value for name, value in client.cookies.items() if "session" in name
    )

    client.submit("/sign-out", {})

    assert client.cookies == {}
    other.sign_in(session)
    assert other.get("/").status == 401
    assert session[:12] not in [each.id for each in tokens.list()]


def test_sign_out_keeps_a_token_that_was_typed(person: Person) -> None:
    client, again = person(), BoardClient(person().gateway)
    (token,) = client.cookies.values()

    client.submit("/sign-out", {})

    again.sign_in(token)
    assert again.get("/").status == 200


def test_confined_person_has_no_schedules(
    gateway: Gateway, bench: Bench
) -> None:
    tokens = bench.queue.access_tokens()
    created = tokens.create("ana", Role.VIEWER, project=bench.project())
    client = BoardClient(gateway)
    client.sign_in(created.token)

    items, refused = client.get("/items"), client.get("/schedules")

    assert (items.status, refused.status) == (200, 403)
    assert 'href="/schedules"' not in items.text


def test_unknown_page_keeps_the_navigation(person: Person) -> None:
    reply = person(Role.ADMIN).get("/nowhere")

    assert reply.status == 404
    assert "There is no such page" in reply.alert
    assert 'href="/projects"' in reply.text


def test_page_has_headers_against_misuse(person: Person) -> None:
    client = person()

    for path, status in (("/", 200), ("/nowhere", 404), ("/sign-in", 200)):
        reply = client.get(path)
        assert reply.status == status
        policy = reply.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["X-Frame-Options"] == "DENY"
        assert reply.headers["Referrer-Policy"] == "same-origin"
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Content-Type"] == "text/html; charset=utf-8"


def test_link_of_another_site_keeps_the_session(gateway: Gateway) -> None:
    client = BoardClient(gateway)

    reply = client.get("/?q=a", sec_fetch_site="cross-site")

    assert reply.status == 200
    assert 'content="0; url=/?q=a"' in reply.text


def test_unknown_page_is_a_page_for_people(gateway: Gateway) -> None:
    client = BoardClient(gateway)

    shown = client.get("/nowhere/<script>")
    machine = client.get("/nowhere", accept="application/json")

    assert shown.status == machine.status == 404
    assert "There is no such page" in shown.alert
    assert "<script>" not in shown.text
    assert machine.text.startswith('{"schema_version"')


def test_assets_are_kept_by_their_content(gateway: Gateway) -> None:
    client = BoardClient(gateway)
    page = client.get("/").text
    (style,) = re.findall(r'href="(/assets/\w+/board\.css)"', page)
    (script,) = re.findall(r'src="(/assets/\w+/board\.js)"', page)

    for path, kind in ((style, "text/css"), (script, "text/javascript")):
        current, older = (
            client.get(path),
            client.get(re.sub(r"/assets/\w+", "/assets/0", path)),
        )
        assert current.status == older.status == 200
        assert current.text == older.text
        assert current.headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert "immutable" in current.headers["Cache-Control"]
        assert older.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/",
        "/assets/x",
        "/assets/x/",
        "/assets/x/routes.py",
        "/assets/x/../board.css/..",
        "/assets/x/../../routes.py",
        "/assets/../templates/layout.html",
        "/assets/x/%2e%2e%2f%2e%2e%2froutes.py",
        "/assets/x/..%5c..%5croutes.py",
        "/assets/x/board.css%00",
        "/assets/x//etc/passwd",
        "/assets/x/.",
        "/assets/x/%252e%252e",
    ],
)
def test_asset_path_leads_nowhere_else(gateway: Gateway, path: str) -> None:
    assert BoardClient(gateway).get(path).status == 404


def test_theme_is_a_cookie(gateway: Gateway) -> None:
    client = BoardClient(gateway)

    chosen = client.submit("/theme", {"theme": "dark"})
    client.submit("/theme", {"theme": HOSTILE})

    assert (chosen.status, chosen.place) == (303, "/")
    assert '<html lang="en" data-theme="dark">' in client.get("/").text
    client.cookies["taskorch_theme"] = quote(HOSTILE)
    assert '<html lang="en">' in client.get("/").text


def test_forged_receipt_is_only_text(person: Person) -> None:
    client = person()
    name = f"taskorch_receipt_{client.gateway.port}"
    client.cookies[name] = quote(HOSTILE)

    reply = client.page("/")

    assert "<script>alert" not in reply.text
    assert "\u202e" not in reply.text
    assert name not in client.cookies
    assert "alert(1)" not in client.page("/").text


@EACH
def test_form_needs_a_session(gateway: Gateway, action: Action) -> None:
    reply = BoardClient(gateway).submit(path_of(action), {"a": HOSTILE})

    assert reply.status == 401
    assert reply.field("kept_path") == path_of(action)
    assert "<script>alert" not in reply.text


@EACH
def test_form_needs_its_csrf(person: Person, action: Action) -> None:
    client, other = person(Role.ADMIN), person(Role.ADMIN)

    for csrf in ("", "x", other.csrf(), client.csrf()[:-1]):
        reply = client.submit(path_of(action), {"csrf": csrf})
        assert reply.status == 403
        assert "the form is of another session" in reply.alert


@EACH
def test_form_comes_from_the_board(person: Person, action: Action) -> None:
    client = person(Role.ADMIN)
    fields = {"csrf": client.csrf()}

    for origin in ("", "http://evil", "null", client.origin + "1"):
        reply = client.submit(path_of(action), fields, origin=origin)
        assert reply.status == 403


@EACH
def test_viewer_is_refused(person: Person, action: Action) -> None:
    client = person(Role.VIEWER)

    reply = client.submit(path_of(action), {"csrf": client.csrf()})

    assert reply.status == 403
    assert "only looks" in reply.alert


@EACH
def test_other_body_is_refused(person: Person, action: Action) -> None:
    client = person(Role.ADMIN)
    client.csrf()

    for kind in ("application/json", "text/plain", "multipart/form-data"):
        reply = client.submit(path_of(action), {}, content_type=kind)
        assert reply.status == 400
    assert client.submit(path_of(action), {"a": "x" * 9_000_000}).status == 413


@EACH
def test_form_is_no_page(person: Person, action: Action) -> None:
    status = person().get(path_of(action)).status

    # a page of the same path may need a filter, or an administrator
    allowed = (200, 400, 404, 405)
    assert status in ((*allowed, 403) if action.is_for_admins else allowed)


@EACH
def test_script_gets_the_error_alone(person: Person, action: Action) -> None:
    client = person(Role.VIEWER)
    csrf = client.csrf()

    reply = client.submit(path_of(action), {"csrf": csrf}, accept=FRAGMENT)

    assert reply.status == 403
    assert "<html" not in reply.text
    assert reply.alert
    assert reply.field("csrf") == csrf
