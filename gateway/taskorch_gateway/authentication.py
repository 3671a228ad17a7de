"""Who calls: the one check of access tokens. Another one, such as OIDC, can replace it."""

from asyncio import Task, create_task, current_task, shield
from hashlib import sha256
from time import monotonic
from typing import NoReturn

from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.access_token import (
    Checked,
    ClientAccess,
    NewAccessToken,
)
from taskorch.domain.item import Caller
from taskorch.queue.access_tokens import AccessTokens
from taskorch.queue.port import Connection
from taskorch.queue.scripts import Scripts

from taskorch_gateway.pool import NAME, ConnectionPool
from taskorch_gateway.rates import FailedTokens
from taskorch_gateway.refusals import Refusals

#: How long a check is valid. The scripts refuse a revoked token themselves; the old
#: secret of a rotated one is refused within this time.
FRESH_S = 0.9
#: Maximum number of tokens whose checks are kept.
KEPT = 10_000
SCHEME = "bearer"
NEVER = 0.0


class Authentication:
    """Checks the access tokens of one namespace."""

    def __init__(
        self, settings: Settings, pool: ConnectionPool, refusals: Refusals
    ) -> None:
        self._namespace = settings.namespace
        self._pool = pool
        self._refusals = refusals
        self._failed = FailedTokens()
        #: SHA-256 of a token -> what it allowed last, and until when that is valid.
        self._checked: dict[bytes, tuple[ClientAccess, float]] = {}
        #: SHA-256 of a token -> its check that runs, for all streams and calls that ask.
        self._checking: dict[bytes, Task[Checked]] = {}

    async def access(self, authorization: str, address: str) -> ClientAccess:
        """Return what the header `Authorization` allows a client.

        Raises errors.TokenRefused, errors.RateLimited for a client that has shown too
        many refused tokens, and errors.Unavailable if Redis is.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != SCHEME:
            self._refuse(address)
        key = sha256(token.encode()).digest()
        known = self._checked.get(key)
        if known and monotonic() < known[1]:
            return known[0]
        if not known:
            self._admit(address, token)
        checking = self._checking.get(key)
        if checking is None:
            checking = create_task(self._check(key, token, address))
            self._checking[key] = checking
        checked = await shield(checking)
        if checked.access is None:
            self._failed.count(address, token)
            self._refuse(address, checked.token)
        return checked.access

    async def redeem(self, link: str, address: str) -> NewAccessToken:
        """Return the token of a session for a sign-in link, which works once.

        Raises errors.LinkRefused, errors.RateLimited for a client that has shown too
        many refused links and tokens, and errors.Unavailable.
        """
        self._admit(address, link)
        try:
            return await self._pool.run(
                lambda connection: self._tokens(connection).redeem(
                    link, address
                )
            )
        except errors.LinkRefused as refused:
            self._refusals.note(refused.word, address)
            self._failed.count(address, link)
            raise

    async def end(self, token: str, address: str) -> None:
        """Revoke a valid token, for the person who has it; do nothing for any other.

        Raises errors.RateLimited for a client that has shown too many refused tokens,
        and errors.Unavailable.
        """
        try:
            access = await self.access(f"{SCHEME} {token}", address)
            await self._pool.run(
                lambda connection: self._tokens(connection).revoke(
                    access.token
                )
            )
        except (errors.TokenRefused, errors.NoAccessToken):
            return  # it has ended already

    def forget(self, token: str) -> None:
        """Check a token again at its next use; "" for all of them."""
        self._checking.clear()  # they may have begun before the change
        for key, (access, _) in tuple(self._checked.items()):
            if token in ("", access.token):
                self._checked[key] = access, NEVER

    async def _check(self, key: bytes, token: str, address: str) -> Checked:
        """Ask Redis about a token, and keep the result unless it was forgotten since."""
        started = monotonic()
        checking = current_task()
        try:
            checked = await self._pool.run(
                lambda connection: self._tokens(connection).use(token, address)
            )
            if self._checking.get(key) is checking:
                self._keep(key, checked, started + FRESH_S)
            return checked
        finally:
            if self._checking.get(key) is checking:
                del self._checking[key]

    def _keep(self, key: bytes, checked: Checked, fresh_until: float) -> None:
        access = checked.access
        if access is None:
            self._checked.pop(key, None)
            return
        if len(self._checked) >= KEPT:
            self._checked.clear()
        self._checked[key] = access, min(fresh_until, access.valid_until)

    def _admit(self, address: str, token: str) -> None:
        try:
            self._failed.admit(address, token)
        except errors.RateLimited as error:
            self._refusals.note(error.word, address)
            raise

    def _refuse(self, address: str, token: str = "") -> NoReturn:
        """Refuse a request; `token` is the id of the token if there is such a token."""
        refused = errors.TokenRefused(url="")
        self._refusals.note(refused.word, address, token=token)
        raise refused

    def _tokens(self, connection: Connection) -> AccessTokens:
        caller = Caller(agent=NAME)
        return AccessTokens(Scripts(connection, self._namespace, caller))
