"""One request of a person who is signed in, and what pages and actions are made of.

A module of the board has `PAGES` and `ACTIONS`; `routes.py` lists the modules.

    async def show(visit: Visit) -> Response:
        view = await visit.ask(ReadItem(item=visit.word("id")))
        return visit.page("item.html", view=view)

    async def answer(visit: Visit, form: Form) -> ActionReceipt:
        await visit.ask(Answer(item=visit.word("id"), text=form.text("answer")))
        return ActionReceipt(text="Answered. The agent continues.")

    PAGES = (BoardPage(path="/items/{id}", show=show, entry="items"),)
    ACTIONS = (
        Action(
            path="/items/{id}/answer",
            act=answer,
            word="Answer",
            texts={"answer": "Answer"},
        ),
    )

Errors of the queue are raised: the frame shows them, with what was typed.
"""

from collections.abc import Awaitable, Callable, Mapping
from secrets import token_hex
from time import time
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from taskorch.domain import errors
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.frozen import Frozen
from taskorch.domain.role import Role
from taskorch.mcp.tool import ToolArguments

from taskorch_gateway.api.request_arguments import pairs_of
from taskorch_gateway.board import cookies, forms, pages
from taskorch_gateway.board.forms import ActionQuestion, ActionReceipt, Form
from taskorch_gateway.client_connection import Client
from taskorch_gateway.performer import Performer

#: What the script of the board accepts in place of a page.
FRAGMENT = "text/fragment+html"
#: The roles whose tokens may sign in. A worker reads its own queue only.
MAY_LOOK = (Role.VIEWER, Role.ORCHESTRATOR, Role.ADMIN)
MAY_ACT = (Role.ORCHESTRATOR, Role.ADMIN)
KEY_BYTES = 8


class Visit:
    """One request of a person: who it is, what their token allows, and the reply."""

    def __init__(
        self,
        request: Request,
        client: Client,
        performer: Performer,
        namespace: str,
        admits: Callable[[Request], Awaitable[bool]],
    ) -> None:
        """`admits` tells whether the token of a request is valid."""
        self.request = request
        self.client = client
        self.namespace = namespace
        #: The entry of the navigation that the page belongs to.
        self.entry = ""
        #: The newest event before anything was read.
        self.since = ""
        #: The damaged rows that the data of the verbs lacks, with the reasons.
        self.damage: dict[tuple[str, str], str] = {}
        self.csrf = forms.csrf_of(cookies.token_of(request))
        self._performer = performer
        self._admits = admits
        #: What a repeat of the request has in common with it; "" if it changes nothing.
        self._digest = ""
        #: The number of verbs so far that change something.
        self._acts = 0

    @property
    def access(self) -> ClientAccess:
        """What the token allows."""
        return self.client.access

    @property
    def may_act(self) -> bool:
        """Whether the person may change anything."""
        return self.access.role in MAY_ACT

    @property
    def may_administer(self) -> bool:
        """Whether the person may see and change access tokens."""
        return self.access.role is Role.ADMIN

    @property
    def is_script(self) -> bool:
        """Whether the script of the board asks, which takes a part of a page."""
        return is_script(self.request)

    @property
    def path(self) -> str:
        """The path and the query of the page."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    def word(self, name: str) -> str:
        """Return a part of the path, such as the id of an item."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str:
        """Return a value of the query, "" for none. Raises errors.Usage."""
        for known, value in pairs_of(self.request.url.query):
            if known == name:
                return value
        return ""

    async def ask(self, verb: ToolArguments) -> object:
        """Perform a verb, or a read, in the name of the token, and return its data.

        In an action, each verb acts once, however often the form is sent. Raises
        errors.TaskOrchestratorError.
        """
        key = ""
        if self._digest and not verb.read_only:
            self._acts += 1
            key = f"board {self._digest} {self._acts}"
        performed = await self._performer.perform(self.client, verb, key=key)
        self.damage.update(performed.damage)
        return performed.result.data

    async def is_admitted(self) -> bool:
        """Return whether the token is still valid. Raises errors.Unavailable."""
        return await self._admits(self.request)

    def page(
        self, template: str, *, status: int = 200, **values: object
    ) -> Response:
        """Return a page; `values` are what its template shows."""
        common = self.values()
        content = pages.render(template, {**common, **values})
        response = HTMLResponse(content, status)
        if common["receipt"]:
            cookies.drop_receipt(response, self.request)
        return response

    def values(self) -> dict[str, object]:
        """Return what every template of the person gets."""
        return {
            **about(self.request, self.namespace),
            "visit": self,
            "may_act": self.may_act,
            "page": self.entry,
            "csrf": self.csrf,
            "live": "status",
            "since": self.since,
        }

    def begin(self, form: Form) -> None:
        """Let the verbs from now on act once for a form."""
        self._digest = f"{self.request.url.path} {form.digest}"


Show: TypeAlias = Callable[[Visit], Awaitable[Response]]
Act: TypeAlias = Callable[
    [Visit, Form], Awaitable[ActionReceipt | ActionQuestion | Response]
]
ShowAgain: TypeAlias = Callable[
    [Visit, Form, TaskOrchestratorError], Awaitable[Response]
]


class BoardPage(Frozen):
    """A page of the board."""

    #: Such as "/items/{id}".
    path: str
    show: Show
    #: The entry of the navigation that it belongs to, such as "items".
    entry: str = ""
    is_for_admins: bool = False


class Action(Frozen):
    """What a form of the board does."""

    path: str
    act: Act
    #: The word of its button.
    word: str
    #: The fields that a person types into -> their labels.
    texts: Mapping[str, str] = {}
    is_for_admins: bool = False
    #: Shows the page of the form again after an error. Without it, a page shows the
    #: error and the texts.
    again: ShowAgain | None = None


def about(request: Request, namespace: str) -> dict[str, object]:
    """Return what every page shows, also to those who are not signed in."""
    return {
        **of_nobody(namespace),
        "theme": cookies.theme_of(request),
        "receipt": cookies.receipt_of(request),
    }


def of_nobody(namespace: str) -> dict[str, object]:
    """Return what a page shows that no request asks for."""
    return {
        "visit": None,
        "may_act": False,
        "page": "",
        "namespace": namespace,
        "theme": "",
        "receipt": "",
        "key": token_hex(KEY_BYTES),
        "csrf": "",
        "now_ms": int(time() * 1000),
        "live": "",
        "have": "",
        "since": "",
        "count": 0,
        "refresh": "",
    }


def is_script(request: Request) -> bool:
    """Return whether the script of the board has sent a request."""
    return FRAGMENT in request.headers.get("accept", "")


def need_looking(access: ClientAccess) -> None:
    """Raise errors.NotAllowed for a token that may not see the board."""
    if access.role not in MAY_LOOK:
        raise errors.NotAllowed(
            reason=f"its role is {access.role}. The board needs a viewer, an "
            "orchestrator or an admin."
        )


def need_acting(access: ClientAccess) -> None:
    """Raise errors.NotAllowed for a token that may change nothing."""
    if access.role not in MAY_ACT:
        raise errors.NotAllowed(
            reason=f"its role is {access.role}, which only looks."
        )
