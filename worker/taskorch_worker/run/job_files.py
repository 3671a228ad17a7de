"""The files and environment variables that a command gets for its item."""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp

from taskorch.cli import json_output
from taskorch.config import password, token
from taskorch.config.files import make_private_folder
from taskorch.config.settings import URL, Settings, is_gateway
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.item import Claim, Item, Lease
from taskorch.queue import spans
from taskorch.tracing import trace_context
from taskorch.transport import address

from taskorch_worker import git, inherited_lease
from taskorch_worker.render import prompt as prompts
from taskorch_worker.run.options import StdinSource
from taskorch_worker.run.worktrees import Worktree

#: Has names and values that every span of a program gets.
RESOURCE_ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"
#: The longest variable on Linux, with its name.
VARIABLE_BYTES = 128 * 1024 - 1


class JobFiles(Frozen):
    """The private folder, files and environment of one attempt."""

    folder: Path
    #: The item as JSON, and the task as text.
    item: Path
    prompt: Path
    #: The file that the command reads from its standard input.
    stdin: Path
    #: The path where the command may write a result.
    result: Path
    environment: Mapping[bytes, bytes]
    #: The folder in which the command works, None for that of the run.
    working_folder: Path | None
    #: The names of the variables that were too long.
    left_out: tuple[str, ...]

    def reading(self, source: StdinSource) -> "JobFiles":
        """Return the same files for a command that reads `source` from stdin."""
        file = {
            StdinSource.ITEM: self.item,
            StdinSource.PROMPT: self.prompt,
            StdinSource.NONE: Path(os.devnull),
        }[source]
        environment = {
            **self.environment,
            inherited_lease.STDIN.encode(): source.encode(),
        }
        return replace(self, stdin=file, environment=environment)


def prepare(
    claim: Claim,
    lease: Lease,
    settings: Settings,
    parent: Path,
    worktree: Worktree | None,
) -> JobFiles:
    """Write the files for an item into a new folder in `parent`. Raises OSError.

    `parent` is created if it is missing: some machines delete old temporary files.
    """
    make_private_folder(parent)
    folder = Path(mkdtemp(prefix=f"{lease.item}.", dir=parent))
    item, result = folder / "item.json", folder / "result.json"
    lease = inherited_lease.handed_down(lease, claim.package.item)
    json = json_output.line(replace(claim, lease=lease))
    _write_private(item, f"{json}\n")
    prompt = folder / "prompt.md"
    task = prompts.prompt(claim, _workplace(worktree))
    _write_private(prompt, task)
    texts = {"TASKORCH_ITEM": json, "TASKORCH_PROMPT": task}
    fitting = {name: text for name, text in texts.items() if _fits(name, text)}
    variables = {
        # These make `worker` act as the same holder, in any folder.
        "AGENT_ID": settings.agent,
        "AGENT_SESSION": settings.session,
        "TASKORCH_NAMESPACE": settings.namespace,
        "TASKORCH_ROOT": settings.root_path,
        **_redis_variables(settings, folder),
        inherited_lease.ITEM: lease.item,
        inherited_lease.LEASE: lease.shown(),
        "TASKORCH_ITEM_FILE": str(item),
        "TASKORCH_PROMPT_FILE": str(prompt),
        "TASKORCH_RESULT_FILE": str(result),
        **_worktree_variables(worktree),
        **_trace_variables(claim.package.item, settings.namespace),
    }
    not_inherited = {
        "ORCHESTRATOR_ID",  # it would make an orchestrator of the agent
        *texts,
        *_secret_variables(settings),
        *inherited_lease.OF_WORKTREE,
    }
    if worktree:
        not_inherited.update(git.PLACES)
    environment = {
        name: value
        for name, value in os.environb.items()
        if os.fsdecode(name) not in not_inherited
    }
    for name, value in variables.items():
        environment[name.encode()] = os.fsencode(value)
    for name, text in fitting.items():
        environment[name.encode()] = text.encode()
    return JobFiles(
        folder=folder,
        item=item,
        prompt=prompt,
        stdin=item,
        result=result,
        environment=environment,
        working_folder=worktree.folder if worktree else None,
        left_out=tuple(name for name in texts if name not in fitting),
    )


def _workplace(worktree: Worktree | None) -> prompts.Workplace | None:
    if not worktree:
        return None
    return prompts.Workplace(
        tree=str(worktree.tree),
        branch=worktree.branch,
        continues=worktree.continues,
    )


def _worktree_variables(worktree: Worktree | None) -> dict[str, str]:
    if not worktree:
        return {}
    return {
        inherited_lease.WORKTREE: str(worktree.tree),
        inherited_lease.BRANCH: worktree.branch,
        "PWD": str(worktree.folder),
    }


def _trace_variables(item: Item, namespace: str) -> dict[str, str]:
    """Return where the spans of the command belong, and what they are about."""
    about = {
        "gen_ai.agent.name": item.agent,
        "taskorch.item": item.id,
        "taskorch.namespace": namespace,
        "taskorch.project": item.project,
    }
    attributes = [f"{name}={value}" for name, value in about.items()]
    if inherited := os.environ.get(RESOURCE_ATTRIBUTES):
        attributes.insert(0, inherited)
    variables = {RESOURCE_ATTRIBUTES: ",".join(attributes)}
    if place := spans.place_of_work(namespace, item):
        variables[trace_context.VARIABLE] = place
    return variables


def _redis_variables(settings: Settings, folder: Path) -> dict[str, str]:
    """Return the variables for the same Redis, with its secret in a private file."""
    if not settings.redis_url:
        return {}
    if is_gateway(settings.redis_url):
        file = folder / "access-token"
        _write_private(file, settings.access_token)
        return {
            URL: settings.redis_url,
            token.FILE_VARIABLE: str(file),
        }
    url, own_password = address.without_password(settings.redis_url)
    variables = {"TASKORCH_REDIS_URL": url}
    secret = own_password or settings.redis_password
    if secret:
        file = folder / "redis-password"
        _write_private(file, secret)
        variables[password.FILE_VARIABLE] = str(file)
    return variables


def _secret_variables(settings: Settings) -> set[str]:
    """Return the variables that the command does not inherit.

    They are those with a secret of Redis or of a gateway, and the address of a gateway,
    which would precede that of Redis.
    """
    names = {password.VARIABLE, token.VARIABLE, token.FILE_VARIABLE, URL}
    if not settings.redis_url:
        return names
    names |= {password.FILE_VARIABLE, "TASKORCH_RQ_URL"}
    if settings.sources["redis_url"] == "REDIS_URL":
        names.add("REDIS_URL")
    return names


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")


def _fits(name: str, value: str) -> bool:
    length = len(name) + len("=") + len(value.encode())
    return length <= VARIABLE_BYTES
