"""The check of `orchestrate doctor` for the way to Redis."""

import pytest
from taskorch_orchestrator.doctor.checks import CheckStatus, of_address


@pytest.mark.parametrize(
    "url",
    [
        "redis://db.example:6379/0",
        "redis://***@10.0.0.5",
        "redis+sentinel://127.0.0.1:1,db.example:2/service",
        "redis+cluster://db.example",
    ],
)
def test_plain_address_of_another_host_is_noted(url: str) -> None:
    check = of_address(url)

    assert check.status is CheckStatus.NOTE
    assert "without TLS" in check.found


@pytest.mark.parametrize(
    "url",
    [
        "",
        "unix:///run/redis.sock",
        "redis://127.0.0.1:6379/0",
        "redis://***@localhost",
        "redis://[::1]:6379",
        "rediss://db.example",
        "rediss+cluster://db.example",
    ],
)
def test_encrypted_or_local_address_is_fine(url: str) -> None:
    assert of_address(url).status is CheckStatus.OK
