"""Acceptance checks: what must hold before an item can be completed, and the evidence."""

from taskorch.domain.frozen import Frozen

TIMEOUT_MS = 600_000


class RunCheck(Frozen):
    """A command that must succeed in the folder of the worker."""

    #: The command as an argument list; no shell reads it.
    run: tuple[str, ...]
    timeout_ms: int = TIMEOUT_MS

    def __str__(self) -> str:
        # most commands show no check, and begin sooner without it
        from shlex import join

        return join(self.run)


class FileCheck(Frozen):
    """A file in the folder of the worker that must not be empty."""

    #: A path relative to the folder.
    file: str

    def __str__(self) -> str:
        return f"file {self.file}"


class DeliverableCheck(Frozen):
    """A deliverable that must be delivered."""

    deliverable: str

    def __str__(self) -> str:
        return f"deliverable {self.deliverable}"


Check = RunCheck | FileCheck | DeliverableCheck


class CheckEvidence(Frozen):
    """The result of one check, which is evidence if it has passed."""

    _hidden = ("problem",)
    check: Check
    passed: bool
    #: Why it has not passed, or "". A check without a result has not passed.
    problem: str = ""
    #: The exit status of a command that has ended, else None.
    exit_code: int | None = None
    duration_ms: int = 0
    #: The end of what a command has printed.
    output: str = ""
    #: The process that has checked it: "worker" (the command of the agent), "run"
    #: (`worker run`, after its command), "mirror", "client" (reported to a gateway), or
    #: "queue" for a deliverable. Redis sets "client" and "queue" itself.
    source: str = "worker"


class Acceptance(Frozen):
    """What an item needs to be accepted, as `accept` of a plan says it."""

    #: Criteria in words.
    criteria: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    #: The name of the person or the agent that reviews it, or "".
    reviewer: str = ""
