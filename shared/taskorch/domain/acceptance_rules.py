"""The rules of acceptance checks: their limits, and their form in Redis, JSON and plans.

The creator of an item owns its checks. They are a list with one of `run`, `file` and
`deliverable` in each entry. Functions raise errors.Invalid for what is not allowed.
"""

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence

from taskorch.domain import errors, limits
from taskorch.domain.acceptance import (
    TIMEOUT_MS,
    Acceptance,
    Check,
    CheckEvidence,
    DeliverableCheck,
    FileCheck,
    RunCheck,
)
from taskorch.domain.cannot_fail import cannot_fail

CHECKS = 20
RUN_ARGUMENTS = 100
#: Maximum size of a command, and of a path or the name of a deliverable.
RUN_BYTES, NAME_BYTES = 8192, 1024
LONGEST_TIMEOUT_MS = 6 * 3_600_000
#: Maximum size of the end of an output that is kept; complete.lua has the same number.
TAIL_BYTES = 2000
#: The largest exit status; one of a signal is negative.
MOST_STATUS = 255
#: The rules of a plan file. A review is not a check: it sets the reviewer of the item.
RULES = ("run", "file", "deliverable", "review")
#: Patterns, as text: what a shell does not look into; a word that is an operator or ends
#: with one; and a variable that is set for a command.
_QUOTED = r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\."""
_OPERATOR = r"\|\|?|&&?|\S*;|[0-9]*(?:>>?|<<?)\S*"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*="


def run_check(
    command: Sequence[str],
    timeout_ms: int = TIMEOUT_MS,
    *,
    is_new: bool = True,
) -> RunCheck:
    """Return the check of a command. A new one may not be one that cannot fail."""
    arguments = tuple(limits.sequence(command, "run"))
    shown = limits.shortened(shlex.join(map(str, arguments)))
    if len(arguments) > RUN_ARGUMENTS:
        raise errors.Invalid(
            reason=f"The check {shown!r} has {len(arguments)} arguments; at most "
            f"{RUN_ARGUMENTS} are allowed."
        )
    size = 0
    for argument in arguments:
        size += len(limits.text(argument, "argument of a check").encode())
    if size > RUN_BYTES:
        raise errors.Invalid(
            reason=f"The check {shown!r} is longer than {RUN_BYTES} bytes. Put it "
            "into a script, and check that."
        )
    is_empty = not arguments or not arguments[0].strip()
    if is_empty or (is_new and cannot_fail(arguments)):
        raise errors.Invalid(
            reason=f"The check {shown!r} cannot fail, so it proves nothing. Name a "
            "command that fails if the work is not done."
        )
    timeout_ms = limits.number(
        timeout_ms, "timeout of a check in ms", 1, LONGEST_TIMEOUT_MS
    )
    return RunCheck(run=arguments, timeout_ms=timeout_ms)


def run_check_of(line: str, timeout_ms: int = TIMEOUT_MS) -> RunCheck:
    """Return the check of a command line, split as a shell splits words.

    Raises errors.Invalid for a line that only a shell understands.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise errors.Invalid(
            reason=f"The check {limits.shortened(line)!r} cannot be split into "
            f"arguments: {error}."
        ) from None
    _refuse_shell(line)
    return run_check(words, timeout_ms)


def file_check(path: str) -> FileCheck:
    """Return the check of a file. Raises errors.Invalid for one outside the folder."""
    kept = _name(path, "path of a check")
    normal = os.path.normpath(kept)
    leaves = normal == ".." or normal.startswith("../")
    if os.path.isabs(normal) or leaves or normal == "." or kept.endswith("/"):
        raise errors.Invalid(
            reason=f"The check of {limits.shortened(kept)!r} is not one of a file in "
            "the folder of the worker. Write a relative path, such as src/app.py."
        )
    return FileCheck(file=normal)


def deliverable_check(name: str) -> DeliverableCheck:
    """Return the check of a deliverable."""
    return DeliverableCheck(deliverable=_name(name, "name of a deliverable"))


