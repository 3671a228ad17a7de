"""What a gateway logs of an outage: its begin and its end."""

import logging

import pytest
from taskorch.domain import errors
from taskorch_gateway.following import OutageLog


def test_outage_is_logged_once_and_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    log = OutageLog("follow the events")
    failure = errors.Unreachable(url="redis://db", reason="refused")

    for met in (None, failure, failure, failure, None, None, failure):
        log.note(met)

    begin = f"Cannot follow the events: {failure}"
    assert caplog.messages == [begin, "Can follow the events again", begin]
