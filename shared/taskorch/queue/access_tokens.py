"""The access tokens of a namespace, which the gateway checks.

Redis has the SHA-256 of each secret. A secret has 256 random bits, so that a slow hash
would add nothing.
"""

import secrets
from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest
from math import inf
from time import monotonic
from typing import cast

from taskorch.domain import access_token, errors, limits
from taskorch.domain.access_token import (
    AccessToken,
    AccessTokenEdit,
    Checked,
    ClientAccess,
    Credentials,
    NewAccessToken,
    Quotas,
)
from taskorch.domain.frozen import replace
from taskorch.domain.role import Role
from taskorch.queue import fields as read
from taskorch.queue.agents import pool_names
from taskorch.queue.port import Argument, Reply
from taskorch.queue.scripts import Scripts, random_digits

SECRET_BYTES = 32
#: Tokens that one call lists.
PAGE = 100
#: How long a sign-in link works.
LINK_MS = 10 * 60_000
#: How long the token is valid for which a sign-in link is redeemed.
SESSION_MS = 7 * 24 * 3_600_000
#: The largest quota. Scripts count with 14 digits.
LARGEST_QUOTA = 10**13
#: Stands for a malformed token, so that its check takes as long as any other.
NO_TOKEN = Credentials(id="tok_", secret="")


