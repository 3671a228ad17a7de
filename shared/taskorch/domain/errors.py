"""Every error that the queue raises. Each has a word (in scripts and `--json`), an exit code, and says what to do next.

TaskOrchestratorError           1   Unprintable
|-- Usage                       2
|-- NotFound                    3   NoProject, NoItem, NoQueue
|-- Unavailable                 4   retryable: Unreachable, Stalled, NotReplicated, NotSaved, ServerFailed,
|                                   DiskFull, OutOfFiles; not: Refused, Untrusted, NotPermitted, DataDamaged,
|                                   ServerUnreachable, ServerStopped
|-- Invalid                     5   WrongState, DeadEnd, Cycle, TooDeep, TooMany, NoAttempts, ProjectClosed, OpenItems,
|                                 Awaited, BadPlan, BadSchema, NotEmpty, TooOld, RootNotWritable (SharedRoot),
|                                 CommandFails, TooFewFiles, UserFolderUnusable, ForeignServer, UnknownData,
|                                 LeavesProject, Unhealthy, UntrustedConfig, ForeignFolder, Damaged
|-- Conflict                    6   Held, LeaseLost, Cancelled, SyncBusy, ServiceRuns
|-- NotYours                    7
|-- NothingToDo                 8   only commands raise it; in the library that is None
|-- WaitOver                    8   the same
'-- InputClosed                 8   only the MCP servers raise it
"""

from collections.abc import Iterable, Mapping, Sequence
from time import gmtime, strftime

from taskorch.domain import hints

#: A value that fills a message; or things of which each has its own.
Detail = str | int | Sequence[Mapping[str, str | int]]


class TaskOrchestratorError(Exception):
    """The root. `details` fill the message; a subclass is raised with all of them as keywords."""

    word = "UNEXPECTED"
    exit_code = 1
    retryable = False
    message = "Something unexpected happened: {reason}"
    hint = ""

    def __init__(self, **details: Detail) -> None:
        self.details = details
        super().__init__(self.message.format_map(self._shown()))

    def _shown(self) -> dict[str, object]:
        return {
            name: _time(value) if name in ("since", "expires") else value
            for name, value in self.details.items()
        }

    def more(self) -> Iterable[str]:
        """Return the lines that go with the message."""
        return ()

    def advice(self) -> str:
        """Return what the user may do next, or ""."""
        return self.hint.format_map(self._shown())


def _time(value: Detail) -> str:
    return (
        strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(int(str(value)) / 1000))
        if value
        else "an answer comes"
    )


class Unprintable(TaskOrchestratorError):
    word = "UNPRINTABLE"
    message = "The step was done, but its result could not be printed: {reason}"


class Usage(TaskOrchestratorError):
    word, exit_code = "USAGE", 2
    message = "{reason}"


class NotFound(TaskOrchestratorError):
    exit_code = 3


class NoProject(NotFound):
    word = "NO_PROJECT"
    message = "There is no project {project}."
    hint = "orchestrate projects lists them."

    def advice(self) -> str:
        """Return where the ids of projects are."""
        is_item = str(self.details["project"]).startswith("item_")
        return "That is the id of an item." if is_item else super().advice()


class NoItem(NotFound):
    word = "NO_ITEM"
    message = "There is no item {item}."
    hint = "The id of an item looks like item_1a2b3c4d."

    def advice(self) -> str:
        """Return what the id looks like instead."""
        is_project = str(self.details["item"]).startswith("proj_")
        return "That is the id of a project." if is_project else super().advice()


class NoQueue(NotFound):
    word = "NO_QUEUE"
    message = "No queue here: {root} has none."
    hint = "Start one: orchestrate project TITLE"


class Unavailable(TaskOrchestratorError):
    exit_code, retryable = 4, True
    #: The id of the request that got no answer: a repeat that has it acts only if the first did not.
    request = ""


class Unreachable(Unavailable):
    word = "UNREACHABLE"
    message = "Redis does not answer at {url}: {reason}"
    hint = "Is it there? TASKORCH_REDIS_URL, --redis-url or config.toml says where. Type the same again: it acts once."

    def advice(self) -> str:
        """Return where to look: sentinels may run without knowing the service."""
        service = "Do the sentinels run, and know the name behind the '/'? SENTINEL MASTERS lists the names they know."
        return (
            service if "+sentinel://" in str(self.details["url"]) else super().advice()
        )


class Refused(Unavailable):
    word, retryable = "REFUSED", False
    message = "Redis at {url} refuses this client: {reason}"

    def advice(self) -> str:
        """Return what is wrong with the address or with the user."""
        reason = str(self.details["reason"])
        return next(
            (way for words, way in hints.REFUSALS.items() if words in reason),
            hints.CREDENTIALS,
        )


