"""What a command may do where the bundled server of its root does not run."""

from enum import Enum


class Access(Enum):
    """Each may do what those below it may. With a Redis that the user named, nothing of this applies."""

    #: Make a queue: the folder, the data, the server.
    CREATE = "create"
    #: Start the server of a queue that exists.
    USE = "use"
    #: Bring back a server that was killed; one that was stopped stays so.
    READ = "read"
    #: Start nothing.
    NONE = "none"
