"""The access tokens of the namespace, for administrators: list, create, rotate, revoke.

A secret is shown once, on the page that a form leads to: so a reload of that page creates no
further one. The browser carries it there in a cookie that no script can read, which ends with
that page: it is never in a link or in a receipt.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from starlette.responses import RedirectResponse, Response
from taskorch.domain import access_token, errors, limits
from taskorch.domain.access_token import AccessToken, NewAccessToken, Quotas
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.frozen import replace
from taskorch.domain.role import Role
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch.queue.requests import Requests

from taskorch_gateway.board import cookies, refusals
from taskorch_gateway.board.forms import ActionQuestion, ActionReceipt, Form
from taskorch_gateway.board.item_edit import words_of
from taskorch_gateway.board.visit import Action, BoardPage, Visit
from taskorch_gateway.client_queue import queue_of

PATH, SECRET_PATH = "/tokens", "/tokens/secret"
#: Rows of the page; the filter by name finds the others.
ROWS = 200
#: The lifetimes that the form offers, in words; "" ends when the token is revoked.
LIFETIMES: Mapping[str, str] = {
    "1d": "1 day",
    "7d": "7 days",
    "30d": "30 days",
    "90d": "90 days",
    "365d": "365 days",
    "": "until it is revoked",
}


class ListTokens(ToolArguments):
    """List the access tokens. Its result are AccessTokens, the newest first."""

    name = "board_tokens"
    read_only = True

    def perform(self, call: ToolCall) -> ToolResult:
        """List them."""
        return ToolResult(queue_of(call).access_tokens().list())


class CreateToken(ToolArguments):
    """Create an access token. Its result is a NewAccessToken."""

    name = "board_create_token"
    of: str
    role: Role
    project: str
    lifetime_ms: int | None
    quotas: Quotas
    pools: tuple[str, ...] = ()

    def perform(self, call: ToolCall) -> ToolResult:
        """Create it.

        Raises errors.NoProject, and errors.Invalid, also for pools of another role than
        that of a worker.
        """
        created = (
            queue_of(call)
            .access_tokens()
            .create(
                self.of,
                self.role,
                project=self.project,
                lifetime_ms=self.lifetime_ms,
                quotas=self.quotas,
                pools=self.pools,
            )
        )
        return ToolResult(created)


class RotateToken(ToolArguments):
    """Give an access token a new secret. Its result is a NewAccessToken."""

    name = "board_rotate_token"
    id: str

    def perform(self, call: ToolCall) -> ToolResult:
        """Rotate it. Raises errors.NoAccessToken."""
        # a repeat has a request of its own: the kept reply has no secret
        call.requests = Requests()
        return ToolResult(queue_of(call).access_tokens().rotate(self.id))


class RevokeToken(ToolArguments):
    """Revoke an access token."""

    name = "board_revoke_token"
    id: str

    def perform(self, call: ToolCall) -> ToolResult:
        """Revoke it. Raises errors.NoAccessToken."""
        queue_of(call).access_tokens().revoke(self.id)
        return ToolResult(self.id)


async def show(visit: Visit) -> Response:
    """Show the tokens, and the form for a new one."""
    return await _page(visit, Form(()))


async def create(visit: Visit, form: Form) -> Response:
    """Create a token, and lead to the page that shows it this one time."""
    created = await visit.ask(_wanted(form))
    return _shown_once(visit, cast("NewAccessToken", created))


async def create_again(
    visit: Visit, form: Form, error: TaskOrchestratorError
) -> Response:
    """Show the form again, with what was typed and what is wrong with it."""
    return await _page(visit, form, error)


async def rotate(visit: Visit, form: Form) -> ActionQuestion | Response:
    """Give a token a new secret, and lead to the page that shows it this one time."""
    id_ = visit.word("id")
    if not form.is_confirmed:
        return ActionQuestion(
            title=f"Replace the secret of {id_}?",
            why=_what_follows(visit, id_, "The old secret is refused"),
            yes="Replace it",
            is_dangerous=True,
        )
    rotated = await visit.ask(RotateToken(id=id_))
    return _shown_once(visit, cast("NewAccessToken", rotated))


async def revoke(visit: Visit, form: Form) -> ActionQuestion | ActionReceipt:
    """Revoke a token."""
    id_ = visit.word("id")
    if not form.is_confirmed:
        return ActionQuestion(
            title=f"Revoke {id_}?",
            why=_what_follows(visit, id_, "It is refused"),
            yes="Revoke it",
            is_dangerous=True,
        )
    await visit.ask(RevokeToken(id=id_))
    return ActionReceipt(text=f"Revoked {id_}.", next_path=PATH)


async def show_secret(visit: Visit) -> Response:
    """Show the secret of the last form, this one time."""
    token = cookies.secret_of(visit.request)
    credentials = access_token.parse(token)
    response = visit.page(
        "token_secret.html",
        token=token if credentials else "",
        id=credentials.id if credentials else "",
    )
    cookies.drop_secret(response, visit.request)
    return response


PAGES = (
    BoardPage(path=PATH, show=show, entry="tokens", is_for_admins=True),
    BoardPage(
        path=SECRET_PATH, show=show_secret, entry="tokens", is_for_admins=True
    ),
)
ACTIONS = (
    Action(
        path=PATH,
        act=create,
        word="Create the token",
        texts={
            "name": "Name",
            "project": "Project",
            "pools": "Pools",
            "expires": "Lifetime",
        },
        is_for_admins=True,
        again=create_again,
    ),
    Action(
        path=f"{PATH}/{{id}}/rotate",
        act=rotate,
        word="Replace the secret",
        is_for_admins=True,
    ),
    Action(
        path=f"{PATH}/{{id}}/revoke",
        act=revoke,
        word="Revoke the token",
        is_for_admins=True,
    ),
)


async def _page(
    visit: Visit, form: Form, error: TaskOrchestratorError | None = None
) -> Response:
    every = cast("Sequence[AccessToken]", await visit.ask(ListTokens()))
    name = visit.query("name")
    wanted = [token for token in every if name in token.name]
    return visit.page(
        "tokens.html",
        status=refusals.status_of(error) if error else 200,
        tokens=wanted[:ROWS],
        matching=len(wanted),
        total=len(every),
        name=name,
        own=visit.access.token,
        roles=[str(role) for role in Role],
        lifetimes=LIFETIMES,
        typed={
            field: form.text(field)
            for field in (
                *("name", "role", "project", "pools", "expires"),
                *("open_items", "bytes_a_day", "agents"),
            )
        },
        error=refusals.shown(error) if error else None,
    )


def _wanted(form: Form) -> CreateToken:
    """Return the token that a form asks for. Raises errors.Usage and errors.Invalid."""
    try:
        role = Role(form.text("role"))
    except ValueError:
        raise errors.Usage(reason="Choose a role.") from None
    lifetime = form.text("expires")
    return CreateToken(
        of=form.text("name"),
        role=role,
        project=form.text("project"),
        lifetime_ms=limits.duration_ms(lifetime) if lifetime else None,
        quotas=_quotas(form, access_token.usual_quotas(role)),
        pools=words_of(form, "pools"),
    )


def _quotas(form: Form, usual: Quotas) -> Quotas:
    """Return the quotas that are given, and else the usual ones of the role."""
    given: dict[str, object] = {}
    for name in ("open_items", "agents"):
        number = form.number(name)
        if number is not None:
            given[name] = number
    if form.text("bytes_a_day"):
        given["bytes_a_day"] = limits.size(form.text("bytes_a_day"))
    return replace(usual, **given)


def _what_follows(visit: Visit, id_: str, refused: str) -> str:
    follows = f"{refused} within a second, and what its client waits for ends."
    if id_ == visit.access.token:
        return f"{follows} It is the token that you have signed in with."
    return follows


def _shown_once(visit: Visit, token: NewAccessToken) -> Response:
    response = RedirectResponse(SECRET_PATH, 303)
    cookies.set_secret(response, visit.request, token.token)
    return response
