"""A board that a command has opened."""

from taskorch.domain.frozen import Frozen


class OpenedBoard(Frozen):
    """Where the board is, and how to sign in."""

    _secret = ("link",)

    url: str
    #: Signs in once; "" for a board that takes an access token.
    link: str
    #: The process of the gateway; 0 for one elsewhere.
    pid: int
    #: Whether the command serves the board itself.
    started: bool
