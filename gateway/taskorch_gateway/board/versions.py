"""Versions of fragments: a page names those that it shows, and gets no others again."""

from collections.abc import Mapping
from hashlib import sha256

from taskorch.version import __version__

_CHARACTERS = 16


def version(part: object) -> str:
    """Return the version of a part of a view. Equal parts have the same."""
    text = f"{__version__} {part!r}"
    return sha256(text.encode()).hexdigest()[:_CHARACTERS]


def versions(view: object, fragments: Mapping[str, str]) -> str:
    """Return the versions of the fragments of a view, as `data-have` of the page.

    `fragments` has the name of the part that each one shows.
    """
    return " ".join(
        f"{name}:{version(getattr(view, part))}"
        for name, part in fragments.items()
    )
