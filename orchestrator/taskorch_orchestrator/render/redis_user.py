"""The output of `orchestrate acl` for people."""

import shlex

from taskorch_orchestrator.redis_user import AppliedUser, RedisUser

ONLY_PRINTED = "This sets no password. With --apply, the user is set with a generated one."
NOT_KEPT = (
    "This server keeps its users nowhere: a restart removes this one. Start it with a "
    "configuration file or with --aclfile, or rerun this command after a restart."
)
EACH_SERVER = (
    "Users are not replicated: rerun this command with --redis-url for each server, and "
    "with the same --password-file."
)


def rule(user: RedisUser) -> str:
    """Return the command that sets a user."""
    return user.command


def applied(user: AppliedUser) -> str:
    """Return the variables for the client of a user, as lines for a shell."""
    return "\n".join(
        f"export {name}={shlex.quote(value)}"
        for name, value in user.variables.items()
    )
