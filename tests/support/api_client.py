"""A program that uses the HTTP API of a gateway."""

from typing import Any

from support.gateways import Gateway, HttpClient
from taskorch_gateway.api.table import PREFIX, VerbRow


class ApiClient:
    """The verbs of one access token, over one connection."""

    def __init__(self, gateway: Gateway, token: str) -> None:
        self.http = HttpClient(gateway, token)

    def get(self, verb: str, query: str = "") -> Any:
        """Return the document of a verb that reads, which must succeed."""
        status, reply = self.http.get(
            f"{PREFIX}/{verb}" + (f"?{query}" if query else "")
        )
        assert status == 200, reply
        return reply

    def post(self, verb: str, key: str = "", **arguments: object) -> Any:
        """Return the document of a verb that acts, which must succeed."""
        status, reply = self.attempt(verb, key, **arguments)
        assert status == 200, reply
        return reply

    def attempt(
        self, verb: str, key: str = "", **arguments: object
    ) -> tuple[int, Any]:
        """Return the status and the document of a verb that acts."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.post(f"{PREFIX}/{verb}", arguments, **headers)

    def refusal(
        self, verb: str, key: str = "", **arguments: object
    ) -> tuple[int, str]:
        """Return the status and the code of a verb that fails."""
        status, reply = self.attempt(verb, key, **arguments)
        return status, reply["error"]["code"]

    def close(self) -> None:
        """Close the connection."""
        self.http.close()


def smallest(row: VerbRow) -> dict[str, Any]:
    """Return the arguments that a verb requires, for things that do not exist."""
    found: dict[str, Any] = {}
    for name, kind in row.verb.kinds().items():
        if hasattr(row.verb, name):
            continue
        if name == "items" and row.verb.name == "apply":
            found[name] = [{"name": "a", "title": "A"}]
        elif kind.schema["type"] == "array":
            found[name] = ["item_00000000"]
        elif name == "project" and row.verb.name != "apply":
            found[name] = "proj_00000000"
        elif name in ("item", "id"):
            found[name] = "item_00000000"
        else:
            found[name] = "x"
    return found
