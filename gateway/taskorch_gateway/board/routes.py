"""The routes of the board, and what every page and action has in common.

A page is shown to those who are signed in. An action is performed if its form is from a
page of the same session and the role of the token may act; then

- the script, which accepts text/fragment+html, gets `<output>` with the receipt,
  `<output data-next="/path">` if it goes on to another page, or `[role=alert]` with an
  error, which it puts into the form that it has kept;
- a form without the script is redirected to the page that it stood on, which shows the
  receipt; or gets a page with the error and what was typed.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Match, Route
from taskorch.domain import errors
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.role import Role

from taskorch_gateway.authentication import SCHEME, Authentication
from taskorch_gateway.board import (
    asset_files,
    audit,
    bulk,
    cookies,
    costs,
    forms,
    item,
    item_actions,
    item_forms,
    item_log,
    items,
    new_project,
    now,
    origin,
    pages,
    project,
    projects,
    refusals,
    schedules,
    tokens,
)
from taskorch_gateway.board.forms import ActionQuestion, ActionReceipt, Form
from taskorch_gateway.board.live import LiveBoards
from taskorch_gateway.board.refusals import Again
from taskorch_gateway.board.sign_in import SignIn
from taskorch_gateway.board.visit import (
    Action,
    BoardPage,
    Visit,
    is_script,
    need_looking,
)
from taskorch_gateway.client_connection import Client
from taskorch_gateway.exchange import (
    ClientKind,
    Endpoint,
    Exchange,
    address_of,
)
from taskorch_gateway.performer import Performer

#: The modules of the board: each line adds one.
PAGES: Sequence[BoardPage] = (
    *now.PAGES,
    *item.PAGES,
    *item_forms.PAGES,
    *item_log.PAGES,
    *items.PAGES,
    *bulk.PAGES,
    *costs.PAGES,
    *schedules.PAGES,
    *tokens.PAGES,
    *audit.PAGES,
    *projects.PAGES,
    *new_project.PAGES,
    *project.PAGES,
)
ACTIONS: Sequence[Action] = (
    *item_actions.ACTIONS,
    *item_forms.ACTIONS,
    *bulk.ACTIONS,
    *costs.ACTIONS,
    *schedules.ACTIONS,
    *tokens.ACTIONS,
    *new_project.ACTIONS,
    *project.ACTIONS,
)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: The headers of every page. With another policy of referrers, browsers would send no
#: origin with forms.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
NOT_KEPT = "no-store"
NO_PAGE = "There is no such page."


class Board:
    """The board of one namespace."""

    def __init__(
        self,
        namespace: str,
        exchange: Exchange,
        authentication: Authentication,
        performer: Performer,
        live: LiveBoards,
    ) -> None:
        self._namespace = namespace
        self._exchange = exchange
        self._performer = performer
        self._live = live
        self._sign_in = SignIn(namespace, authentication, self._restored)
        self.browsers = ClientKind(
            authorization=_authorization, refused=self._refused
        )
        self._shown = (*PAGES, live.page())
        self._actions: Sequence[tuple[Route, Action]] = [
            (self._route_of_action(action), action) for action in ACTIONS
        ]

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return [
            Route(asset_files.PATH, _protected(asset_files.respond)),
            *(
                Route(path, self._for_anyone(respond), methods=[method])
                for method, path, respond in self._sign_in.endpoints()
            ),
            Route("/theme", self._for_anyone(_choose_theme), methods=["POST"]),
            *(self._route_of_page(page) for page in self._shown),
            *(route for route, _ in self._actions),
        ]

    async def unknown(self, request: Request, error: Exception) -> Response:
        """Tell a person that there is no such page, or that it takes no form."""
        response = self._no_page(request)
        if cookies.token_of(request):
            own = await self._exchange.guarded(
                self._no_page_of, self.browsers
            )(request)
            # a session that has ended, or that sees no board, gets the page of a stranger
            if own.status_code == response.status_code:
                response = own
        if isinstance(error, HTTPException):
            response.status_code = error.status_code
        return _protect(response)

    async def _no_page_of(
        self, access: ClientAccess, request: Request
    ) -> Response:
        return self._no_page(request, **self._visit(access, request).values())

    def _no_page(self, request: Request, **values: object) -> Response:
        refused = errors.Usage(reason=NO_PAGE)
        values["title"] = "Not found"
        return refusals.page(request, self._namespace, refused, **values)

    def _for_anyone(self, respond: Endpoint) -> Endpoint:
        return _protected(self._exchange.for_anyone(respond, self.browsers))

    def _route_of_page(self, page: BoardPage) -> Route:
        async def respond(access: ClientAccess, request: Request) -> Response:
            visit = self._visit(access, request)
            visit.entry = page.entry
            if page.is_for_admins and not visit.may_administer:
                raise _not_for(access)
            return await page.show(visit)

        guarded = self._exchange.guarded(respond, self.browsers)
        return Route(page.path, _protected(guarded), methods=["GET"])

    def _route_of_action(self, action: Action) -> Route:
        async def respond(access: ClientAccess, request: Request) -> Response:
            visit = self._visit(access, request)
            origin.need_own(request)
            form = request.state.form = await forms.read(request)
            forms.need_csrf(form.text(forms.CSRF), cookies.token_of(request))
            if not visit.may_act or (
                action.is_for_admins and not visit.may_administer
            ):
                raise _not_for(access)
            visit.begin(form)
            return await self._act(action, visit, form)

        guarded = self._exchange.guarded(respond, self.browsers)

        async def note(request: Request) -> Response:
            request.state.action = action
            return await guarded(request)

        return Route(action.path, _protected(note), methods=["POST"])

    async def _act(self, action: Action, visit: Visit, form: Form) -> Response:
        """Perform an action, and reply with its receipt or its question."""
        try:
            result = await action.act(visit, form)
        except (errors.TokenRefused, errors.Unavailable):
            raise
        except TaskOrchestratorError as error:
            if not action.again:
                raise
            return await action.again(visit, form, error)
        if isinstance(result, ActionReceipt):
            return _received(visit.request, form, result)
        if isinstance(result, ActionQuestion):
            return _asked(visit, form, result)
        return result

    def _visit(self, access: ClientAccess, request: Request) -> Visit:
        client = Client(access=access, address=address_of(request))
        need_looking(access)
        visit = Visit(
            request,
            client,
            self._performer,
            self._namespace,
            partial(self._exchange.admits, kind=self.browsers),
        )
        visit.since = self._live.newest
        request.state.visit = visit
        return visit

    async def _refused(
        self, request: Request, error: TaskOrchestratorError
    ) -> Response:
        """Return the page of an error, with the form that was sent."""
        if isinstance(error, errors.TokenRefused):
            return await self._sign_in.ask(request)
        state = request.state
        visit: Visit | None = getattr(state, "visit", None)
        action: Action | None = getattr(state, "action", None)
        values = visit.values() if visit else {}
        if action and not is_script(request):
            form: Form | None = getattr(state, "form", None)
            form = form or await forms.read_if_possible(
                request, forms.STRANGERS_BYTES
            )
            if form:
                values["again"] = refusals.again(
                    action,
                    form,
                    request.url.path,
                    origin.back_of(request, form),
                    key=refusals.key_of(error, form),
                )
        return refusals.page(request, self._namespace, error, **values)

    def _restored(self, path: str, form: Form, back: str) -> Again | None:
        """Return a form that was kept while its person signed in, None for no action."""
        scope = {"type": "http", "method": "POST", "path": path}
        for route, action in self._actions:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return refusals.again(action, form, path, back)
        return None


def _authorization(request: Request) -> str:
    """Return the token of a session as a header shows it.

    Raises errors.TokenRefused without one: nothing is checked, and nothing noted.
    """
    token = cookies.token_of(request)
    if not token:
        raise errors.TokenRefused(url="")
    return f"{SCHEME} {token}"


def _not_for(access: ClientAccess) -> errors.NotAllowed:
    if access.role is Role.VIEWER:
        return errors.NotAllowed(
            reason="its role is viewer, which only looks."
        )
    return errors.NotAllowed(reason="it is for administrators.")


def _received(
    request: Request, form: Form, receipt: ActionReceipt
) -> Response:
    """Return the reply to an action that was performed."""
    if is_script(request):
        content = pages.render(
            "receipt.html", {"text": receipt.text, "next": receipt.next_path}
        )
        response: Response = HTMLResponse(content)
        if not receipt.next_path:
            return response
    else:
        path = receipt.next_path or origin.back_of(request, form)
        response = RedirectResponse(path, 303)
    cookies.set_receipt(response, request, receipt.text)
    return response


def _asked(visit: Visit, form: Form, question: ActionQuestion) -> Response:
    """Return the page that asks before an action."""
    request = visit.request
    back = origin.back_of(request, form)
    again = refusals.asked(question, form, request.url.path, back)
    status = 409 if visit.is_script else 200
    return visit.page(
        "question.html", status=status, question=question, again=again
    )


async def _choose_theme(request: Request) -> Response:
    """Keep the theme that was chosen."""
    form = await forms.read(request, forms.STRANGERS_BYTES)
    response = RedirectResponse(origin.back_of(request, form), 303)
    if (theme := form.text("theme")) in cookies.THEMES:
        cookies.set_theme(response, request, theme)
    return response


def _protected(respond: Endpoint) -> Endpoint:
    """Return an endpoint whose responses have the headers of the board."""

    async def answer(request: Request) -> Response:
        return _protect(await respond(request))

    return answer


def _protect(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", NOT_KEPT)
    return response
