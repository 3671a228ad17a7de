"""The clients of a deployment look up the primary, and not too often."""

import pytest
from redis import exceptions
from taskorch.transport.failover import Host, PrimaryClients, Timing


class Sentinels:
    """Sentinels that may hang, and the number of requests to them."""

    def __init__(self) -> None:
        self.asked = 0
        self.hang = False

    def find(self, _key: str) -> Host:
        self.asked += 1
        if self.hang:
            raise exceptions.TimeoutError("no sentinel answers")
        return "127.0.0.1", 1


def test_hanging_sentinels_are_not_asked_at_each_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(
        "taskorch.transport.failover.monotonic", lambda: clock[0]
    )
    sentinels = Sentinels()
    clients = PrimaryClients(
        "redis+sentinel://…",
        sentinels.find,
        {},
        Timing(call_s=1, ask_again_s=1),
    )
    first = clients.for_scripts("key")
    sentinels.hang = True

    asked = []
    for clock[0] in (100.5, 102, 102.5, 102.9, 103.5):
        assert clients.for_scripts("key") is first
        asked.append(sentinels.asked)

    assert asked == [1, 2, 2, 2, 3]