class NotPermitted(Unavailable):
    word, retryable = "NOT_PERMITTED", False
    message = "This process may not connect to {url}: {reason}"

    def advice(self) -> str:
        """Return who can permit it: the owner of the socket, or the sandbox."""
        return hints.FORBIDDEN[str(self.details["why"])]


class OutOfFiles(Unavailable):
    word = "OUT_OF_FILES"
    message = (
        "This process cannot connect to {url}: it has reached its limit of open files."
    )
    hint = "Raise the limit (ulimit -n), or do less at a time."


class Untrusted(Unavailable):
    word, retryable = "UNTRUSTED", False
    message = (
        "Redis at {url} and this client do not trust each other's certificate: {reason}"
    )
    hint = "The URL's ssl_ca_certs=FILE names who vouches for Redis; ssl_certfile and ssl_keyfile say who you are."


class Stalled(Unavailable):
    word = "STALLED"
    message = "Redis at {url} cannot do this now: {reason}"

    def advice(self) -> str:
        """Return what leads out of it."""
        return f"{hints.TROUBLES[str(self.details['why'])]} Nothing is half done."


class NotReplicated(Unavailable):
    word = "NOT_REPLICATED"
    message = "It is done, but only {reached} of {wanted} replicas have it: {reason}"
    hint = "Say the same again: it is not done twice, and waits for the replicas anew. Or lower TASKORCH_WAIT_REPLICAS."


class NotSaved(Unavailable):
    word = "NOT_SAVED"
    message = "The bundled server cannot write to its disk, so this step is not saved yet: {reason}"
    hint = (
        "Make room on the disk, then rerun this command. It acts once, unless the disk could not even keep the id of "
        "its request: look first. Commands that only read still work."
    )


class DiskFull(Unavailable):
    word = "DISK_FULL"
    message = "The bundled server has no room on its disk: {reason}"
    hint = "Make room on the disk of {folder}, then rerun this command."


class DataDamaged(Unavailable):
    word, retryable = "DATA_DAMAGED", False
    message = "The bundled server cannot read its data: {file} is damaged after {sound} of {size} bytes."

    def advice(self) -> str:
        """Return how to go on with the sound part, if there is one."""
        if self.details["repairable"]:
            return "To drop what follows, with a copy kept: orchestrate server start --repair"
        folder = str(self.details["file"]).rpartition("/")[0]
        return f"Move {folder} aside to start empty, then restore a backup: orchestrate import FILE"


class ServerUnreachable(Unavailable):
    word, retryable = "SERVER_UNREACHABLE", False
    message = (
        "The bundled server is running ({process}), but its socket {socket} is gone."
    )
    hint = "Run orchestrate server stop where that process runs, or end the process. The next command starts another."


class ServerFailed(Unavailable):
    word = "SERVER_FAILED"
    message = "The bundled server failed: {reason}"
    hint = "See {log}, or name a Redis of your own with --redis-url."


class ServerStopped(Unavailable):
    word, retryable = "SERVER_STOPPED", False
    message = "The bundled server of {root} was stopped."
    hint = "Start it: orchestrate server start"


class Invalid(TaskOrchestratorError):
    word, exit_code = "INVALID", 5
    message = "{reason}"


class TooOld(Invalid):
    word = "TOO_OLD"
    message = "Redis at {url} has version {version}; it takes Redis 7.0 or Valkey 8.0, or newer."
    hint = "Upgrade it, or leave out the URL to use the bundled server."


class BadSchema(Invalid):
    word = "SCHEMA"
    message = (
        "This namespace has schema version {found}; this program knows {supported}."
    )
    hint = "Use the version of task-orchestrator that wrote it, or another --namespace."

    IMPORTING = "importing"

    def __str__(self) -> str:
        importing = "An import into this namespace is under way, or was cut off."
        return (
            importing if self.details["found"] == self.IMPORTING else super().__str__()
        )

    def advice(self) -> str:
        """Return how to go on: with an import that was cut off, or with another program."""
        again = "If cut off, run it again with the same file: orchestrate import FILE. Or name a new --namespace."
        return again if self.details["found"] == self.IMPORTING else super().advice()


class NotEmpty(Invalid):
    word = "NOT_EMPTY"
    message = "This namespace is not empty: it has {projects} projects. An export is read into an empty one."
    hint = "Name another one: orchestrate --namespace NAME import FILE"


class Damaged(Invalid):
    word = "DAMAGED"
    message = "The {kind} {id} is damaged in Redis: {reason}."
    hint = "orchestrate doctor shows what is damaged; orchestrate doctor --fix moves it aside, where it can be read."


