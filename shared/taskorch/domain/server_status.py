"""The state of bundled servers: of one root, and of all roots of a user."""

from taskorch.domain.frozen import Frozen


class ServerStatus(Frozen):
    """Whether the bundled server of a root runs, and where."""

    running: bool
    #: 0 when it is not running.
    pid: int
    url: str
    #: Whether commands can reach it: its socket may have been deleted.
    reachable: bool = True
    #: Whether the pid means nothing here: it runs in another container, or on another
    #: machine.
    elsewhere: bool = False
    #: The pid of the background service beside the server; 0 when there is none.
    service_pid: int = 0
    #: Whether the settings ask for a service.
    service_wanted: bool = True


#: The status of a server that could not be asked.
UNKNOWN = ServerStatus(running=False, pid=0, url="", service_wanted=False)


class UserServer(Frozen):
    """The bundled server of one root."""

    _flat = "status"
    root: str
    status: ServerStatus
    #: Why it could not be asked or stopped, or "".
    problem: str = ""
    #: Whether this call stopped it.
    stopped: bool = False


class UserServers(Frozen):
    """The bundled servers of a user."""

    servers: tuple[UserServer, ...]
    #: The roots that do not exist any more, of which there is still a record.
    gone: tuple[str, ...]
