"""The messages of the protocol: JSON-RPC 2.0, one object a line."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from taskorch.domain.frozen import Frozen

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022

RequestId = str | int
#: The longest number that is taken for an id, in a message that cannot be read.
ID_DIGITS = 20


class Message(Frozen):
    """A request of the client, or a notification."""

    method: str
    params: Mapping[str, Any]
    #: None for a notification, which is not answered.
    id: RequestId | None

    @property
    def meta(self) -> Mapping[str, Any]:
        """The `_meta` of the parameters."""
        meta = self.params.get("_meta")
        return meta if isinstance(meta, dict) else {}


class ProtocolError(Exception):
    """A request that is answered with an error of the protocol."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data
        #: The id of the request, if it is known only here.
        self.id: RequestId | None = None


def read(line: str) -> Message | None:
    """Return the message of a line, or None for a response, which is ignored.

    Raises ProtocolError for anything else: its sender may wait for an answer.
    """
    try:
        content = _parse(line)
    except (ValueError, RecursionError) as error:
        raise _not_a_message(PARSE_ERROR, f"{error}", _id_in(line)) from None
    if not isinstance(content, dict) or content.get("jsonrpc") != "2.0":
        reason = 'It must be an object with "jsonrpc": "2.0"'
        raise _not_a_message(INVALID_REQUEST, reason, None)
    id_ = content.get("id") if "method" in content else None
    if "method" not in content and (
        isinstance(content.get("result"), dict)
        or isinstance(content.get("error"), dict)
    ):
        return None
    reason = _mistake(content)
    if reason:
        raise _not_a_message(INVALID_REQUEST, reason, id_)
    return Message(
        method=content["method"], params=content.get("params") or {}, id=id_
    )


def result(
    id_: RequestId | None, content: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the message with the result of a request."""
    return {"jsonrpc": "2.0", "id": id_, "result": content}


def refusal(id_: RequestId | None, error: ProtocolError) -> dict[str, Any]:
    """Return the message with the error of a request."""
    content = {"code": error.code, "message": str(error)}
    if error.data is not None:
        content["data"] = error.data
    return {"jsonrpc": "2.0", "id": id_, "error": content}


def notification(method: str, **params: object) -> dict[str, Any]:
    """Return the message of a notification."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def progress(token: object, passed_s: float) -> dict[str, Any]:
    """Return the notification that a call continues."""
    return notification(
        "notifications/progress",
        progressToken=token,
        progress=round(passed_s, 1),
        message=f"Waiting for {passed_s:.0f} s.",
    )


def is_id(value: object) -> bool:
    """Tell whether a value can be the id of a request, or a progress token."""
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _parse(line: str) -> Any:  # noqa: ANN401  JSON
    content = json.loads(line, parse_constant=_refuse_constant)
    if "\\ud" in line.lower():  # half a character, for one
        json.dumps(content, ensure_ascii=False).encode()
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _mistake(content: Mapping[str, Any]) -> str:
    """Return why an object is no request and no notification, or ""."""
    if not isinstance(content.get("method"), str):
        return "It has no method"
    if not isinstance(content.get("params", {}), (dict, type(None))):
        return "Its params must be an object"
    if "id" in content and not is_id(content["id"]):
        return "Its id must be a string or a whole number"
    return ""


def _not_a_message(code: int, reason: str, id_: object) -> ProtocolError:
    error = ProtocolError(
        code, f"This is no message of the protocol: {reason}."
    )
    if isinstance(id_, (str, int)) and is_id(id_):
        error.id = id_
    return error


def _short_number(digits: str) -> int | None:
    return int(digits) if len(digits) <= ID_DIGITS else None


def _id_in(line: str) -> object:
    """Return the id of a request that cannot be read as a whole, if possible."""
    # Python accepts more JSON than the protocol, but no number of thousands of digits.
    with suppress(ValueError, RecursionError):
        content = json.loads(line, parse_int=_short_number)
        if isinstance(content, dict) and "method" in content:
            id_ = content.get("id")
            json.dumps(id_, ensure_ascii=False).encode()
            return id_
    return None
