"""The rights of a command if the bundled server of its root is not running."""

from enum import Enum


class Access(Enum):
    """Each includes the rights of those below it.

    With a Redis of the user's own, there are no limits.
    """

    #: Create a queue: the folder, the data, the server.
    CREATE = "create"
    #: Start the server of an existing queue.
    USE = "use"
    #: Restart a server that was killed, but not one that was stopped.
    READ = "read"
    #: Start nothing.
    NONE = "none"
