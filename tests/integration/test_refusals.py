"""Lines about refused calls: each is written once, whatever happens to the replies."""

from asyncio import get_running_loop, run
from pathlib import Path

import pytest
from support import servers
from support.builders import Bench
from support.proxy import ALWAYS, Proxy, proxied
from taskorch.config.settings import resolve
from taskorch.domain.audit_line import AuditFilter
from taskorch_gateway.pool import ConnectionPool
from taskorch_gateway.refusals import Refusals

pytestmark = pytest.mark.parametrize("lane", servers.binaries(), indirect=True)
ALL = AuditFilter(token="", name="", verb="", since_ms=0)
ADDRESS = "192.0.2.7"


def test_line_is_written_once_after_lost_replies(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with proxied(bench.url) as proxy:
        flags = {"redis_url": proxy.url, "namespace": bench.namespace}
        settings = resolve(flags, {}, tmp_path)
        pool = ConnectionPool(settings)
        refusals = Refusals(settings, pool)
        refusals.note("TOKEN_REFUSED", ADDRESS)
        refusals.note("TOKEN_REFUSED", ADDRESS)
        proxy.replies_lost = ALWAYS
        run(refusals.write())
        refusals.note("RATE_LIMITED", ADDRESS)
        run(refusals.write())
        proxy.replies_lost = 0

        run(refusals.write())
        run(refusals.write())

        pool.close()
    lines = bench.queue.audit_log().newest(ALL, 10)
    assert [(line.outcome, line.count) for line in lines] == [
        ("RATE_LIMITED", 1),
        ("TOKEN_REFUSED", 2),
    ]
    assert caplog.text.count("Cannot write the audit log") == 1


def test_line_is_written_though_the_end_meets_another(
    bench: Bench, tmp_path: Path
) -> None:
    async def write(proxy: Proxy) -> None:
        flags = {"redis_url": proxy.url, "namespace": bench.namespace}
        pool = ConnectionPool(resolve(flags, {}, tmp_path))
        refusals = Refusals(resolve(flags, {}, tmp_path), pool)
        loop = get_running_loop()

        def end() -> None:
            refusals.note("RATE_LIMITED", ADDRESS)
            refusals.end()

        refusals.note("TOKEN_REFUSED", ADDRESS)
        proxy.on_lost_reply = lambda: loop.call_soon_threadsafe(end)
        proxy.replies_lost = 1
        await refusals.write_until_end()
        pool.close()

    with proxied(bench.url) as proxy:
        run(write(proxy))

    lines = bench.queue.audit_log().newest(ALL, 10)
    assert sorted((line.outcome, line.count) for line in lines) == [
        ("RATE_LIMITED", 1),
        ("TOKEN_REFUSED", 1),
    ]
