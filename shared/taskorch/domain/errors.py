"""Every error of the queue, its word in scripts and in `--json`, and its exit code.

TaskOrchestratorError           1   Unprintable
|-- Usage                       2   SharedCheckout, PortTaken
|-- NotFound                    3   NoProject, NoItem, NoAgent, AmbiguousId, NoQueue, NoLog,
|                                   NoAccessToken, NoSchedule, OtherNamespace
|-- Unavailable                 4   retryable: Unreachable, Stalled, NotReplicated,
|                                   NotSaved, ServerFailed, DiskFull, OutOfFiles,
|                                   RateLimited;
|                                   not: Refused, Untrusted, NotPermitted, NoGateway,
|                                   DataDamaged, ServerUnreachable, ServerStopped
|-- Invalid                     5   WrongState (AlreadyCompleted), Begun, NoSummary,
|                                   NextNotClaimed, Unchecked, ChecksFailed, RunCompletes,
|                                   DeadEnd, Cycle, TooDeep, TooMany, TooLarge,
|                                   NoQuestion, SeveralQuestions,
|                                   NoAttempts, ProjectClosed (NeedsReopen), OpenItems, Awaited,
|                                   BadPlan, ScheduleExists, TooManySchedules,
|                                   NotAName, BadSchema, NotEmpty, ExportOutdated,
|                                   TooOld, Damaged,
|                                   RootNotWritable (SharedRoot), ArchiveNotWritable,
|                                   NotArchived, CommandFails,
|                                   RunHolds, NoWorktree, TooFewFiles,
|                                   UserFolderUnusable, ForeignServer, UnknownData,
|                                   LeavesProject, Unhealthy, UntrustedConfig,
|                                   ForeignFolder, OtherVersion, QuotaReached
|-- Conflict                    6   Held, LeaseLost, Cancelled, SyncBusy, ServiceRuns
|-- NotYours                    7
|-- NotReviewer                 7
|-- OwnWork                     7
|-- TokenRefused                7   raised over a gateway
|-- LinkRefused                 7   raised by the board
|-- NotAllowed                  7
|-- NothingToDo                 8   raised by commands; the library returns None
|-- NoOwnItems                  8   raised by commands
|-- OverBudget                  8   for a claim of any item: raised by commands
|-- WaitOver                    8   raised by commands
'-- InputClosed                 8   raised by the MCP servers
"""

from collections.abc import Mapping, Sequence

from taskorch.domain import hints
from taskorch.domain.clock import rfc3339_seconds

#: Characters that a message shows of a text that agents wrote.
SHOWN = 200
#: A value for a placeholder of the message, or rows that are printed below it.
Detail = str | int | Sequence[Mapping[str, str | int]]


class TaskOrchestratorError(Exception):
    """The root of all errors.

    A subclass is raised with its details as keywords: one for each placeholder in
    `message` and `next_step`.
    """

    word = "UNEXPECTED"
    exit_code = 1
    #: Whether rerunning the same command may succeed.
    retryable = False
    #: What happened.
    message = "An unexpected error occurred: {reason}"
    #: What to do about it.
    next_step = ""

    def __init__(self, **details: Detail) -> None:
        self.details = details
        super().__init__(self._message().format_map(self._shown()))

    def _message(self) -> str:
        """Return what happened, with a place for each detail."""
        return self.message

    def _shown(self) -> dict[str, object]:
        """Return the details as the message shows them."""
        shown: dict[str, object] = dict(self.details)
        if "state" in shown:
            shown["state"] = hints.state_in_words(str(shown["state"]))
        return shown

    def rows(self) -> Sequence[str]:
        """Return the lines that are printed below the message."""
        return ()

    def hint(self) -> str:
        """Return what the user can do next, or ""."""
        return self.next_step.format_map(self._shown())


class Unprintable(TaskOrchestratorError):
    word = "UNPRINTABLE"
    message = (
        "The step was done, but its result could not be printed: {reason}"
    )


class Usage(TaskOrchestratorError):
    word, exit_code = "USAGE", 2
    message = "{reason}"


class SharedCheckout(Usage):
    word = "SHARED_CHECKOUT"
    message = "{pool} slots would change the same files, in the git checkout {checkout}."
    next_step = (
        "To give each item a git worktree and a branch of its own: "
        "worker run --pool {pool} --worktree -- COMMAND. "
        "If the slots may share the checkout, add --shared."
    )


class PortTaken(Usage):
    word = "PORT_TAKEN"
    message = "Cannot listen on {host}:{port}: another program does."
    next_step = "Choose another port, or stop that program."


class NotFound(TaskOrchestratorError):
    exit_code = 3


class NoProject(NotFound):
    word = "NO_PROJECT"
    message = "There is no project {project}."
    next_step = "List the projects: orchestrate projects"

    def _message(self) -> str:
        if self.details.get("archive"):
            return "The project {project} was archived in {archive}."
        is_empty = self.details["project"] == ""
        return "The id of a project is empty." if is_empty else self.message

    def hint(self) -> str:
        """Return where to find the ids of projects, or what the given id is."""
        if archive := self.details.get("archive"):
            return hints.ARCHIVED.format(archive=archive)
        if str(self.details["project"]).startswith("item_"):
            item = self.details["project"]
            return f"Ids of items begin with item_: orchestrate show {item}"
        return super().hint()