class AccessTokens:
    """Creates, lists, checks and revokes access tokens."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def create(  # noqa: PLR0913  six, which the house style allows
        self,
        name: str,
        role: Role,
        *,
        project: str = "",
        lifetime_ms: int | None = None,
        quotas: Quotas | None = None,
        pools: Sequence[str] = (),
    ) -> NewAccessToken:
        """Create a token for the caller `name`; it is returned this one time.

        It is confined to a `project`, and expires after `lifetime_ms`, if they are
        given. Its client takes items from `pools`, in their order. Without `quotas`, it
        has the usual ones of its role. If Redis did not
        answer and the request is repeated, the token that the first one created gets a
        new secret. Raises errors.NoProject and errors.Invalid.
        """
        limits.agent_name(name)
        _need_worker(role, pools)
        if project and role is Role.ADMIN:
            raise errors.Invalid(
                reason="An administrator is not confined to a project. Choose another "
                "role, or leave out the project."
            )
        lifetime = "" if lifetime_ms is None else lifetime_ms
        if lifetime_ms is not None:
            limits.number(lifetime_ms, "lifetime in ms", 1, limits.LONGEST_MS)
        if project:
            limits.project_id(project)
        most = _words(quotas or access_token.usual_quotas(role))
        while True:
            id_, secret = f"tok_{random_digits()}", _new_secret()
            words = (id_, _hash(secret), name, role, project, lifetime, *most)
            words = (*words, _pools(pools))
            reply = self._scripts.run_script("create_access_token", *words)
            created, exists = read.texts(reply)
            if not exists:
                return access_token.new(created, secret)

    def create_link(
        self, name: str, role: Role, *, project: str = ""
    ) -> NewAccessToken:
        """Create the token of a sign-in link for the board, which works once.

        Within 10 minutes it is redeemed for a token that acts; it does not act itself.
        Raises like `create`.
        """
        created = self.create(name, role, project=project, lifetime_ms=LINK_MS)
        secret = access_token.link_secret(_new_secret())
        return self._replace_secret(created.id, secret)

    def redeem(self, link: str, address: str) -> NewAccessToken:
        """Return a token with the name and the role of a sign-in link, which ends.

        Of several callers with the same link, one gets a token. Raises
        errors.LinkRefused for a link that was redeemed, has expired, or is none.
        """
        checked = self._check(link, address)
        access = checked.access
        if access is None or not access_token.is_link(link):
            raise _used() if not checked.token else _expired()
        try:
            self.revoke(access.token)
        except errors.NoAccessToken:
            raise _used() from None
        return self.create(
            access.name,
            access.role,
            project=access.project,
            lifetime_ms=SESSION_MS,
        )

    def list(self) -> tuple[AccessToken, ...]:
        """Return all tokens, the newest first."""
        found: dict[str, AccessToken] = {}
        passed = "0"
        while passed:
            reply = self._scripts.run_script("access_tokens", passed, PAGE)
            next_one, rows, now = cast("tuple[str, list[Reply], int]", reply)
            passed = str(next_one)
            for row in rows:
                token = _listed(read.texts(row), now)
                found[token.id] = token
        return tuple(found.values())

    def edit(self, id_: str, edit: AccessTokenEdit) -> None:
        """Change a token; it is checked again by all gateways.

        Raises errors.NoAccessToken, errors.NotAllowed for an administrator of one
        project, and errors.Invalid for an edit that changes nothing.
        """
        words = _changes(edit)
        if not words:
            raise errors.Invalid(reason="The edit changes nothing.")
        self._scripts.run_script("edit_access_token", _need_id(id_), *words)

    def rotate(self, id_: str) -> NewAccessToken:
        """Replace the secret of a token. Raises errors.NoAccessToken."""
        return self._replace_secret(id_, _new_secret())

    def revoke(self, id_: str) -> None:
        """Remove a token. Raises errors.NoAccessToken."""
        self._scripts.run_script("revoke_access_token", _need_id(id_))

    def use(self, token: str, address: str) -> Checked:
        """Return what a token allows.

        Redis keeps the `address` of the client as that of the token's last use. A
        sign-in link allows nothing.
        """
        checked = self._check(token, address)
        if access_token.is_link(token):
            return replace(checked, access=None)
        return checked

    def _replace_secret(self, id_: str, secret: str) -> NewAccessToken:
        self._scripts.run_script(
            "rotate_access_token", _need_id(id_), _hash(secret)
        )
        return access_token.new(id_, secret)

    def _check(self, token: str, address: str) -> Checked:
        """Return what a token allows, or the link that it signs in with."""
        credentials = access_token.parse(token) or NO_TOKEN
        shown, asked_at = _hash(credentials.secret), monotonic()
        reply = self._scripts.run_script(
            "use_access_token", credentials.id, shown, address
        )
        fields = read.texts(reply)
        if not fields:
            return Checked(access=None, token="")
        expected, name, role, project, left_ms, pools = fields
        access = None
        if compare_digest(expected, shown) and left_ms != "0":
            access = ClientAccess(
                token=credentials.id,
                name=name,
                role=Role(role),
                project=project,
                valid_until=asked_at + read.whole(left_ms) / 1000
                if left_ms
                else inf,
                pools=pool_names(pools),
            )
        return Checked(access=access, token=credentials.id)


def _pools(pools: Sequence[str]) -> str:
    return ",".join(limits.pools(pools))


def _need_worker(role: Role, pools: Sequence[str]) -> None:
    """Raise errors.Invalid for pools of a client that takes no items."""
    if pools and role is not Role.WORKER:
        raise errors.Invalid(
            reason=f"Only a worker takes items from pools; the role is {role}."
        )


def _words(quotas: Quotas) -> list[Argument]:
    """Return quotas as arguments: "" for any number."""
    return [
        _quota("open items", quotas.open_items),
        _quota("bytes", quotas.bytes_a_day),
        _quota("agents", quotas.agents),
    ]


def _quota(what: str, most: int) -> Argument:
    """Return a quota as an argument: "" for any number."""
    return limits.number(most, f"quota of {what}", 0, LARGEST_QUOTA) or ""


def _changes(edit: AccessTokenEdit) -> list[Argument]:
    """Return the changed fields of a token and their values, as arguments."""
    words: list[Argument] = []
    if edit.role:
        words += ["role", edit.role]
    if edit.pools is not None:
        words += ["pools", _pools(edit.pools)]
    if edit.lifetime_ms is not None:
        words += ["lifetime", _lifetime(edit.lifetime_ms) or ""]
    for field, what, most in (
        ("max_open_items", "open items", edit.open_items),
        ("max_bytes", "bytes", edit.bytes_a_day),
        ("max_agents", "agents", edit.agents),
    ):
        if most is not None:
            words += [field, _quota(what, most)]
    return words


def _lifetime(lifetime_ms: int) -> int:
    return limits.number(lifetime_ms, "lifetime in ms", 0, limits.LONGEST_MS)


def _new_secret() -> str:
    return secrets.token_hex(SECRET_BYTES)


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _used() -> errors.LinkRefused:
    return errors.LinkRefused(
        reason="This sign-in link was used already: it works once."
    )


def _expired() -> errors.LinkRefused:
    minutes = LINK_MS // 60_000
    return errors.LinkRefused(
        reason=f"This sign-in link has expired: it works for {minutes} minutes."
    )


def _need_id(id_: str) -> str:
    if not access_token.is_id(id_):
        raise errors.NoAccessToken(access_token=limits.shortened(id_))
    return id_


def _listed(row: list[str], now: int) -> AccessToken:
    id_, name, role, project, created, by, expires, used, place, *rest = row
    *numbers, pools = rest
    expires_at = read.whole(expires) if expires else 0
    items, size, agents, *used_up = [
        read.whole(each) if each else 0 for each in numbers
    ]
    open_items, written, named = used_up
    return AccessToken(
        id=id_,
        name=name,
        role=Role(role),
        project=project,
        created_at=read.whole(created),
        created_by=by,
        expires_at=expires_at,
        used_at=read.whole(used) if used else 0,
        used_from=place,
        expired=bool(expires_at) and expires_at <= now,
        quotas=Quotas(open_items=items, bytes_a_day=size, agents=agents),
        used=Quotas(open_items=open_items, bytes_a_day=written, agents=named),
        pools=pool_names(pools),
    )
