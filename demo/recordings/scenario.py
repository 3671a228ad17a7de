"""A scenario: what is typed for one image, and what the image says of itself."""

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from demo.recordings.recorder import Recorder


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One image."""

    #: Of its file, without ".svg".
    name: str
    title: str
    description: str
    play: Callable[[Recorder], None]
    #: Files that it copies into the root.
    files: tuple[Path, ...] = ()
    #: Whether the image is the last frame alone.
    is_still: bool = False

    def digest(self) -> str:
        """Return the SHA-256 of everything that says what is recorded."""
        source = Path(inspect.getfile(self.play))
        content = hashlib.sha256()
        for file in (source, *self.files):
            content.update(file.read_bytes())
        return content.hexdigest()