class RootNotWritable(Invalid):
    word = "ROOT_NOT_WRITABLE"
    message = "Cannot write below {root}: {reason}"
    hint = "Make the folder writable, or point TASKORCH_ROOT at one that is. Nothing was changed."


class UnknownData(Invalid):
    word = "UNKNOWN_DATA"
    message = "The bundled server does not load {folder}: you have no record of this data in {records}."
    hint = "Delete it if it came with a checkout. If you know it: orchestrate server start --accept-data"


class ForeignServer(Invalid):
    word = "FOREIGN_SERVER"
    message = "The server at {place} is not used: {reason}."

    def advice(self) -> str:
        """Return how to reach a server of one's own, or another user's on purpose."""
        return hints.BUNDLED_SOCKET if self.details["bundled"] else hints.FOREIGN_SOCKET


class UserFolderUnusable(Invalid):
    word = "USER_FOLDER_UNUSABLE"
    message = "Your configuration at {path} cannot be used: {reason}."
    hint = "Make it yours alone (chown, chmod go-w), or point XDG_CONFIG_HOME at another folder."


class LeavesProject(Invalid):
    word = "LEAVES_PROJECT"
    message = "A symbolic link leads out of {project}: {links}. Nothing was changed."
    hint = "Check where it leads. To change the target all the same, add --yes."


class Unhealthy(Invalid):
    word = "UNHEALTHY"
    message = "The files of {root} are not kept in step with Redis by {host}: {reason}."
    hint = "Is the service running? orchestrate service starts it; its log says what went wrong."


class UntrustedConfig(Invalid):
    word = "UNTRUSTED_CONFIG"
    message = "{file} sets {key}, and you have not trusted this file: it may have come with the folder."
    hint = "To see what it says, and to trust it: orchestrate trust"


class ForeignFolder(Invalid):
    word = "FOREIGN_FOLDER"
    message = "{folder} {reason}. It is not used."
    hint = "Run the command as the owner of the folder, or point TASKORCH_ROOT at a folder of your own."


class SharedRoot(RootNotWritable):
    word = "SHARED_ROOT"
    message = "A queue in {root} would be that of every folder below it."
    hint = "Go to the folder of your project. Or, to have the queue here: orchestrate init (or set TASKORCH_ROOT)"


class WrongState(Invalid):
    word = "WRONG_STATE"
    message = "{item} is {state}: {verb} is not possible now."

    ORCHESTRATORS_VERBS = ("depend", "assign", "answer", "cancel", "requeue", "purge")

    def advice(self) -> str:
        """Return what leads out of this state, for the role that the verb belongs to."""
        state = str(self.details["state"])
        ways = (
            {}
            if self.details["verb"] in self.ORCHESTRATORS_VERBS
            else hints.STATES_FOR_AGENTS
        )
        return ways.get(state, hints.STATES[state]).format_map(self.details)


class DeadEnd(Invalid):
    word = "DEAD_END"
    message = "{id} is {state}: it will not be {goal} by itself."

    def advice(self) -> str:
        """Return what sets it going again."""
        id_, dead = str(self.details["id"]), self.details["dead"]
        if dead:
            return f"orchestrate stuck shows what is held up, and why; orchestrate requeue {dead} has that done again."
        if id_.startswith("item_"):
            return hints.STATES[str(self.details["state"])].format(item=id_)
        return f"orchestrate progress {id_} shows its items; orchestrate requeue ITEM has one done again."


class BadPlan(Invalid):
    word = "BAD_PLAN"
    message = "{file} is no plan that can be applied; nothing was written."

    def __init__(
        self, *, file: str, mistakes: Sequence[Mapping[str, str | int]], left_out: int
    ) -> None:
        """Each of the `mistakes` has a line, a path and a message; so many more are `left_out`."""
        super().__init__(file=file, mistakes=mistakes, left_out=left_out)
        self._lines = [
            f"line {m['line']}: {m['path']}{': ' if m['path'] else ''}{m['message']}"
            for m in mistakes
        ]
        if left_out:
            self._lines.append(f"… and {left_out} more")

    def more(self) -> Iterable[str]:
        """Return a line for each mistake."""
        return self._lines


class Cycle(Invalid):
    word = "CYCLE"
    message = "{item} cannot depend on {dependency}: {reason}."

    def _shown(self) -> dict[str, object]:
        itself = self.details["item"] == self.details["dependency"]
        return {
            **self.details,
            "reason": "an item cannot wait for itself"
            if itself
            else "that one depends on it",
        }


class TooDeep(Invalid):
    word = "TOO_DEEP"
    message = "More than {most} dependencies lie on the way from {item}."


class TooMany(Invalid):
    word = "TOO_MANY"
    message = "{item} would have more than {most} {what}."


