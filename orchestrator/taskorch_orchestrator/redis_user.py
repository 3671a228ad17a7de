"""`orchestrate acl`: the Redis user of a role, with its rule and its password file."""

import re
import secrets
import shlex
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from taskorch.config import files, secret_file
from taskorch.config.secret_file import SecretFile
from taskorch.config.settings import Settings
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen
from taskorch.domain.role import Role
from taskorch.queue import keys, libraries, redis_users
from taskorch.queue.queue import Queue
from taskorch.transport import address

SERVICE = "service"
PASSWORD_BYTES = 32
#: The variable with the name of the caller, by role.
NAME_VARIABLES = {
    Role.WORKER: "AGENT_ID",
    Role.ORCHESTRATOR: "ORCHESTRATOR_ID",
}


class RedisUser(Frozen):
    """The user of a role in one namespace."""

    user: str
    role: str
    #: The agent or orchestrator that it acts as; "" for any.
    name: str
    #: The words of ACL SETUSER behind `reset`, without a password.
    rule: tuple[str, ...]
    #: The pools that a worker takes items from.
    pools: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """Return the command for a shell that sets the user, without a password."""
        words = ("redis-cli", "acl", "setuser", self.user, "reset", *self.rule)
        return shlex.join(words)


class AppliedUser(Frozen):
    """A user that was set on a server."""

    user: str
    role: str
    name: str
    rule: tuple[str, ...]
    password_file: str
    #: Where Redis keeps its users: "acl file", "configuration", or "" for nowhere.
    kept_in: str
    #: The variables that its client needs.
    variables: dict[str, str]


def describe(
    namespace: str, role: str, name: str, pools: Sequence[str] = ()
) -> RedisUser:
    """Return the user of a role; a worker takes items from `pools`.

    Raises errors.Usage, and errors.Invalid for a name.
    """
    if name:
        limits.agent_name(name)
    if limits.pools(pools) and role != Role.WORKER:
        raise errors.Usage(
            reason=f"Only a worker takes items from pools; the role is {role}."
        )
    if role == Role.WORKER and not name:
        raise errors.Usage(
            reason="A worker needs the name of its agent: orchestrate acl worker AGENT"
        )
    if role in (Role.ADMIN, SERVICE) and name:
        raise errors.Usage(
            reason=f"The role {role} acts under any name: leave out {name}."
        )
    rule = (
        redis_users.service_rule(namespace)
        if role == SERVICE
        else redis_users.rule(Role(role), namespace, name, pools)
    )
    return RedisUser(
        user=redis_users.name_of(role, namespace, name),
        role=role,
        name=name,
        rule=("on", *rule),
        pools=tuple(pools),
    )


def apply(
    queue: Queue, settings: Settings, user: RedisUser, password_file: str
) -> AppliedUser:
    """Set a user on the server, and keep its password in a private file.

    An existing file keeps its password, so a repeat changes the rule alone. Redis gets a
    hash of it. The library of functions is installed, because the user cannot do that.
    Raises errors.Usage for a bundled server or an unusable file, and errors.Refused.
    """
    if not settings.redis_url:
        raise errors.Usage(
            reason="The bundled server has no other users: all its clients run as you. "
            "Set TASKORCH_REDIS_URL to a Redis of your own."
        )
    _need_library(queue, settings)
    default = settings.folder / "passwords" / user.user
    file = Path(password_file).absolute() if password_file else default
    password = _password(file, is_default=not password_file)
    key = keys.meta(queue.namespace)
    hashed = f"#{sha256(password.encode()).hexdigest()}"
    command = ("ACL", "SETUSER", user.user, "reset", hashed, *user.rule)
    queue.connection.run_command(key, *command)
    return AppliedUser(
        user=user.user,
        role=user.role,
        name=user.name,
        rule=user.rule,
        password_file=str(file),
        kept_in=_save(queue),
        variables=_variables(settings, user, str(file)),
    )


def _need_library(queue: Queue, settings: Settings) -> None:
    """Have the first call install the functions. Raises errors.Refused without them."""
    queue.views.projects(limit=1)
    installed = libraries.installed(queue.connection, queue.namespace)
    if not any(each.is_own for each in installed):
        raise errors.Refused(
            url=address.redacted(settings.redis_url),
            reason="the functions of this version could not be installed",
        )


def _password(file: Path, *, is_default: bool) -> str:
    """Return the password in a private file, which gets a new one if it is missing."""
    if file.exists():
        found = SecretFile(
            name=str(file),
            folder="/",
            setting="--password-file",
            holds="password",
            variable="--password-file",
        )
        return secret_file.read(found)
    password = secrets.token_hex(PASSWORD_BYTES)
    try:
        if is_default:
            files.make_private_folder(file.parent)
        files.write_atomically(file, f"{password}\n".encode())
    except OSError as error:
        raise errors.Usage(
            reason=f"Cannot write the password file {file}: {error.strerror}"
        ) from None
    return password


def _save(queue: Queue) -> str:
    """Have the server save its users; return where it keeps them, or ""."""
    key = keys.meta(queue.namespace)
    saves: Sequence[tuple[str, tuple[str, str]]] = (
        ("acl file", ("ACL", "SAVE")),
        ("configuration", ("CONFIG", "REWRITE")),
    )
    for place, command in saves:
        try:
            queue.connection.run_command(key, *command)
        except errors.TaskOrchestratorError as error:
            if error.retryable:
                raise
        else:
            return place
    return ""


def _variables(
    settings: Settings, user: RedisUser, file: str
) -> dict[str, str]:
    """Return the variables that a client of a user needs."""
    url, _ = address.without_password(settings.redis_url)
    scheme, _, rest = url.partition("://")
    rest = re.sub(r"^[^/?#]*@", "", rest)
    variables = {
        "TASKORCH_REDIS_URL": f"{scheme}://{user.user}@{rest}",
        "TASKORCH_REDIS_PASSWORD_FILE": file,
    }
    if settings.namespace != "default":
        variables["TASKORCH_NAMESPACE"] = settings.namespace
    if user.name and user.role in NAME_VARIABLES:
        variables[NAME_VARIABLES[Role(user.role)]] = user.name
    if user.pools:
        variables["AGENT_POOLS"] = ",".join(user.pools)
    return variables
