"""The wait of a coroutine for a call in a thread."""

from asyncio import CancelledError, Future, shield, wrap_future
from contextlib import suppress
from typing import TypeVar

from taskorch.library.stoppable import StoppableCall

Done = TypeVar("Done")


async def finished(call: StoppableCall[Done]) -> Done:
    """Call, and wait for the result. A cancelled wait stops the call, and ends with it."""
    call.start()
    future = wrap_future(call.future)
    try:
        return await shield(future)
    except CancelledError:
        # asyncio logs an error that is never retrieved
        future.add_done_callback(Future.exception)
        abandoned = StoppableCall(call.connection, lambda _: call.abandon())
        abandoned.start()
        ended = wrap_future(abandoned.future)
        while not ended.done():
            with suppress(
                CancelledError
            ):  # a second one does not end it sooner
                await shield(ended)
        raise
