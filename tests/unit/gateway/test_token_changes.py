"""Waits of clients whose access tokens change: none misses the change."""

from asyncio import run, timeout
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest
from taskorch.config.settings import resolve
from taskorch.domain import errors
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.frozen import replace
from taskorch.domain.role import Role
from taskorch_gateway import token_changes
from taskorch_gateway.pool import ConnectionPool
from taskorch_gateway.token_changes import TokenChanges
from taskorch_gateway.waits import ClientWaits

#: How long a test waits before it fails, in seconds.
LIMIT_S = 60
ADA = ClientAccess(token="tok_ada", name="ada", role=Role.WORKER, project="")


@asynccontextmanager
async def client_waits(folder: Path) -> AsyncIterator[ClientWaits]:
    settings = resolve({"redis_url": "redis://127.0.0.1:1"}, {}, folder)
    pool = ConnectionPool(settings)
    async with timeout(LIMIT_S):
        yield ClientWaits(settings, pool)
    pool.close()


def test_wait_of_changed_token_begins_with_refusal(tmp_path: Path) -> None:
    async def wait() -> bool:
        async with client_waits(tmp_path) as waits:

            async def admits() -> bool:
                return False

            item = waits.for_item_of(("ada",), LIMIT_S)
            return await waits.of_client(ADA, item, admits)

    with pytest.raises(errors.TokenRefused):
        run(wait())


def test_change_during_the_check_ends_the_wait(tmp_path: Path) -> None:
    async def wait() -> bool:
        async with client_waits(tmp_path) as waits:

            async def admits() -> bool:
                waits.changes.end(ADA.token)
                return True

            item = waits.for_item_of(("ada",), LIMIT_S)
            return await waits.of_client(ADA, item, admits)

    assert run(wait()) is True


def test_token_of_later_expiry_is_checked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(token_changes, "LONGEST_TIMER_S", 0.01)
    access = replace(ADA, valid_until=monotonic() + LIMIT_S)

    async def wait() -> None:
        with TokenChanges().of(access) as change:
            async with timeout(LIMIT_S / 2):
                await change

    run(wait())