class NoItem(NotFound):
    word = "NO_ITEM"
    message = "There is no item {item}."
    next_step = "Item ids look like item_1a2b3c4d."

    def _message(self) -> str:
        if self.details.get("archive"):
            return (
                "The item {item} was archived with its project in {archive}."
            )
        is_empty = self.details["item"] == ""
        return "The id of an item is empty." if is_empty else self.message

    def hint(self) -> str:
        """Return what an item id looks like, or what the given id is."""
        if archive := self.details.get("archive"):
            return hints.ARCHIVED.format(archive=archive)
        if str(self.details["item"]).startswith("proj_"):
            project = self.details["item"]
            return (
                "Ids of projects begin with proj_: "
                f"orchestrate progress {project}"
            )
        return super().hint()


class NoAgent(NotFound):
    word = "NO_AGENT"
    message = "There is no agent {agent}."
    next_step = "List the agents: orchestrate agents"


class AmbiguousId(NotFound):
    word = "AMBIGUOUS_ID"
    message = "More than one id begins with {given}."
    next_step = "Give more digits, or the whole id."

    def __init__(
        self,
        *,
        given: str,
        candidates: Sequence[Mapping[str, str]],
        more: int,
    ) -> None:
        """Each candidate has an id and a title; `more` is 1 if there are others."""
        super().__init__(given=given, candidates=candidates, more=more)
        self._rows = [f"{each['id']} {each['title']}" for each in candidates]
        if more:
            self._rows.append("… and more")

    def rows(self) -> Sequence[str]:
        """Return a line for each candidate."""
        return self._rows


class NoAccessToken(NotFound):
    word = "NO_ACCESS_TOKEN"
    message = "There is no access token {access_token}."
    next_step = "List them: orchestrate token list"


class NoSchedule(NotFound):
    word = "NO_SCHEDULE"
    message = "There is no schedule {schedule}."
    next_step = "List them: orchestrate schedule list"


class OtherNamespace(NotFound):
    word = "NO_NAMESPACE"
    message = "There is no namespace {namespace} at {url}."
    next_step = "Set TASKORCH_NAMESPACE to the namespace of your access token."


class NoQueue(NotFound):
    word = "NO_QUEUE"
    message = "There is no queue in {root}."
    next_step = "Create one: orchestrate project TITLE"


class NoVerb(NotFound):
    """A gateway has no such path, or the path takes another method."""

    word = "NO_VERB"
    message = "There is no {verb} here."
    next_step = "{description} describes what there is."


class NoLog(NotFound):
    word = "NO_LOG"
    message = "{reason}"
    next_step = "{advice}"


class Unavailable(TaskOrchestratorError):
    exit_code, retryable = 4, True
    #: The id of the unanswered request. A repeat with this id acts only once.
    request = ""


class Unreachable(Unavailable):
    word = "UNREACHABLE"
    message = "Redis is unreachable at {url}: {reason}"
    next_step = (
        "Check that it is running and that TASKORCH_REDIS_URL is right. "
        "Rerunning this command is safe."
    )

    def _message(self) -> str:
        """Return what cannot be reached: a gateway may answer without its Redis."""
        url = str(self.details["url"])
        if not url:
            return "The queue is unreachable: {reason}"
        if url.startswith(("https:", "http:")):
            return "The queue is unreachable at {url}: {reason}"
        return self.message

    def hint(self) -> str:
        """Return what to check: sentinels may run without knowing the service."""
        if not self.details["url"]:  # a client of a gateway that runs
            return "Try again in a few seconds."
        if "+sentinel://" in str(self.details["url"]):
            return (
                "Check that the sentinels are running, and that they know the name "
                "after the '/'. SENTINEL MASTERS lists the names that they know."
            )
        if str(self.details["url"]).startswith(("https:", "http:")):
            return (
                "Check that the gateway and its Redis are running and that "
                "TASKORCH_URL is right. Rerunning this command is safe."
            )
        return super().hint()


class Refused(Unavailable):
    word, retryable = "REFUSED", False
    message = "Redis at {url} refused this client: {reason}"

    def hint(self) -> str:
        """Return what is wrong with the address or with the Redis user."""
        reason = str(self.details["reason"])
        for words, hint in hints.REFUSALS.items():
            if words in reason:
                return hint
        return hints.CREDENTIALS


class NotPermitted(Unavailable):
    word, retryable = "NOT_PERMITTED", False
    message = "This process is not allowed to connect to {url}: {reason}"

    def hint(self) -> str:
        """Return who can allow it: the owner of the socket, or the sandbox."""
        return hints.FORBIDDEN[str(self.details["why"])]


class OutOfFiles(Unavailable):
    word = "OUT_OF_FILES"
    message = "This process cannot connect to {url}: it has reached its limit of open files."
    next_step = "Raise the limit (ulimit -n), or run less at a time."


class NoGateway(Unavailable):
    word, retryable = "NO_GATEWAY", False
    message = "There is no gateway at {url}: {reason}."
    next_step = (
        "Check TASKORCH_URL, and the proxies on the way. In a sandbox, the host must be "
        "on its list of allowed hosts."
    )


