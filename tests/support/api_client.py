"""A program that uses the HTTP API of a gateway."""

from functools import cache
from typing import Any

import jsonschema_rs
from support.gateways import Gateway, HttpClient
from taskorch_gateway.api import openapi
from taskorch_gateway.api.table import PREFIX, VerbRow


class ApiClient:
    """The verbs of one access token, over one connection.

    Each reply must be as the description of the API says.
    """

    def __init__(self, gateway: Gateway, token: str) -> None:
        self.http = HttpClient(gateway, token)

    def get(self, verb: str, query: str = "") -> Any:
        """Return the document of a verb that reads, which must succeed."""
        target = f"{PREFIX}/{verb}" + (f"?{query}" if query else "")
        status, reply = self.http.get(target)
        check_reply("get", target, status, reply)
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
        target = f"{PREFIX}/{verb}"
        status, reply = self.http.post(target, arguments, **headers)
        check_reply("post", target, status, reply)
        return status, reply

    def refusal(
        self, verb: str, key: str = "", **arguments: object
    ) -> tuple[int, str]:
        """Return the status and the code of a verb that fails."""
        status, reply = self.attempt(verb, key, **arguments)
        return status, reply["error"]["code"]

    def close(self) -> None:
        """Close the connection."""
        self.http.close()


def check_reply(method: str, target: str, status: int, reply: Any) -> None:
    """Check that a reply is as the description of the API says."""
    path = target.partition("?")[0].replace("/", "~1")
    place = f"#/paths/{path}/{method}/responses/{status}"
    if status != 200:
        place = f"#/components/responses/Error{status}"
    validator(f"{place}/content/application~1json/schema").validate(reply)


@cache
def validator(place: str) -> jsonschema_rs.Validator:
    """Return the validator of a schema in the description of the API."""
    return jsonschema_rs.validator_for(
        {**openapi.description(), "$ref": place}
    )


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
