"""The output of the `board` command for people."""

from collections.abc import Mapping

from taskorch.cli.text import line

from taskorch_orchestrator.board.opened_board import OpenedBoard

SIGN_IN = (
    "The board of the gateway, where you sign in with an access token, such as one of "
    "orchestrate token create NAME --role orchestrator:"
)
STOP = "Ctrl-C stops the board."


def introduced(board: OpenedBoard) -> str:
    """Return what stands above the link."""
    gateway = (
        ""
        if board.started
        else f" of the gateway that runs already, pid {board.pid}"
    )
    return (
        f"The board{gateway}. This link signs you in, once, within 10 minutes:"
    )


def opened(board: OpenedBoard) -> str:
    """Return the link, or the address of a board without one."""
    return board.link or line(board.url)


def elsewhere(forwarding: str) -> str:
    """Return how to open the link with a browser on another machine."""
    return (
        "No browser is here. Forward the port from the machine of your browser, then "
        f"open the link there: {forwarding}"
    )


def written(file: Mapping[str, object]) -> str:
    """Return where a snapshot is."""
    return f"Written: {line(str(file['file']))}"