class RateLimited(Unavailable):
    word = "RATE_LIMITED"
    message = "The gateway at {url} allows {calls} {what}."
    next_step = "Wait {seconds} s, then rerun this command: it acts once."


class Untrusted(Unavailable):
    word, retryable = "UNTRUSTED", False
    message = "TLS verification failed between this client and {url}: {reason}"
    next_step = (
        "In the URL, ssl_ca_certs=FILE names the authority that signed the certificate "
        "of Redis; ssl_certfile and ssl_keyfile name the client's own certificate."
    )

    def hint(self) -> str:
        """Return how to name the authority: of a gateway, by a variable."""
        if str(self.details["url"]).startswith("https:"):
            return "SSL_CERT_FILE=FILE names the authority that signed its certificate."
        return super().hint()


class Stalled(Unavailable):
    word = "STALLED"
    message = "Redis at {url} cannot run this now: {reason}"

    def hint(self) -> str:
        """Return what to do about the reason that Redis gave.

        Scripts check everything before they write, and Redis refuses them as a whole.
        """
        return (
            f"{hints.STALLS[str(self.details['why'])]} Nothing is half done."
        )


class NotReplicated(Unavailable):
    #: The reply of the step, which was done.
    reply: object = None
    word = "NOT_REPLICATED"
    message = "The step was done, but only {reached} of {wanted} replicas have it: {reason}"
    next_step = (
        "Rerun the command: the step is not done twice, and the command waits for the "
        "replicas again. Or lower TASKORCH_WAIT_REPLICAS."
    )


class NotSaved(Unavailable):
    word = "NOT_SAVED"
    message = (
        "This step is not saved yet, because the bundled server cannot write to its "
        "disk: {reason}"
    )
    next_step = (
        "Free disk space, then rerun this command. It acts once, unless the disk was "
        "too full to keep the id of its request, so check first. Commands that only "
        "read still work."
    )


class DiskFull(Unavailable):
    word = "DISK_FULL"
    message = "The disk of the bundled server is full: {reason}"
    next_step = "Free space on the disk of {folder}, then rerun this command."


class DataDamaged(Unavailable):
    word, retryable = "DATA_DAMAGED", False
    message = (
        "The bundled server cannot read its data: {file} is damaged after {sound} of "
        "{size} bytes."
    )

    def hint(self) -> str:
        """Return how to continue with the undamaged part, or with a backup."""
        if self.details["repairable"]:
            return (
                "To drop the damaged part and keep a copy of the file: "
                "orchestrate server start --repair"
            )
        folder = str(self.details["file"]).rpartition("/")[0]
        return (
            f"Move {folder} away to start with an empty queue, then restore a backup: "
            "orchestrate import FILE"
        )


class ServerUnreachable(Unavailable):
    word, retryable = "SERVER_UNREACHABLE", False
    message = "The bundled server is running ({process}), but its socket {socket} is gone."
    next_step = (
        "Run orchestrate server stop where that process runs, or end the process. "
        "The next command starts a new server."
    )


class ServerFailed(Unavailable):
    word = "SERVER_FAILED"
    message = "The bundled server failed: {reason}"
    next_step = "See {log}, or use a Redis of your own with --redis-url."


class ServerStopped(Unavailable):
    word, retryable = "SERVER_STOPPED", False
    message = "The bundled server of {root} was stopped."
    next_step = "Start it: orchestrate server start"


class Invalid(TaskOrchestratorError):
    word, exit_code = "INVALID", 5
    message = "{reason}"


class NotAName(Invalid):
    word = "NOT_A_NAME"
    message = "{name} looks like an id, so it cannot be the name of an agent."
    next_step = "Put an agent after the items: orchestrate assign ITEM AGENT"

    def hint(self) -> str:
        """Return where the name of an agent belongs."""
        if setting := self.details["setting"]:
            return f"Set {setting} to a name such as database_specialist."
        return super().hint()


class TooOld(Invalid):
    word = "TOO_OLD"
    message = (
        "Redis at {url} has version {version}; Redis 7.0 or Valkey 8.0 or newer is "
        "required."
    )
    next_step = "Upgrade it, or remove the URL to use the bundled server."


class BadSchema(Invalid):
    word = "SCHEMA"
    message = "This namespace has schema version {found}; this program supports {supported}."
    next_step = "Use the version of task-orchestrator that wrote it, or another --namespace."

    #: The schema version while an import is under way.
    IMPORTING = "importing"
    #: The schema versions of namespaces that this program upgrades: the one before, and
    #: a half upgraded one.
    UPGRADABLE = ("1", "2 (upgrading)")

    def __str__(self) -> str:
        if self.details["found"] == self.IMPORTING:
            return (
                "An import into this namespace is running, or was interrupted."
            )
        return super().__str__()

    def hint(self) -> str:
        """Return how to finish an interrupted import, or which program to use."""
        if self.details["found"] == self.IMPORTING:
            return (
                "If it was interrupted, run it again with the same file: "
                "orchestrate import FILE. Or name a new --namespace."
            )
        return super().hint()


class OtherVersion(Invalid):
    word = "OTHER_VERSION"
    message = "This client has version {client}, and the gateway at {url} has {gateway}."
    next_step = (
        "Install the same version on both sides; the last number may differ."
    )


