"""Lines about refused calls: each is written once, whatever happens to the replies."""

from asyncio import run
from pathlib import Path

import pytest
from support import servers
from support.builders import Bench
from support.proxy import ALWAYS, proxied
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
