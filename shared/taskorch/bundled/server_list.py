"""Every bundled server of this user, by the records of the data that they wrote."""

import os
from collections.abc import Mapping
from pathlib import Path

from taskorch.bundled import server, server_data
from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.server_status import UNKNOWN, UserServer, UserServers


def user_servers(
    settings: Settings, environment: Mapping[str, str] = os.environ
) -> UserServers:
    """Return the bundled server of each root that this user had one in, running or not.

    Raises errors.UserFolderUnusable.
    """
    servers: list[UserServer] = []
    gone: list[str] = []
    for root in server_data.roots(environment):
        if Path(root).is_dir():
            servers.append(_server(settings, root))
        else:
            gone.append(root)
    return UserServers(servers=tuple(servers), gone=tuple(gone))


def stop_all(
    settings: Settings, environment: Mapping[str, str] = os.environ
) -> UserServers:
    """Stop each running server of this user, with its service; return all of them.

    A server that cannot be stopped is returned with the reason. Raises
    errors.UserFolderUnusable.
    """
    known = user_servers(settings, environment)
    stopped = [
        _stopped(settings, each) if each.status.running else each
        for each in known.servers
    ]
    return replace(known, servers=tuple(stopped))


def _server(settings: Settings, root: str) -> UserServer:
    try:
        status = server.status(_settings_of(settings, root))
    except errors.TaskOrchestratorError as error:
        return UserServer(root=root, status=UNKNOWN, problem=str(error))
    return UserServer(root=root, status=status)


def _stopped(settings: Settings, running: UserServer) -> UserServer:
    own = _settings_of(settings, running.root)
    try:
        was_running = server.stop(own)
    except errors.TaskOrchestratorError as error:
        return replace(running, problem=str(error))
    now = _server(settings, running.root)
    return replace(now, stopped=was_running)


def _settings_of(settings: Settings, root: str) -> Settings:
    """Return the settings of a command in another root, for its bundled server."""
    return replace(settings, root_path=root, redis_url="")