class NoAttempts(Invalid):
    word = "NO_ATTEMPTS"
    message = "{item} has used up its {attempts} attempts: it cannot be taken over."
    hint = "Only the orchestrator can give it away now. Take other work: worker pop"


class ProjectClosed(Invalid):
    word = "PROJECT_CLOSED"
    message = "{project} is completed: its items are closed."
    hint = "Create a new project: orchestrate project TITLE"


class OpenItems(Invalid):
    word = "OPEN_ITEMS"
    message = "{project} has {open} items that are not done, {first} for one."
    hint = "orchestrate progress {project} shows them; --force cancels them and completes the project."


class Awaited(Invalid):
    word = "AWAITED"
    message = (
        "{project} is still needed: {dependent} waits for {item}, which is cancelled."
    )
    hint = "orchestrate requeue {item} has it done after all, orchestrate cancel {dependent} gives that one up."


class CommandFails(Invalid):
    word = "COMMAND_FAILS"
    message = "The run ended because its command keeps failing ({failures} in a row). The last failure: {reason}"
    hint = "Try the command by hand. Failed items are retried as always; orchestrate stuck shows dead letters."


class TooFewFiles(Invalid):
    word = "TOO_FEW_FILES"
    message = "--pool {pool} needs {needed} open files, and the limit of this process is {limit}."
    hint = "Raise the limit (ulimit -n {needed}), or choose a smaller --pool."


class Conflict(TaskOrchestratorError):
    exit_code = 6


class Held(Conflict):
    word = "HELD"
    message = "{item} is held by {holder} (host {host}, pid {pid}) since {since}, until {expires}."

    def _shown(self) -> dict[str, object]:
        holder = (
            f"another session of {self.details['agent']}"
            if self._is_agents()
            else self.details["agent"]
        )
        return {**super()._shown(), "holder": holder}

    def advice(self) -> str:
        """Return how the caller's role may go on."""
        if self._is_agents():
            return f"Take other work: worker pop. If that session is dead: worker get {self.details['item']} --takeover"
        return f"To take it away all the same: orchestrate assign {self.details['item']} AGENT --force"

    def _is_agents(self) -> bool:
        return self.details["caller"] == self.details["agent"]


class LeaseLost(Conflict):
    word = "LEASE_LOST"
    message = "Your lease on {item} is lost (token {token}, the newest is {newest}); it is {state} now."
    hint = "Stop working on it and take other work: worker pop"


class Cancelled(Conflict):
    word = "CANCELLED"
    message = "{item} was cancelled{reason}."
    hint = "Stop working on it and take other work: worker pop"

    def _shown(self) -> dict[str, object]:
        reason = str(self.details["reason"]).removesuffix(".")
        return {**self.details, "reason": f": {reason}" if reason else ""}


class SyncBusy(Conflict):
    word, retryable = "SYNC_BUSY", True
    message = "Another machine writes the files of {root} at this moment: {writer}."
    hint = "It does what you want done. orchestrate sync status shows how it goes."


class ServiceRuns(Conflict):
    word = "SERVICE_RUNS"
    message = "The service of {root} runs already, pid {pid}."
    hint = "orchestrate sync status shows how it does."


class NotYours(TaskOrchestratorError):
    word, exit_code = "NOT_YOURS", 7
    message = "{item} is assigned to {agent}, not to {caller}."
    hint = "worker check shows what is assigned to you."

    def _shown(self) -> dict[str, object]:
        return {**self.details, "agent": self.details["agent"] or "nobody yet"}


class NothingToDo(TaskOrchestratorError):
    word, exit_code, retryable = "NOTHING_TO_DO", 8, True
    message = "There is nothing to do now."
    hint = "Wait for work: worker pop --wait 300"


class WaitOver(TaskOrchestratorError):
    word, exit_code, retryable = "WAIT_OVER", 8, True
    message = "The wait for {id} ran out after {seconds} s: it is {state}."
    hint = "To go on waiting, type the same again."

    def advice(self) -> str:
        """Return how to go on: where events count, from where it came to, for those in between count, too."""
        cursor = self.details.get("cursor")
        return (
            f"To go on: the same with --since {cursor}" if cursor else super().advice()
        )


class InputClosed(TaskOrchestratorError):
    word, exit_code, retryable = "INPUT_CLOSED", 8, True
    message = "The wait ended because the client closed standard input."
    hint = "Keep standard input open until the answer arrives."


#: The errors that a script raises, by the first word of its reply.
BY_WORD: dict[str, type[TaskOrchestratorError]] = {
    error.word: error
    for error in (
        NoProject, NoItem, BadSchema, NotEmpty, WrongState, Cycle, TooDeep, TooMany, NoAttempts, ProjectClosed,
        OpenItems, Awaited, Held, LeaseLost, Cancelled, NotYours,
    )
}  # fmt: skip
