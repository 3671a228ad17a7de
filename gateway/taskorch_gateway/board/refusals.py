"""Errors as people read them, with the form that they are about and what was typed."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from taskorch.domain import errors
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.frozen import Frozen, replace

from taskorch_gateway.board import cookies, origin, pages
from taskorch_gateway.board.forms import (
    CONFIRM,
    KEY,
    YES,
    ActionQuestion,
    Fields,
    Form,
)
from taskorch_gateway.board.visit import Action, about, is_script
from taskorch_gateway.exchange import error_response, outward

#: How soon a page tries again by itself, in seconds.
RETRY_S = 3
#: Status of a reply -> the title of its page.
TITLES = {
    400: "That was not understood",
    401: "Sign in",
    403: "Not allowed",
    404: "Not found",
    405: "Not found",
    409: "It has changed since",
    413: "Too large",
    422: "Not accepted",
    429: "Too many requests",
    503: "The queue is unavailable",
}
UNEXPECTED = "An error occurred"
#: The title of the page of a sign-in link that was used, or has expired.
USED_LINK = "This link no longer works"


class ShownError(Frozen):
    """An error on a page."""

    message: str
    hint: str
    rows: Sequence[str]
    #: Whether the same request may succeed later.
    is_temporary: bool
    #: What the item is now that a form is about, for the form that is sent again; "" if
    #: that does not matter.
    seen: str = ""
    #: Whether the person has to sign in, in another tab: this page keeps the form.
    needs_sign_in: bool = False


class Again(Frozen):
    """A form with what was typed into it, to look at and to send."""

    path: str
    #: The word of its button, and of the link that leaves it.
    word: str
    leave: str
    #: The page that the form stood on.
    back: str
    #: Label, field and value of each text.
    texts: Sequence[tuple[str, str, str]]
    hidden: Fields
    #: The key of the request, if it may have acted already; "" for a new one.
    key: str = ""
    is_dangerous: bool = False


def shown(error: TaskOrchestratorError) -> ShownError:
    """Return an error as a template shows it."""
    error = outward(error)
    return ShownError(
        message=str(error),
        hint=error.hint(),
        rows=error.rows(),
        is_temporary=error.retryable,
        seen=str(error.details.get("seen", "")),
    )


def status_of(error: TaskOrchestratorError) -> int:
    """Return the HTTP status of an error, the same as in the API."""
    return error_response(error).status_code


def fragment(error: TaskOrchestratorError, csrf: object = "") -> Response:
    """Return an error for the script, which leaves the form as it is.

    `csrf` is that of the session: the form may be of an older one.
    """
    answer = error_response(error)
    needs_sign_in = isinstance(error, errors.TokenRefused)
    alert = replace(shown(error), needs_sign_in=needs_sign_in)
    values = {"error": alert, "csrf": csrf}
    content = pages.render("alert.html", values)
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name in ("retry-after", "www-authenticate")
    }
    return HTMLResponse(content, answer.status_code, headers)


def again(
    action: Action, form: Form, path: str, back: str, *, key: str = ""
) -> Again:
    """Return a form of an action with what was typed."""
    return Again(
        path=path,
        word=action.word,
        leave="Discard it",
        back=back,
        texts=[
            (label, name, form.text(name))
            for name, label in action.texts.items()
        ],
        hidden=[
            (name, value)
            for name, value in form.fields
            if name not in action.texts
        ],
        key=key,
    )


def asked(question: ActionQuestion, form: Form, path: str, back: str) -> Again:
    """Return the form that answers a question with yes."""
    texts = []
    if question.label:
        texts = [(question.label, question.field, form.text(question.field))]
    return Again(
        path=path,
        word=question.yes,
        leave="Keep it as it is",
        back=back,
        texts=texts,
        hidden=[
            *(
                (name, value)
                for name, value in form.fields
                if name != CONFIRM
                and not (question.label and name == question.field)
            ),
            (CONFIRM, YES),
        ],
        is_dangerous=question.is_dangerous,
    )


def page(
    request: Request,
    namespace: str,
    error: TaskOrchestratorError,
    /,
    **values: object,
) -> Response:
    """Return the page of an error; `values` are those of a visit, if there is one.

    A page that was only read tries again by itself while Redis is unavailable.
    """
    if is_script(request):
        return fragment(error, values.get("csrf", ""))
    answer = error_response(error)
    is_read = request.method in ("GET", "HEAD")
    retries = isinstance(error, errors.Unavailable) and error.retryable
    is_link = isinstance(error, errors.LinkRefused)
    title = TITLES.get(answer.status_code, UNEXPECTED)
    known: dict[str, object] = {
        **about(request, namespace),
        "title": USED_LINK if is_link else title,
        "home": ("/sign-in", "Sign in") if is_link else ("/", "Now"),
        "error": shown(error),
        "again": None,
        "back": origin.path_of(request) if is_read else "/",
    }
    content = pages.render("refused.html", {**known, **values})
    response = HTMLResponse(content, answer.status_code)
    if retries and is_read:
        response.headers["Refresh"] = str(RETRY_S)
    if retries:
        response.headers["Retry-After"] = answer.headers.get(
            "retry-after", "1"
        )
    if known["receipt"]:
        cookies.drop_receipt(response, request)
    return response


def key_of(error: TaskOrchestratorError, form: Form) -> str:
    """Return the key for sending a form again.

    After an outage it is the same: the request may have acted.
    """
    return form.text(KEY) if isinstance(error, errors.Unavailable) else ""
