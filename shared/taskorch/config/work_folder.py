"""The folder in which an agent works: the root, or the same folder of a git worktree."""

import os
from collections.abc import Mapping

from taskorch.config import root_folder


def find(environment: Mapping[str, str], root: str = "") -> str:
    """Return the folder of the work for a process in the current folder.

    Inside a linked worktree of the checkout that has the root, it is the folder of that
    worktree which corresponds to the root. `root` is found if it is not given. Raises
    FileNotFoundError without a root if the current folder does not exist any more.
    """
    try:
        current = os.path.realpath(os.getcwd())
    except FileNotFoundError:
        if root:
            return root
        raise
    root = root or root_folder.find(environment, current)[0]
    checkout = root_folder.checkout(environment, current)
    if not checkout or not checkout.git:
        return root
    main = os.path.realpath(checkout.main)
    below = os.path.relpath(os.path.realpath(root), main)
    if below == ".." or below.startswith("../"):
        return root
    return os.path.normpath(os.path.join(checkout.top, below))