def parse(entries: Sequence[object]) -> Acceptance:
    """Return what a list of texts and rules says, as in a plan file.

    Raises errors.Invalid.
    """
    criteria: list[str] = []
    checks: list[Check] = []
    reviewer = ""
    for entry in limits.sequence(entries, "accept"):
        if isinstance(entry, str):
            criteria.append(limits.text(entry, "criterion", required=True))
        elif isinstance(entry, Mapping) and "review" in entry:
            if reviewer:
                raise errors.Invalid(reason="accept has two reviews.")
            _refuse_others(entry, ("review",))
            reviewer = limits.agent_name(entry["review"])
        else:
            checks.append(check_of(entry))
    return Acceptance(
        criteria=tuple(criteria), checks=bounded(checks), reviewer=reviewer
    )


def changes(entries: Sequence[object]) -> dict[str, object]:
    """Return what a list changes of an item: each kind of entry that it has.

    So a list of criteria alone leaves the checks. An empty one removes the criteria.
    """
    parsed = parse(entries)
    found: dict[str, object] = {}
    if parsed.criteria or not entries:
        found["criteria"] = parsed.criteria
    if parsed.checks:
        found["checks"] = parsed.checks
    if parsed.reviewer:
        found["reviewer"] = parsed.reviewer
    return found


def check_of(entry: object, *, is_new: bool = True) -> Check:
    """Return the check that a mapping describes. Raises errors.Invalid.

    Only a new one is refused if it cannot fail: the rules for that may change.
    """
    if not isinstance(entry, Mapping):
        raise errors.Invalid(
            reason="An entry of accept is neither text nor a rule, such as "
            "run: [make, test]."
        )
    if "run" in entry:
        _refuse_others(entry, ("run", "timeout", "timeout_ms"))
        return _run_check_of_entry(entry, is_new=is_new)
    if "file" in entry:
        _refuse_others(entry, ("file",))
        return file_check(entry["file"])
    if "deliverable" in entry:
        _refuse_others(entry, ("deliverable",))
        return deliverable_check(entry["deliverable"])
    raise errors.Invalid(
        reason=f"A rule of accept has none of {', '.join(RULES)}."
    )


def existing_check(entry: object) -> Check:
    """Return the check that an item has, from its JSON. Raises errors.Invalid."""
    return check_of(entry, is_new=False)


def bounded(checks: Sequence[Check]) -> tuple[Check, ...]:
    """Return checks, each once. Raises errors.Invalid for too many of them."""
    unique = tuple(dict.fromkeys(checks))
    if len(unique) > CHECKS:
        raise errors.Invalid(
            reason=f"There are {len(unique)} acceptance checks; at most {CHECKS} are "
            "allowed."
        )
    return unique


def stored(checks: Sequence[Check]) -> str:
    """Return checks as Redis stores them; "" for none. Raises errors.Invalid."""
    listed = bounded([check_of(as_object(check)) for check in checks])
    return json.dumps([as_object(check) for check in listed]) if listed else ""


def as_object(check: Check) -> dict[str, object]:
    """Return a check as a JSON object."""
    if isinstance(check, RunCheck):
        return {"run": list(check.run), "timeout_ms": check.timeout_ms}
    if isinstance(check, FileCheck):
        return {"file": check.file}
    return {"deliverable": check.deliverable}


def evidence_of(results: Sequence[CheckEvidence]) -> str:
    """Return results as scripts take them; "" for none.

    Deliverables are left out, because the script checks them itself.
    """
    listed = []
    for result in results:
        if not isinstance(result.check, DeliverableCheck):
            row: dict[str, object] = {
                "check": as_object(result.check),
                "passed": result.passed,
                "duration_ms": result.duration_ms,
                "output": tail(result.output),
                "source": result.source,
            }
            if result.exit_code is not None:
                row["exit_code"] = result.exit_code
            listed.append(row)
    return json.dumps(listed) if listed else ""


