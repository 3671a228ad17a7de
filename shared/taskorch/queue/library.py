"""The library of functions: all scripts in one text, which a server loads once.

Its name and its functions carry a hash of what the text is made of. So a server keeps the
libraries of several versions side by side, and each client calls its own.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from taskorch.domain.frozen import Frozen
from taskorch.version import __version__

#: The start of the name of each library; the hash follows.
PREFIX = "taskorch_"
HASH_BYTES = 8
#: The function that tells when a library was called last.
CALLED_AT = "called_at"
#: Of its parts, those that the scripts of a group share are local to it: Lua allows 200
#: local variables at a time.
_GROUP = "\ndo\n{}end\n"
_FUNCTION = """
redis.register_function{{function_name = '{name}', flags = {{{flags}}},
callback = function(KEYS, ARGV)
{lua}end}}
"""


class Function(Frozen):
    """A function of the library, with its whole name."""

    name: str
    #: What Redis may assume of it, such as `no-writes`.
    flags: Sequence[str]
    #: Its body, in which KEYS and ARGV are those of the call.
    lua: str


class Group(Frozen):
    """Functions that share parts of the prelude."""

    parts: str
    functions: Sequence[Function]


def library_name(digits: str) -> str:
    """Return the name of the library with a hash."""
    return PREFIX + digits


def text_of(digits: str, prelude: str, groups: Iterable[Group]) -> str:
    """Return the text of the library with a hash, for FUNCTION LOAD."""
    texts = [f"#!lua name={library_name(digits)}\n", prelude]
    for group in groups:
        functions = "".join(
            _FUNCTION.format(
                name=each.name,
                flags=", ".join(f"'{flag}'" for flag in each.flags),
                lua=each.lua,
            )
            for each in group.functions
        )
        texts.append(_GROUP.format(group.parts + functions))
    return "".join(texts)


def hash_of(
    folder: str, sources: Iterable[str], compose: Callable[[], str]
) -> str:
    """Return the hash of a library: of the Lua files in a folder, and their composition.

    `compose` returns how the files are put together; the Python files `sources` decide
    that. Reading and hashing seventy files would take a short command two milliseconds.
    So the hash is cached beside the files, as Python caches bytecode: with the size and
    the time of each.
    """
    files = list(_lua_files(folder))
    stats = [(entry.name, entry.stat()) for entry in files]
    stats += [(path, os.stat(path)) for path in (*sources, __file__)]
    rows = [
        f"{name} {stat.st_mtime_ns} {stat.st_size}" for name, stat in stats
    ]
    seen = "\n".join((__version__, folder, *rows))
    cache = f"{folder}/__pycache__/library"
    with suppress(OSError):
        digits, _, cached = _read(cache).decode().partition("\n")
        if cached == seen:
            return digits
    texts = [f"{compose()}{_GROUP}{_FUNCTION}".encode()]
    for path in sorted(entry.path for entry in files):
        texts += path.removeprefix(folder).encode(), _read(path)
    digits = _digest(b"\0".join(texts))
    if not sys.dont_write_bytecode:
        with suppress(OSError):
            _write(cache, f"{digits}\n{seen}".encode())
    return digits


def _digest(content: bytes) -> str:
    try:  # loads ten times faster than hashlib, which loads OpenSSL for the same
        from _blake2 import blake2b
    except ImportError:
        from hashlib import blake2b
    return str(blake2b(content, digest_size=HASH_BYTES).hexdigest())


def _lua_files(folder: str) -> Iterable["os.DirEntry[str]"]:
    for entry in os.scandir(folder):
        if entry.name.endswith(".lua"):
            yield entry
        elif entry.is_dir():
            yield from _lua_files(entry.path)


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


def _write(path: str, content: bytes) -> None:
    """Write a small file, in one step: a reader checks that it is whole."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb", buffering=0) as file:
        file.write(content)