class ScheduleExists(Invalid):
    word = "SCHEDULE_EXISTS"
    message = "There is a schedule {schedule} already."
    next_step = "To replace it, remove it first: orchestrate schedule remove {schedule}"


class TooManySchedules(Invalid):
    word = "TOO_MANY_SCHEDULES"
    message = "There are {most} schedules already, the most of a namespace."
    next_step = "Remove one: orchestrate schedule remove NAME"


class NotEmpty(Invalid):
    word = "NOT_EMPTY"
    message = "This namespace already has {projects}. An import needs an empty namespace."
    next_step = "Choose another one: orchestrate --namespace NAME import FILE"

    def _shown(self) -> dict[str, object]:
        projects = _counted(self.details["projects"], "project")
        return {**self.details, "projects": projects}


class ExportOutdated(Invalid):
    word = "EXPORT_OUTDATED"
    message = "A project was purged during the export, so its lines do not fit together."
    next_step = (
        "Discard what was printed. To begin again automatically after a purge, name a "
        "file: orchestrate export FILE"
    )


class Damaged(Invalid):
    word = "DAMAGED"
    message = "The {kind} {id} is damaged in Redis: {reason}."
    next_step = (
        "orchestrate doctor lists damaged data; orchestrate doctor --fix moves it to "
        "quarantine, where it can still be read."
    )


class RootNotWritable(Invalid):
    word = "ROOT_NOT_WRITABLE"
    message = "Cannot write to {root}: {reason}"
    next_step = (
        "Make the folder writable, or set TASKORCH_ROOT to one that is. "
        "Nothing was changed."
    )


class ArchiveNotWritable(Invalid):
    word = "ARCHIVE_NOT_WRITABLE"
    message = "Old projects cannot be archived in {folder}: {reason}. None of them is purged."
    next_step = (
        "Make the folder writable, or free space on its disk. The service tries again "
        "every 10 minutes."
    )


class NotArchived(Invalid):
    word = "NOT_ARCHIVED"
    message = "{project} is not archived, so it is not purged: {reason}"


class UnknownData(Invalid):
    word = "UNKNOWN_DATA"
    message = (
        "The bundled server did not load {folder}: {records} has no record of this "
        "data."
    )
    next_step = (
        "If it came with a checkout, delete it. If it is yours: "
        "orchestrate server start --accept-data"
    )


class ForeignServer(Invalid):
    word = "FOREIGN_SERVER"
    message = "The server at {place} is not used: {reason}."

    def hint(self) -> str:
        """Return how to reach your own server, or deliberately another user's."""
        if self.details["bundled"]:
            return hints.BUNDLED_SOCKET
        return hints.FOREIGN_SOCKET


class UserFolderUnusable(Invalid):
    word = "USER_FOLDER_UNUSABLE"
    message = "Your configuration at {path} cannot be used: {reason}."
    next_step = (
        "Make it yours alone (chown, chmod go-w), or set XDG_CONFIG_HOME to another "
        "folder."
    )


class LeavesProject(Invalid):
    word = "LEAVES_PROJECT"
    message = (
        "A symbolic link leads out of {project}: {links}. Nothing was changed."
    )
    next_step = "Check where it leads. To change its target anyway, add --yes."


class Unhealthy(Invalid):
    word = "UNHEALTHY"
    message = "{host} does not keep the files of {root} in sync with Redis: {reason}."
    next_step = "Start the service with orchestrate service, or see its log."


class UntrustedConfig(Invalid):
    word = "UNTRUSTED_CONFIG"
    message = (
        "{file} sets {key}, and you have not trusted this file. It may have come with "
        "the folder."
    )
    next_step = "To see its content and trust it: orchestrate trust"


class ForeignFolder(Invalid):
    word = "FOREIGN_FOLDER"
    message = "{folder} {reason}, so it is not used."
    next_step = (
        "Run the command as the owner of the folder, or set TASKORCH_ROOT to a folder "
        "of your own."
    )


class SharedRoot(RootNotWritable):
    word = "SHARED_ROOT"
    message = "A queue in {root} would be shared by every folder below it."
    next_step = (
        "Change to the folder of your project. To have the queue here anyway: "
        "orchestrate init (or set TASKORCH_ROOT)"
    )


class WrongState(Invalid):
    word = "WRONG_STATE"
    message = "{item} is {state}, so {verb} is not possible now."

    ORCHESTRATORS_VERBS = (
        "depend",
        "edit",
        "assign",
        "answer",
        "comment",
        "cancel",
        "requeue",
        "purge",
        "accept",
        "send-back",
    )
    #: By the name of a verb, that of its command if it differs.
    COMMANDS: Mapping[str, str] = {"agent_comment": "comment"}

    def _shown(self) -> dict[str, object]:
        verb = str(self.details["verb"])
        return {**super()._shown(), "verb": self.COMMANDS.get(verb, verb)}

    def hint(self) -> str:
        """Return what changes this state, for the role that the verb belongs to."""
        state = str(self.details["state"])
        hint = hints.STATES[state]
        if self.details["verb"] not in self.ORCHESTRATORS_VERBS:
            hint = hints.STATES_FOR_AGENTS.get(state, hint)
        return self._with_reopen(hint.format_map(self.details))

    def _with_reopen(self, hint: str) -> str:
        reopens = bool(self.details.get("reopens"))
        return hints.with_reopen(hint, reopens=reopens)


