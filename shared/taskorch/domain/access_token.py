"""Access tokens: what a client shows to the gateway, and what it may do with it."""

import re

from taskorch.domain.frozen import Frozen
from taskorch.domain.role import Role

#: The id, by which Redis finds it, and the secret, of which Redis has the SHA-256.
_TOKEN = r"tok_([0-9a-f]{8})_([0-9a-f]{64})"  # noqa: S105  the pattern of one
_ID = r"tok_[0-9a-f]{8}"


class ClientAccess(Frozen):
    """What a client may do."""

    #: The id of its token.
    token: str
    #: The name of the agent, or of the orchestrator, that it acts as.
    name: str
    role: Role
    #: The project that it is confined to; "" for none.
    project: str


class AccessToken(Frozen):
    """An access token as lists show it, without its secret."""

    id: str
    name: str
    role: Role
    #: The project that it is confined to; "" for none.
    project: str
    created_at: int
    created_by: str
    #: 0 for never.
    expires_at: int
    #: 0 if it was not used yet.
    used_at: int
    #: The address of the client at that time.
    used_from: str
    expired: bool


class NewAccessToken(Frozen):
    """A token that was just created or rotated: the only time that it is shown."""

    _secret = ("token",)

    id: str
    token: str


class Credentials(Frozen):
    """The parts of a token."""

    _secret = ("secret",)

    id: str
    secret: str


def new(id_: str, secret: str) -> NewAccessToken:
    """Return the token of an id and a secret, 64 hex digits."""
    return NewAccessToken(id=id_, token=f"{id_}_{secret}")


def parse(token: str) -> Credentials | None:
    """Return the parts of a token, None for a text that cannot be one."""
    match = re.fullmatch(_TOKEN, token)
    if not match:
        return None
    digits, secret = match.groups()
    return Credentials(id=f"tok_{digits}", secret=secret)


def is_id(text: str) -> bool:
    """Return whether a text can be the id of an access token."""
    return re.fullmatch(_ID, text) is not None
