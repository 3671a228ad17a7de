"""The templates of the board, and how values become HTML.

Every value is escaped, and a value that a template names must exist.
"""

import marshal
import sys
from asyncio import CancelledError, create_subprocess_exec, timeout
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment, Template

#: What compiles the templates. `-P` leaves the current folder out of the path of modules.
COMPILER = ("-P", "-m", "taskorch_gateway.board.template_code")
#: How long that may take on a busy machine, in seconds.
COMPILE_S = 60


def render(template: str, values: Mapping[str, object]) -> str:
    """Return a page, or a part of one such as "now/agents.html"."""
    return _templates().get_template(template).render(values)


def template(name: str) -> "Template":
    """Return a template, compiled."""
    return _templates().get_template(name)


async def compile_all() -> None:
    """Compile all templates in another process, so that no page takes longer.

    If that fails, each is compiled when it is first shown.
    """
    with suppress(OSError, TimeoutError, EOFError, ValueError, TypeError):
        async with timeout(COMPILE_S):
            _code().update(marshal.loads(await _compiled()))  # noqa: S302  ours


async def _compiled() -> bytes:
    """Return what the compiler has written. Raises OSError if it has failed."""
    compiler = await create_subprocess_exec(
        sys.executable, *COMPILER, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
    )
    try:
        written, _ = await compiler.communicate()
    except CancelledError:
        if compiler.returncode is None:
            compiler.kill()
        # asyncio logs the end of a process whose loop is closed by then
        await compiler.communicate()
        raise
    if compiler.returncode:
        raise ChildProcessError(compiler.returncode)
    return written


@cache
def _code() -> dict[str, bytes]:
    """Return the code of the templates that was compiled, and not used yet."""
    return {}


@cache
def _templates() -> "Environment":
    """Return the templates. A gateway without a board saves 2 MB for jinja2."""
    from taskorch_gateway.board import template_code

    return template_code.environment(template_code.KnownCode(_code()))
