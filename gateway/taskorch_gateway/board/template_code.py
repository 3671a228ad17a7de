"""The templates, and their code, which another process compiles.

Compiling takes half a second, and leaves 4 MB in the process that does it. So the gateway
has it done when it starts, and reads the code with its first page:

    python -P -m taskorch_gateway.board.template_code
"""

import marshal
import os
import sys
from collections.abc import MutableMapping

from jinja2 import (
    BytecodeCache,
    Environment,
    PackageLoader,
    StrictUndefined,
)
from jinja2.bccache import Bucket

from taskorch_gateway.board import asset_files, formats

#: Clients of the gateway come first.
NICENESS = 10


class KnownCode(BytecodeCache):
    """Reads the code of templates that is known, once; the others are compiled."""

    def __init__(self, code: MutableMapping[str, bytes]) -> None:
        self._code = code

    def load_bytecode(self, bucket: Bucket) -> None:
        """Read the code of a template. That of another source is left out."""
        if known := self._code.pop(bucket.key, b""):
            bucket.bytecode_from_string(known)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep nothing: a template that is compiled stays."""


class WrittenCode(BytecodeCache):
    """Keeps the code of the templates that are compiled."""

    def __init__(self) -> None:
        self.code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Read nothing: each template is compiled."""

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code of a template."""
        self.code[bucket.key] = bucket.bytecode_to_string()


def environment(code: BytecodeCache) -> Environment:
    """Return templates whose code is read from a cache, and written to it."""
    templates = Environment(
        loader=PackageLoader("taskorch_gateway.board"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=formats.visible,
        auto_reload=False,
        cache_size=-1,
        bytecode_cache=code,
    )
    templates.filters.update(formats.FILTERS)
    templates.globals["asset"] = asset_files.address
    return templates


def compiled() -> dict[str, bytes]:
    """Compile all templates. Return their code by the keys of jinja2."""
    written = WrittenCode()
    templates = environment(written)
    for name in templates.list_templates():
        templates.get_template(name)
    return written.code


def main() -> None:
    """Write the code of all templates to stdout."""
    os.nice(NICENESS)
    sys.stdout.buffer.write(marshal.dumps(compiled()))


if __name__ == "__main__":
    main()
