"""The output of codex exec --json: lines, with items and the end of each turn."""

from collections.abc import Mapping

from taskorch.domain.frozen import replace

from taskorch_worker.run.program_result import (
    EventReader,
    Object,
    ProgramResult,
    object_of,
    text_of,
)


def _of_item(event: Object, so_far: ProgramResult) -> ProgramResult | None:
    item = object_of(event.get("item"))
    if not text_of(item.get("id")):
        return None
    text = so_far.text
    if item.get("type") == "agent_message":
        text = text_of(item.get("text")) or text
    return replace(so_far, text=text, failed=False)


def _of_completed_turn(
    _event: Object, so_far: ProgramResult
) -> ProgramResult | None:
    return replace(so_far, failed=False)


def _of_failed_turn(
    event: Object, so_far: ProgramResult
) -> ProgramResult | None:
    error = text_of(object_of(event.get("error")).get("message"))
    return replace(so_far, text=error or so_far.text, failed=True)


READERS: Mapping[str, EventReader] = {
    "item.completed": _of_item,
    "turn.completed": _of_completed_turn,
    "turn.failed": _of_failed_turn,
}
