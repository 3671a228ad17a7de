"""The id of a request that cannot be read as a whole."""

import pytest
from taskorch.mcp import messages
from taskorch.mcp.messages import ProtocolError, RequestId

LONG = "9" * 5000


@pytest.mark.parametrize(
    ("id_", "found"),
    [("7", 7), ('"seven"', "seven"), (LONG, None), ("null", None)],
)
def test_unreadable_request_keeps_its_id(
    id_: str, found: RequestId | None
) -> None:
    line = f'{{"jsonrpc": "2.0", "id": {id_}, "method": "ping", "x": {LONG}}}'

    with pytest.raises(ProtocolError) as refused:
        messages.read(line)

    assert refused.value.id == found
