"""Access tokens: what a client shows to the gateway, and what it may do with it."""

import re
from math import inf

from taskorch.domain.frozen import Frozen
from taskorch.domain.role import Role

#: The id, by which Redis finds it, and the secret, of which Redis has the SHA-256.
_TOKEN = r"tok_([0-9a-f]{8})_([0-9a-f]{64})"  # noqa: S105  the pattern of one
_ID = r"tok_[0-9a-f]{8}"
#: How the secret of a sign-in link begins; chance gives this to no other token.
_LINK_MARK = "0" * 16


class ClientAccess(Frozen):
    """What a client may do."""

    #: The id of its token.
    token: str
    #: The name of the agent, or of the orchestrator, that it acts as.
    name: str
    role: Role
    #: The project that it is confined to; "" for none.
    project: str
    #: When the token expires, by time.monotonic() of this process; infinite for never.
    valid_until: float = inf
    #: The pools that it may take items from, in their order.
    pools: tuple[str, ...] = ()


class Checked(Frozen):
    """The result of a check of a token."""

    #: None if it is unknown, wrong or expired.
    access: ClientAccess | None
    #: The id of the token if there is such a token, even with another secret; else "".
    token: str


class Quotas(Frozen):
    """What the client of a token may use up; 0 for any number."""

    #: Items that it has created and that are neither completed nor cancelled.
    open_items: int
    #: Bytes that it writes in a day (UTC).
    bytes_a_day: int
    #: Different agents that it assigns items to.
    agents: int


#: The quotas of a token that is created without others.
USUAL = Quotas(open_items=10_000, bytes_a_day=1_000_000_000, agents=1_000)
NONE = Quotas(open_items=0, bytes_a_day=0, agents=0)


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
    quotas: Quotas
    #: What is used of each quota.
    used: Quotas
    #: The pools that its client may take items from, in their order.
    pools: tuple[str, ...] = ()


class AccessTokenEdit(Frozen):
    """Changes of a token; None leaves a field as it is."""

    role: Role | None = None
    #: All pools that it may take items from.
    pools: tuple[str, ...] | None = None
    #: ms from now until it expires; 0 for never.
    lifetime_ms: int | None = None
    #: Quotas; 0 for any number.
    open_items: int | None = None
    bytes_a_day: int | None = None
    agents: int | None = None


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


def usual_quotas(role: Role) -> Quotas:
    """Return the quotas of a token of a role that is created without others."""
    return NONE if role is Role.ADMIN else USUAL


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


def link_secret(secret: str) -> str:
    """Return a random secret as that of a sign-in link."""
    return _LINK_MARK + secret[len(_LINK_MARK) :]


def is_link(token: str) -> bool:
    """Return whether a token is that of a sign-in link, which allows nothing else."""
    credentials = parse(token)
    return credentials is not None and credentials.secret.startswith(
        _LINK_MARK
    )


def is_id(text: str) -> bool:
    """Return whether a text can be the id of an access token."""
    return re.fullmatch(_ID, text) is not None
