"""Who calls: the one check of access tokens. Another one, such as OIDC, can replace it."""

from hashlib import sha256
from time import monotonic

from taskorch.config.settings import Settings
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.item import Caller
from taskorch.queue.access_tokens import AccessTokens
from taskorch.queue.port import Connection
from taskorch.queue.scripts import Scripts

from taskorch_gateway.pool import NAME, ConnectionPool

#: How long a check is valid: a revoked token is refused within this time.
FRESH_S = 0.9
#: Maximum number of tokens whose checks are kept.
KEPT = 10_000
SCHEME = "bearer"


class Authentication:
    """Checks the access tokens of one namespace."""

    def __init__(self, settings: Settings, pool: ConnectionPool) -> None:
        self._namespace = settings.namespace
        self._pool = pool
        #: SHA-256 of a token -> what it allows, and until when that is valid.
        self._checked: dict[bytes, tuple[ClientAccess, float]] = {}

    async def access(
        self, authorization: str, address: str
    ) -> ClientAccess | None:
        """Return what the header `Authorization` allows a client, None for nothing.

        Raises errors.Unavailable if Redis is.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != SCHEME:
            return None
        key = sha256(token.encode()).digest()
        known = self._checked.get(key)
        if known and monotonic() < known[1]:
            return known[0]
        started = monotonic()
        access = await self._pool.run(
            lambda connection: self._tokens(connection).use(token, address)
        )
        if access is None:
            self._checked.pop(key, None)
            return None
        if len(self._checked) >= KEPT:
            self._checked.clear()
        self._checked[key] = access, started + FRESH_S
        return access

    def _tokens(self, connection: Connection) -> AccessTokens:
        caller = Caller(agent=NAME)
        return AccessTokens(Scripts(connection, self._namespace, caller))
