"""The libraries of functions on a server: which there are, and which nothing calls.

Only the server that has the keys of the namespace is asked. The libraries of other
namespaces on it count too, because all clients of a version share one library.
"""

from collections.abc import Mapping
from typing import cast

from taskorch.domain.frozen import Frozen
from taskorch.queue import keys, library, scripts
from taskorch.queue.port import Connection, Reply

#: A library of another version is removed when nothing has called it for this long.
UNUSED_MS = 24 * 3_600_000


class InstalledLibrary(Frozen):
    """A library with the name of one of ours."""

    name: str
    #: Whether it has the name of this version's library.
    is_own: bool
    #: When it was called last, in ms, or first asked for that since the server started;
    #: 0 if it has no such function and so is not one of ours.
    called_at: int
    text: str


def installed(
    connection: Connection, namespace: str
) -> tuple[InstalledLibrary, ...]:
    """Return the libraries on the server of a namespace, in the order of their names.

    Raises errors.Refused if the user may not run FUNCTION LIST.
    """
    key = keys.meta(namespace)
    rows = connection.run_command(
        key,
        "FUNCTION",
        "LIST",
        "LIBRARYNAME",
        f"{library.PREFIX}*",
        "WITHCODE",
    )
    found = [
        _installed(connection, key, _fields(row))
        for row in cast("list[Reply]", rows)
    ]
    return tuple(sorted(found, key=lambda each: each.name))


def remove_unused(connection: Connection, namespace: str) -> tuple[str, ...]:
    """Remove the libraries of other versions that nothing calls; return their names.

    A client that calls one later installs it again.
    """
    key = keys.meta(namespace)
    seconds, _ = cast("list[str]", connection.run_command(key, "TIME"))
    before_ms = int(seconds) * 1000 - UNUSED_MS
    unused = [
        each.name
        for each in installed(connection, namespace)
        if not each.is_own and 0 < each.called_at < before_ms
    ]
    for name in unused:
        connection.run_command(key, "FUNCTION", "DELETE", name)
    return tuple(unused)


def _installed(
    connection: Connection, key: str, fields: Mapping[str, Reply]
) -> InstalledLibrary:
    name = str(fields["library_name"])
    digits = name.removeprefix(library.PREFIX)
    function = scripts.function_name(library.CALLED_AT, digits)
    functions = cast("list[Reply]", fields["functions"])
    called_at: Reply = 0
    if function in [_fields(each)["name"] for each in functions]:
        called_at = connection.run_command(key, "FCALL", function, 0)
    return InstalledLibrary(
        name=name,
        is_own=digits == scripts.library_hash(),
        called_at=called_at if isinstance(called_at, int) else 0,
        text=str(fields["library_code"]),
    )


def _fields(row: object) -> Mapping[str, Reply]:
    """Return the fields of a row of FUNCTION LIST: a map, or a flat list in RESP2."""
    if isinstance(row, Mapping):
        return row
    flat = cast("list[Reply]", row)
    return {
        str(name): value
        for name, value in zip(flat[::2], flat[1::2], strict=True)
    }
