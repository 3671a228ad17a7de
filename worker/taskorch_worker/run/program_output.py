"""Finds the result of an agent program in what it printed to stdout, if that is JSON.

claude -p --output-format json, stream-json      a line or a list with type "result"
qwen --output-format json, stream-json           the same
codex exec --json                                lines; the last agent message
gemini --output-format json, stream-json         an object with "response"; lines

The format is recognized by the output alone. Any other output has no such result.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from taskorch_worker.run import claude_output, codex_output, gemini_output
from taskorch_worker.run.program_result import (
    Object,
    OutputReading,
    Program,
    ProgramResult,
    objects_of,
    text_of,
)

PROGRAMS = (
    claude_output.PROGRAM,
    codex_output.PROGRAM,
    gemini_output.PROGRAM,
)


def read(stdout: str, *, is_whole: bool) -> ProgramResult | None:
    """Return the result in an output or in the end of one, or None."""
    if is_whole:
        for document in _documents(stdout):
            if result := _of_document(document):
                return result
    return _of_events(_objects(stdout))


def _documents(stdout: str) -> Iterator[object]:
    """Yield the output as one document, and the last document after other lines."""
    text = stdout.strip()
    yield _parsed(text)
    start = text.rfind("\n{\n")
    if start >= 0:
        yield _parsed(text[start:])


def _objects(stdout: str) -> Iterator[Object]:
    """Yield the JSON objects among the lines."""
    for line in stdout.split("\n"):
        if line.startswith("{"):
            found = _parsed(line)
            if isinstance(found, dict):
                yield found


def _parsed(text: str) -> object:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError):
        return None


def _of_document(document: object) -> ProgramResult | None:
    if isinstance(document, list):
        return _of_events(objects_of(document))
    if not isinstance(document, dict):
        return None
    if "type" in document:
        return _of_events([document])
    return gemini_output.of_document(document)


def _of_events(events: Iterable[Object]) -> ProgramResult | None:
    """Return the result of a stream of events; None if none is of a known program."""
    reading, is_known = OutputReading(), False
    programs: Sequence[Program] = PROGRAMS
    for event in events:
        opened = [each for each in PROGRAMS if each.opens(event)]
        # Without the first event, as in the end of an output, any program is possible.
        programs = opened or programs
        is_known |= _is_read(event, reading, programs)
    return reading.result() if is_known else None


def _is_read(
    event: Object, reading: OutputReading, programs: Sequence[Program]
) -> bool:
    """Read an event, and return whether one of the programs has printed it."""
    kind = text_of(event.get("type"))
    readers = (each.readers[kind] for each in programs if kind in each.readers)
    return any(read_event(event, reading) for read_event in readers)
