"""Signing in and out: by an access token, or by the link that `orchestrate board` opens."""

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from taskorch.domain import access_token, errors
from taskorch.domain.errors import TaskOrchestratorError

from taskorch_gateway.authentication import SCHEME, Authentication
from taskorch_gateway.board import cookies, forms, origin, pages, refusals
from taskorch_gateway.board.refusals import Again
from taskorch_gateway.board.visit import about, is_script, need_looking
from taskorch_gateway.exchange import Endpoint, address_of

PATH = "/sign-in"
#: Maximum size of a form that is kept until its person has signed in. It may be three times
#: as large in the form that signs in, which escapes it again.
KEPT_BYTES = forms.STRANGERS_BYTES // 4
#: The fields of the page that keeps a form.
KEPT, KEPT_PATH = "kept", "kept_path"
SIGNED_IN = "You are signed in"
NOT_SENT = "What you typed was not sent yet. Look at it, and send it."

#: Path of an action, its form and the page that it stood on -> the form to send again.
Restore = Callable[[str, forms.Form, str], Again | None]


class SignIn:
    """The pages for people who are not signed in."""

    def __init__(
        self, namespace: str, authentication: Authentication, restore: Restore
    ) -> None:
        self._namespace = namespace
        self._authentication = authentication
        self._restore = restore

    async def show(self, request: Request) -> Response:
        """Ask for a token, or redeem the link that leads here."""
        link = request.query_params.get("link", "")
        if not link:
            return self._page(request, 200, back="/")
        created = await self._authentication.redeem(link, address_of(request))
        response = self._forward(request, "/")
        cookies.set_token(response, request, created.token)
        cookies.set_link_session(response, request, created.id)
        return response

    async def sign_in(self, request: Request) -> Response:
        """Begin a session with the token that was typed."""
        origin.need_own(request)
        form = await forms.read(request, forms.STRANGERS_BYTES)
        token = form.text("token")
        back = origin.own_path(form.text(forms.BACK)) or "/"
        try:
            access = await self._authentication.access(
                f"{SCHEME} {token}", address_of(request)
            )
            need_looking(access)
        except (
            errors.TokenRefused,
            errors.NotAllowed,
            errors.Unavailable,
        ) as error:
            return self._page(
                request,
                refusals.status_of(error),
                error=refusals.shown(_refused(error)),
                back=back,
                kept=form.text(KEPT),
                kept_path=form.text(KEPT_PATH),
            )
        response = self._restored(request, form, token, back)
        cookies.set_token(response, request, token)
        return response

    async def sign_out(self, request: Request) -> Response:
        """End the session of this browser, and the token that a link has made for it.

        Any other token stays valid.
        """
        origin.need_own(request)
        token = cookies.token_of(request)
        credentials = access_token.parse(token)
        if credentials and cookies.is_link_session(request, credentials.id):
            await self._authentication.end(token, address_of(request))
        response = RedirectResponse(PATH, 303)
        cookies.drop_token(response, request)
        cookies.drop_link_session(response, request)
        return response

    async def ask(self, request: Request) -> Response:
        """Ask for a token in place of a page, and keep the form that was sent."""
        error = _refused(errors.TokenRefused(url=""))
        if is_script(request):
            return refusals.fragment(error)
        had_token = bool(cookies.token_of(request))
        if request.method == "POST":
            response = await self._kept(request, error)
        elif not had_token and _comes_from_elsewhere(request):
            return self._forward(request, origin.path_of(request))
        else:
            response = self._page(
                request,
                401,
                error=refusals.shown(error) if had_token else None,
                back=origin.path_of(request),
            )
        response.headers["WWW-Authenticate"] = "Bearer"
        if had_token:
            cookies.drop_token(response, request)
        return response

    def endpoints(self) -> Sequence[tuple[str, str, Endpoint]]:
        """Return the method, the path and the endpoint of each route."""
        return [
            ("GET", PATH, self.show),
            ("POST", PATH, self.sign_in),
            ("POST", "/sign-out", self.sign_out),
        ]

    async def _kept(
        self, request: Request, error: TaskOrchestratorError
    ) -> Response:
        """Ask for a token on a page that keeps the form of a request."""
        kept = ""
        form = await forms.read_if_possible(request, forms.STRANGERS_BYTES)
        if form and len(form.encoded) <= KEPT_BYTES:
            kept = form.encoded
        return self._page(
            request,
            401,
            error=refusals.shown(error),
            back=origin.back_of(request, form),
            kept=kept,
            kept_path=request.url.path if kept else "",
        )

    def _restored(
        self, request: Request, form: forms.Form, token: str, back: str
    ) -> Response:
        """Return the page that was left, or the form that is still to be sent."""
        path = form.text(KEPT_PATH)
        kept = forms.decoded(form.text(KEPT)) if path else None
        again = self._restore(path, kept, back) if kept else None
        if again is None:
            return RedirectResponse(back, 303)
        values = {
            **about(request, self._namespace),
            "csrf": forms.csrf_of(token),
            "title": SIGNED_IN,
            "notice": NOT_SENT,
            "error": None,
            "again": again,
        }
        return HTMLResponse(pages.render("refused.html", values))

    def _forward(self, request: Request, path: str) -> Response:
        """Return a page that leads to another one.

        If another site has led here, the browser sends no cookie with this request, nor
        with a redirection. It does when a page of the board leads on.
        """
        values = {
            **about(request, self._namespace),
            "back": path,
            "refresh": f"0; url={path}",
        }
        return HTMLResponse(pages.render("signed_in.html", values))

    def _page(
        self, request: Request, status: int, **values: object
    ) -> Response:
        known: dict[str, object] = {
            **about(request, self._namespace),
            "error": None,
            "kept": "",
            "kept_path": "",
        }
        content = pages.render("sign_in.html", {**known, **values})
        return HTMLResponse(content, status)


def _comes_from_elsewhere(request: Request) -> bool:
    """Return whether another site has led here, so that the browser sent no cookie."""
    return request.headers.get("sec-fetch-site", "") == "cross-site"


def _refused(error: TaskOrchestratorError) -> TaskOrchestratorError:
    """Return the error of a token for a person, who sends no header."""
    if isinstance(error, errors.TokenRefused):
        return SessionEnded()
    return error


class SessionEnded(errors.TokenRefused):
    """The access token of a session is not valid, or not valid any more."""

    def __init__(self) -> None:
        super().__init__(url="")

    def _message(self) -> str:
        return "This access token is unknown, expired or revoked."

    def hint(self) -> str:
        """Return how to go on."""
        return "Sign in with another one."
