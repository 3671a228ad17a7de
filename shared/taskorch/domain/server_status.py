"""The state of the bundled server of a root."""

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