def tail(output: str) -> str:
    """Return the end of an output that is kept."""
    printable = output.replace("\0", "\N{REPLACEMENT CHARACTER}")
    kept = printable.encode(errors="replace")[-TAIL_BYTES:]
    return kept.decode(errors="ignore")


def result_of(row: object) -> CheckEvidence:
    """Return the result that a mapping describes. Raises errors.Invalid."""
    if not isinstance(row, Mapping):
        raise errors.Invalid(reason="A result of evidence is not a mapping.")
    _refuse_others(
        row,
        ("check", "passed", "exit_code", "duration_ms", "output", "source"),
    )
    status = row.get("exit_code")
    if status is not None:
        status = limits.number(status, "exit code", -MOST_STATUS, MOST_STATUS)
    if not isinstance(row.get("passed"), bool):
        raise errors.Invalid(reason="passed of a result is true or false.")
    return CheckEvidence(
        check=existing_check(row.get("check")),
        passed=row["passed"],
        exit_code=status,
        duration_ms=limits.number(
            row.get("duration_ms", 0), "duration in ms", 0, limits.LONGEST_MS
        ),
        output=tail(limits.text(row.get("output", ""), "output")),
        source=limits.text(row.get("source", "worker"), "source"),
    )


def refuse_failed(item: str, results: Sequence[CheckEvidence]) -> None:
    """Raise errors.ChecksFailed if a result is not one of a check that has passed."""
    failed = [
        {
            "check": str(result.check),
            "problem": result.problem,
            "output": tail(result.output),
        }
        for result in results
        if not result.passed
    ]
    if failed:
        raise errors.ChecksFailed(item=item, failed=failed)


def _run_check_of_entry(
    entry: Mapping[str, object], *, is_new: bool
) -> RunCheck:
    """Return the check of a rule `run`, whose timeout may be a duration in words."""
    command = entry["run"]
    if isinstance(command, str) or not isinstance(command, Sequence):
        raise errors.Invalid(
            reason="run is an argument list, such as [make, test]. No shell reads it; "
            "to use one: [sh, -c, SCRIPT]"
        )
    timeout = entry.get("timeout", entry.get("timeout_ms", TIMEOUT_MS))
    if isinstance(timeout, str):
        unit = "ms" if timeout.isdecimal() else ""
        timeout = limits.duration_ms(timeout + unit)
    if not isinstance(timeout, int):
        raise errors.Invalid(reason="timeout is a duration, such as 10m.")
    return run_check(command, timeout, is_new=is_new)


def _refuse_shell(line: str) -> None:
    """Refuse a command line with an operator, or with a variable before the command."""
    masked = re.sub(_QUOTED, lambda found: "x" * len(found[0]), line).split()
    operators = [word for word in masked if re.fullmatch(_OPERATOR, word)]
    variables = [word for word in masked[:1] if re.match(_VARIABLE, word)]
    if operators:
        raise errors.Invalid(
            reason=f"The check {limits.shortened(line)!r} has {operators[0]!r}, and no "
            "shell reads it. To use one: sh -c 'SCRIPT'"
        )
    if variables:
        raise errors.Invalid(
            reason=f"The check {limits.shortened(line)!r} begins with a variable, and no "
            f"shell reads it. Put env in front: env {limits.shortened(line)}"
        )


def _refuse_others(entry: Mapping[str, object], known: Sequence[str]) -> None:
    for name in entry:
        if name not in known:
            raise errors.Invalid(
                reason=f"A rule of accept has an unknown field: "
                f"{limits.shortened(str(name))!r}. Known are {', '.join(known)}."
            )


def _name(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise errors.Invalid(reason=f"The {what} must be text.")
    kept = limits.text(value, what, required=True)
    if len(kept.encode()) > NAME_BYTES:
        raise errors.Invalid(
            reason=f"The {what} is longer than {NAME_BYTES} bytes."
        )
    return kept
