"""The leases of a client, which shows the token of its claim with each call."""

import pytest
from taskorch.domain import errors
from taskorch.domain.item import Lease
from taskorch_gateway.client_leases import ClientLeases, shown

ITEM, OTHER = "item_1a2b3c4d", "item_5e6f7a8b"


def test_shown_token_is_the_lease_of_its_item() -> None:
    lease = Lease(item=ITEM, token=3, claim="9f2c")

    leases = ClientLeases(shown(ITEM, lease.shown()))

    assert leases.lease(ITEM) == lease
    assert leases.lease(OTHER) == Lease(item=OTHER)


def test_claimed_leases_are_those_of_the_call() -> None:
    lease = Lease(item=OTHER, token=1, claim="9f2c")
    leases = ClientLeases(shown(ITEM, "3:9f2c"))

    with leases.reserve() as (slot,):
        slot.keep(lease)

    assert leases.claimed == [lease]


@pytest.mark.parametrize(
    "token", ["3", ":", "0:9f2c", "3:9F2C", "3:9f2c\n", "-3:a", "x" * 100]
)
def test_text_that_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(errors.Usage):
        shown(ITEM, token)
