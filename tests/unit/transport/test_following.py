"""A connection to a deployment of many servers asks for the one that takes the writes, and not too often."""

import pytest
from redis import exceptions
from taskorch.transport.failover import Following, Host, Timing


class Sentinels:
    """Sentinels that may hang, and how often they were asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.hang = False

    def find(self, _key: str) -> Host:
        self.asked += 1
        if self.hang:
            raise exceptions.TimeoutError("no sentinel answers")
        return "127.0.0.1", 1


def test_sentinels_that_hang_are_not_asked_at_each_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr("taskorch.transport.failover.monotonic", lambda: clock[0])
    sentinels = Sentinels()
    following = Following(
        "redis+sentinel://…", sentinels.find, {}, Timing(call_s=1, ask_again_s=1)
    )
    first = following.calling("key")
    sentinels.hang = True

    asked = []
    for clock[0] in (100.5, 102, 102.5, 102.9, 103.5):
        assert following.calling("key") is first
        asked.append(sentinels.asked)

    assert asked == [1, 2, 2, 2, 3]