class AlreadyCompleted(WrongState):
    word = "ALREADY_COMPLETED"
    message = "{item} is already completed {how}. Nothing was changed."
    next_step = (
        "To see what was delivered: worker get {item} --peek. To have it done again, as "
        "the orchestrator: orchestrate requeue {item}"
    )

    def __init__(self, *, summary: str, **details: Detail) -> None:
        """`summary` is that of the first delivery, which stays."""
        super().__init__(summary=_shortened(summary), **details)

    def _shown(self) -> dict[str, object]:
        summary = self.details["summary"]
        how = f'with "{summary}"' if summary else "without a summary"
        return {**self.details, "how": how}

    def hint(self) -> str:
        """Return how to see the delivery, and how to get another one."""
        if self.details["state"] == "review":
            return hints.IN_REVIEW.format_map(self.details)
        return self._with_reopen(self.next_step.format_map(self.details))


class Begun(Invalid):
    word = "BEGUN"
    message = "{item} is {state}: its {fields} cannot change now."
    next_step = (
        "Only priority, labels and context can. To change the rest, take the item from "
        "its holder first: orchestrate assign {item} {agent} --force"
    )


class NoSummary(Invalid):
    word = "NO_SUMMARY"
    message = "The summary of {item} is empty."
    next_step = (
        'Say what you did: worker complete {item} "SUMMARY". To deliver without a '
        "summary: worker ack {item}"
    )


class NextNotClaimed(Invalid):
    word = "NEXT_NOT_CLAIMED"
    message = "{item} is {state}, but the next item was not claimed: {reason}"
    next_step = (
        "Make the folder writable, or set TASKORCH_ROOT to one that is. Then: "
        "worker pop"
    )


class Unchecked(Invalid):
    word = "UNCHECKED"
    message = "{item} has acceptance checks, and nothing shows that they pass."
    next_step = (
        "Run them in the folder of the work, and complete {item} with their results "
        "as evidence."
    )


class ChecksFailed(Invalid):
    word = "CHECKS_FAILED"
    message = "{item} was not completed, because {count} of its acceptance checks {do} not pass."
    next_step = (
        "You still hold {item}. Fix what failed, and complete it again."
    )

    def __init__(
        self, *, item: str, failed: Sequence[Mapping[str, str | int]]
    ) -> None:
        """`failed` has the checks, each with its problem and the end of its output."""
        self._failed = failed
        super().__init__(item=item, failed=failed)

    def _shown(self) -> dict[str, object]:
        count = len(self._failed)
        do = "does" if count == 1 else "do"
        return {**self.details, "count": count, "do": do}

    def rows(self) -> Sequence[str]:
        """Return each check that did not pass, and the end of its output."""
        lines: list[str] = []
        for row in self._failed:
            lines.append(f"{row['check']}: {row['problem']}")
            output = str(row.get("output", ""))
            lines += [f"  {line}" for line in output.splitlines()]
        return lines


class ChecksRunning(TaskOrchestratorError):
    word, exit_code, retryable = "CHECKS_RUNNING", 8, True
    message = (
        "The acceptance checks of {item} are still running after {seconds} s."
    )
    next_step = "To get their results, rerun this command."


class RunCompletes(Invalid):
    word = "RUN_COMPLETES"
    message = "{item} has acceptance checks, so its worker run completes it after this command."
    next_step = (
        "End the command with exit status 0; write a summary and deliverables to the "
        "file that TASKORCH_RESULT_FILE names. If the run has ended: worker get {item} "
        "--takeover"
    )


class NoQuestion(Invalid):
    word = "NO_QUESTION"
    message = "{item} has {missing}. It is {state}."

    def _shown(self) -> dict[str, object]:
        number = self.details["question"]
        missing = (
            f"no open question {number}" if number else "no open question"
        )
        if self.details["verb"] == "wait":
            missing = f"no question {number}"
        return {**super()._shown(), "missing": missing}

    def hint(self) -> str:
        """Return the numbers of the open questions, or where to find them."""
        if numbers := self.details["open"]:
            return f"Its open questions: {numbers}"
        return hints.NO_QUESTION[str(self.details["verb"])].format_map(
            self.details
        )


class SeveralQuestions(Invalid):
    word = "SEVERAL_QUESTIONS"
    message = "{item} has {number} open questions:"

    def __init__(
        self,
        *,
        item: str,
        verb: str,
        questions: Sequence[Mapping[str, str]],
    ) -> None:
        """Each question has a number and the beginning of its text."""
        self._questions = questions
        super().__init__(item=item, verb=verb, questions=questions)

    def _shown(self) -> dict[str, object]:
        return {**self.details, "number": len(self._questions)}

    def rows(self) -> Sequence[str]:
        """Return a line for each question."""
        return [
            f"{each['number']}: {each['text']}" for each in self._questions
        ]

    def hint(self) -> str:
        """Return the command that names one."""
        verb = str(self.details["verb"])
        return hints.SEVERAL_QUESTIONS[verb].format_map(self.details)


