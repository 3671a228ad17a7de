"""The output of the `token` commands for people."""

from collections.abc import Callable, Mapping, Sequence

from taskorch.cli.text import cell, size, timestamp
from taskorch.domain.access_token import AccessToken, NewAccessToken

from taskorch_orchestrator.render import console as screen
from taskorch_orchestrator.render.console import Column

ONCE = "Store it now: it is not shown again."
ALL = "all"


def new(token: NewAccessToken) -> str:
    """Return a new token."""
    return token.token


def revoked(token: Mapping[str, str]) -> str:
    """Return the id of a revoked token."""
    return f"Revoked {token['id']}."


def edited(token: Mapping[str, str]) -> str:
    """Return the id of a token that was changed."""
    return f"Changed {token['id']}."


def table(listed: Sequence[AccessToken]) -> str:
    """Return the tokens as a table; "" for none."""
    if not listed:
        return ""
    has_pools = any(token.pools for token in listed)
    rows = screen.Table(
        Column(header="TOKEN"),
        Column(header="ROLE"),
        Column(header="NAME", least=12),
        Column(header="PROJECT", leaves=6),
        Column(header="EXPIRES", leaves=5),
        Column(header="LAST USED"),
        Column(header="FROM", leaves=4),
        Column(header="OPEN ITEMS", leaves=3),
        Column(header="BYTES TODAY", leaves=2),
        Column(header="AGENTS", leaves=1),
        *([Column(header="POOLS", least=8)] if has_pools else []),
    )
    for token in listed:
        rows.add_row(
            token.id,
            token.role,
            cell(token.name),
            token.project or ALL,
            _expiry(token),
            screen.since(token.used_at) if token.used_at else "never",
            cell(token.used_from),
            _of(token.used.open_items, token.quotas.open_items, str),
            _of(token.used.bytes_a_day, token.quotas.bytes_a_day, size),
            _of(token.used.agents, token.quotas.agents, str),
            *([",".join(token.pools) or "none"] if has_pools else []),
        )
    return screen.printed(rows)


def _of(used: int, most: int, shown: Callable[[int], str]) -> str:
    """Return what is used of a quota, and its maximum if it has one."""
    return f"{shown(used)}/{shown(most)}" if most else shown(used)


def _expiry(token: AccessToken) -> str:
    if token.expired:
        return "expired"
    return timestamp(token.expires_at) if token.expires_at else "never"
