"""The link that signs a person in to the board, once."""

from contextlib import suppress
from urllib.parse import urlencode

from taskorch.domain import errors
from taskorch.domain.role import Role
from taskorch.queue.access_tokens import AccessTokens

#: The page of the board that a link opens, and its parameter: the token of the link.
PATH = "/sign-in"
PARAMETER = "link"
#: Under these names, the tokens of links and those that replace them are created.
CREATORS = ("board", "gateway")


def remove_expired(tokens: AccessTokens) -> None:
    """Remove the expired tokens of earlier links, and of the sessions after them."""
    for token in tokens.list():
        if token.expired and token.created_by in CREATORS:
            with suppress(errors.NoAccessToken):
                tokens.revoke(token.id)


def create(tokens: AccessTokens, url: str, name: str, role: Role) -> str:
    """Return a link to the board at `url`, for a person with a name and a role."""
    created = tokens.create_link(name, role)
    return f"{url}{PATH}?{urlencode({PARAMETER: created.token})}"