class DeadEnd(Invalid):
    word = "DEAD_END"
    message = (
        "{id} is {state}, and will not be {goal} unless someone intervenes."
    )

    def hint(self) -> str:
        """Return the command that lets it continue."""
        id_, dead = str(self.details["id"]), self.details["dead"]
        reopens = bool(self.details["reopens"])
        if dead:
            hint = (
                "orchestrate stuck lists stalled items, with the reason. "
                f"To retry the item that blocks this one: orchestrate requeue {dead}"
            )
            return hints.with_reopen(hint, reopens=reopens)
        if id_.startswith("item_"):
            hint = hints.STATES[str(self.details["state"])].format(item=id_)
            return hints.with_reopen(hint, reopens=reopens)
        return (
            f"orchestrate progress {id_} lists its items. "
            "To retry one: orchestrate requeue ITEM"
        )


class BadPlan(Invalid):
    word = "BAD_PLAN"
    message = "{file} is not a valid plan. Nothing was written."

    def __init__(
        self,
        *,
        file: str,
        mistakes: Sequence[Mapping[str, str | int]],
        left_out: int,
    ) -> None:
        """Each mistake has a line, a path and a message.

        `left_out` is the number of further mistakes.
        """
        super().__init__(file=file, mistakes=mistakes, left_out=left_out)
        self.mistakes = mistakes
        self.left_out = left_out
        self._rows = [
            f"line {m['line']}: {m['path']}{': ' if m['path'] else ''}{m['message']}"
            for m in mistakes
        ]
        if left_out:
            self._rows.append(f"… and {left_out} more")

    def rows(self) -> Sequence[str]:
        """Return a line for each mistake."""
        return self._rows


class Cycle(Invalid):
    word = "CYCLE"
    message = "{item} cannot depend on {dependency}: {reason}."

    def _shown(self) -> dict[str, object]:
        item, dependency = self.details["item"], self.details["dependency"]
        reason = f"{dependency} depends on {item}"
        if item == dependency:
            reason = "an item cannot wait for itself"
        return {**self.details, "reason": reason}


class TooDeep(Invalid):
    word = "TOO_DEEP"
    message = (
        "{item} would have more than {most} direct and indirect dependencies."
    )
    next_step = "Make it depend on fewer items."


class TooMany(Invalid):
    word = "TOO_MANY"
    message = "{item} would have more than {most} {what}."

    def hint(self) -> str:
        """Return what an agent with too many open questions can do."""
        if "open questions" not in str(self.details["what"]):
            return ""
        item = self.details["item"]
        return (
            f"Wait for the answers: worker wait {item} --timeout 100. "
            f"Or withdraw a question: worker blocker {item} --withdraw 1"
        )


class TooLarge(Invalid):
    word = "TOO_LARGE"
    message = (
        "{item} would have {bytes} bytes; an item has at most {most} (1 MiB)."
    )
    next_step = "Put large content into files, and name their paths or URLs."


class QuotaReached(Invalid):
    word = "QUOTA"
    message = "The access token {access_token} {reached}."

    _REACHED: Mapping[str, str] = {
        "open_items": "has {used} open items, and may have {most}",
        "bytes": "has written {used} bytes today, and may write {most} a day",
        "agents": "has assigned items to {used} agents, and may name {most}",
    }

    def _shown(self) -> dict[str, object]:
        reached = self._REACHED[str(self.details["what"])]
        return {**self.details, "reached": reached.format_map(self.details)}

    def hint(self) -> str:
        """Return when or how the client may go on."""
        higher = "Or ask an administrator for a token with a higher quota."
        match self.details["what"]:
            case "bytes":
                free_at = rfc3339_seconds(int(str(self.details["free_at"])))
                return f"It may write again from {free_at}. {higher}"
            case "open_items":
                return f"Complete or cancel some of them. {higher}"
        return f"Use one of these agents. {higher}"


class NoAttempts(Invalid):
    word = "NO_ATTEMPTS"
    message = "{item} has used its {attempts}, and cannot be taken over."
    next_step = "Only the orchestrator can reassign it now. Take other work: worker pop"

    def _shown(self) -> dict[str, object]:
        attempts = _counted(self.details["attempts"], "attempt")
        return {**self.details, "attempts": attempts}


class ProjectClosed(Invalid):
    word = "PROJECT_CLOSED"
    message = "{project} is completed, and its items are closed."
    next_step = (
        "To add items to it, reopen it first: orchestrate reopen {project}. "
        "To create a new project: orchestrate project TITLE"
    )


class NeedsReopen(ProjectClosed):
    word = "NEEDS_REOPEN"
    message = "{item} belongs to {project}, which is completed."
    next_step = "To reopen the project and queue the item: orchestrate requeue {item} --reopen"


class OpenItems(Invalid):
    word = "OPEN_ITEMS"
    message = "{project} has {open}."
    next_step = (
        "orchestrate progress {project} lists them. To cancel them and complete the "
        "project: orchestrate complete {project} --force"
    )

    def _shown(self) -> dict[str, object]:
        open_items = _counted(self.details["open"], "unfinished item")
        first = self.details["first"]
        such_as = f", such as {first}" if first else ""
        return {**self.details, "open": f"{open_items}{such_as}"}


