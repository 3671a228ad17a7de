"""What is installed only where it is wanted: the extras of the distribution."""

from collections.abc import Iterator
from contextlib import contextmanager

from taskorch import errors


@contextmanager
def needs_mcp() -> Iterator[None]:
    """Say in the place of an ImportError what is to be installed: errors.Usage."""
    try:
        yield
    except ImportError as error:
        reason = f"This needs the extra [mcp], which is not there ({error}): pip install 'task-orchestrator[mcp]'"
        raise errors.Usage(reason=reason) from None