class Awaited(Invalid):
    word = "AWAITED"
    message = "{project} is still needed: {dependent} waits for {item}, which is cancelled."
    next_step = (
        "To have {item} done after all: orchestrate requeue {item} --reopen. "
        "To give up {dependent}: orchestrate cancel {dependent}"
    )


class CommandFails(Invalid):
    word = "COMMAND_FAILS"
    message = (
        "The run ended because its command failed {failures}. The last failure: "
        "{reason}"
    )
    next_step = (
        "Try the command by hand. Failed items are retried as usual; orchestrate stuck "
        "lists dead letters."
    )

    def _shown(self) -> dict[str, object]:
        times = self.details["failures"]
        failures = "once" if times == 1 else f"{times} times in a row"
        return {**self.details, "failures": failures}


class RunHolds(Invalid):
    word = "RUN_HOLDS"
    message = (
        "This command works on {item}, for worker run: the run claims the next item "
        "when the command has ended."
    )
    next_step = "Finish the item, then exit: worker complete {item} SUMMARY"


class NoWorktree(Invalid):
    word = "NO_WORKTREE"
    message = "--worktree is not possible in {folder}: {reason}."
    next_step = (
        "It needs git, and a checkout with a commit. Start the run in one, or without "
        "--worktree."
    )


class TooFewFiles(Invalid):
    word = "TOO_FEW_FILES"
    message = (
        "--pool {pool} needs {needed} open files, but the limit of this process is "
        "{limit}."
    )
    next_step = (
        "Raise the limit (ulimit -n {needed}), or choose a smaller --pool."
    )


class Conflict(TaskOrchestratorError):
    exit_code = 6


class Held(Conflict):
    word = "HELD"
    message = (
        "{item} is held by {holder} (host {host}, pid {pid}) since {since}, until "
        "{expires}."
    )

    def _shown(self) -> dict[str, object]:
        agent, expires = (
            self.details["agent"],
            int(str(self.details["expires"] or 0)),
        )
        return {
            **self.details,
            "holder": f"another session of {agent}"
            if self.is_own()
            else agent,
            "since": rfc3339_seconds(int(str(self.details["since"] or 0))),
            # the lease of a blocked item has no end
            "expires": rfc3339_seconds(expires)
            if expires
            else "its question is answered",
        }

    def hint(self) -> str:
        """Return what an agent, or an orchestrator, can do about it."""
        item = self.details["item"]
        if self.is_own():
            return (
                "Take other work: worker pop. If that session is dead: "
                f"worker get {item} --takeover"
            )
        return (
            f"To reassign it anyway: orchestrate assign {item} AGENT --force"
        )

    def is_own(self) -> bool:
        """Return whether another session of the caller holds it."""
        return self.details["caller"] == self.details["agent"]


class LeaseLost(Conflict):
    word = "LEASE_LOST"
    message = (
        "Your lease on {item} is lost (token {token}, the newest is {newest}); it is "
        "{state} now."
    )
    next_step = "Stop working on it and take other work: worker pop"


class Cancelled(Conflict):
    word = "CANCELLED"
    message = "{item} was cancelled{reason}."
    next_step = "Stop working on it and take other work: worker pop"

    def _shown(self) -> dict[str, object]:
        reason = str(self.details["reason"]).removesuffix(".")
        return {**self.details, "reason": f": {reason}" if reason else ""}


class SyncBusy(Conflict):
    word, retryable = "SYNC_BUSY", True
    message = "Another machine is writing the files of {root}: {writer}."
    next_step = (
        "It does the same work. To see its progress: orchestrate sync status"
    )


class ServiceRuns(Conflict):
    word = "SERVICE_RUNS"
    message = "The service of {root} is already running (pid {pid})."
    next_step = "To see how it is doing: orchestrate sync status"


class NotYours(TaskOrchestratorError):
    word, exit_code = "NOT_YOURS", 7
    message = "{item} is assigned to {agent}, not to {caller}."
    next_step = "List your assignments: worker check"

    def _shown(self) -> dict[str, object]:
        agent = self.details["agent"] or "no agent yet"
        return {**self.details, "agent": agent}

    def _message(self) -> str:
        """Return who has the item; one that waits in a pool is to be claimed first."""
        if self._is_in_pool():
            return "{item} waits in the pool {pool}, and {caller} has not claimed it."
        return self.message

    def hint(self) -> str:
        """Return how to claim an item of a pool."""
        if self._is_in_pool():
            return "Claim it: AGENT_POOLS={pool} worker get {item}".format(
                **self.details
            )
        return super().hint()

    def _is_in_pool(self) -> bool:
        # an earlier version kept refusals without a pool
        return bool(self.details.get("pool")) and not self.details["agent"]


class NotReviewer(TaskOrchestratorError):
    """An agent decides about an item of which it is not the reviewer."""

    word, exit_code = "NOT_REVIEWER", 7
    message = "{item} is to be reviewed by {reviewer}, not by {caller}."
    next_step = "List what waits for you: worker reviews"

    def _message(self) -> str:
        if self.details["reviewer"]:
            return self.message
        return "{item} has no reviewer, so {caller} cannot decide about it."


class OwnWork(TaskOrchestratorError):
    """An agent decides about its own work."""

    word, exit_code = "OWN_WORK", 7
    message = "{item} is the work of {caller}, who cannot {verb} it."
    next_step = "Its reviewer decides: orchestrate show {item}"


class TokenRefused(TaskOrchestratorError):
    word, exit_code = "TOKEN_REFUSED", 7
    message = "The gateway at {url} refused the access token."
    next_step = (
        "It is unknown, expired or revoked. Set TASKORCH_TOKEN, or TASKORCH_TOKEN_FILE, "
        "to a token that orchestrate token create has printed."
    )

    def _message(self) -> str:
        """Return who refused; a client of the HTTP API knows the address."""
        if not self.details["url"]:
            return "The gateway refused the access token."
        return self.message

    def hint(self) -> str:
        """Return how to show another token: in a variable, or in the request."""
        if not self.details["url"]:
            return (
                "It is missing, unknown, expired or revoked. Send one that orchestrate "
                "token create has printed, as Authorization: Bearer TOKEN"
            )
        return super().hint()


class LinkRefused(TaskOrchestratorError):
    word, exit_code = "LINK_REFUSED", 7
    message = "{reason}"
    next_step = "Get another one: orchestrate board"


class NotAllowed(TaskOrchestratorError):
    word, exit_code = "NOT_ALLOWED", 7
    message = "This access token or Redis user does not allow this: {reason}"


class NothingToDo(TaskOrchestratorError):
    word, exit_code, retryable = "NOTHING_TO_DO", 8, True
    message = "There is nothing to do now."
    next_step = "Wait for work: worker pop --wait 100"

    def __init__(self, next_step: str = "") -> None:
        """Advise something else than to wait with `worker pop`."""
        super().__init__()
        self._advice = next_step or self.next_step

    def hint(self) -> str:
        """Return how to wait for work."""
        return self._advice


class NoOwnItems(TaskOrchestratorError):
    word, exit_code, retryable = "NO_OWN_ITEMS", 8, True
    message = (
        "You hold no item and none is in your queue, so there is no project to "
        "read about."
    )
    next_step = "Name an item of the project: worker discoveries ITEM"


class OverBudget(TaskOrchestratorError):
    """Raised with the words of the script: who, what it used, and its limit."""

    word, exit_code, retryable = "OVER_BUDGET", 8, True
    message = "over budget: {who} has used {amount} of {most} {when}."
    raising = "orchestrate budget {name} {option} AMOUNT --per {period}"
    next_step = f"Raise it: {raising}"

    def _shown(self) -> dict[str, object]:
        """Add the owner and the amounts in words."""
        from taskorch.domain import amounts

        details = self.details
        owner, what = str(details["owner"]), details["what"]
        shown = amounts.dollars if what == "cost" else amounts.tokens
        return {
            **details,
            "who": amounts.owner_in_words(owner),
            "name": amounts.argument_of(owner),
            "amount": shown(int(str(details["used"]))),
            "most": shown(int(str(details["limit"]))),
            "when": "today"
            if details["period"] == amounts.DAY
            else "in total",
            "option": "--limit" if what == "cost" else "--tokens",
        }

    @property
    def command(self) -> str:
        """Return the command that raises the budget."""
        return self.raising.format_map(self._shown())

    def hint(self) -> str:
        """Return how to raise it, and when the day ends."""
        if not self.details["ends"]:
            return super().hint()
        again = rfc3339_seconds(int(str(self.details["ends"])))
        return f"{super().hint()}. The next day begins at {again}."


class WaitOver(TaskOrchestratorError):
    word, exit_code, retryable = "WAIT_OVER", 8, True
    message = "The wait for {id} timed out after {seconds} s: it is {state}."
    next_step = "To keep waiting, rerun this command."

    def hint(self) -> str:
        """Return how to keep waiting; with a cursor, no event in between is missed."""
        if cursor := self.details.get("cursor"):
            return f"To keep waiting, rerun this command with --since {cursor}"
        return super().hint()


class InputClosed(TaskOrchestratorError):
    word, exit_code, retryable = "INPUT_CLOSED", 8, True
    message = "The wait ended because the client closed standard input."
    next_step = "Keep standard input open until the answer arrives."


def _shortened(text: str) -> str:
    """Return the start of a text, as a message shows it."""
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _counted(number: Detail, noun: str) -> str:
    """Return a number with its noun: 1 item, 2 items."""
    return f"{number} {noun}" if str(number) == "1" else f"{number} {noun}s"


#: The errors that a script raises, by the first word of its reply.
BY_WORD: dict[str, type[TaskOrchestratorError]] = {
    error.word: error
    for error in (
        NoProject, NoItem, BadSchema, NotEmpty, WrongState, Begun, NoQuestion, SeveralQuestions, Cycle, TooDeep,
        TooMany, TooLarge, NoAgent, OverBudget, NoAttempts, ProjectClosed, OpenItems, Awaited, Held, LeaseLost,
        Cancelled, NotYours, AlreadyCompleted, Unchecked, ChecksFailed, RunCompletes,
        NeedsReopen, NoAccessToken, NotAllowed, QuotaReached, TokenRefused,
        NoSchedule, ScheduleExists, TooManySchedules, NotReviewer, OwnWork,
    )
}  # fmt: skip
