"""The build of a wheel: puts the hash of the library of functions beside the scripts.

Nobody edits the scripts of an installed wheel. So a short command reads their hash, and
looks at none of them.
"""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class LibraryHash(BuildHookInterface[Any]):
    """Writes the file that `taskorch.queue.scripts.library_hash` reads."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file to a wheel; an editable install has none."""
        if version == "editable":
            return
        sys.path.insert(0, f"{self.root}/shared")
        from taskorch.queue import scripts

        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(scripts.library_hash(), encoding="utf-8")
        place = f"taskorch/queue/scripts/{scripts.BUILT}"
        build_data["force_include"][str(self._file)] = place

    def finalize(
        self,
        version: str,  # noqa: ARG002
        build_data: dict[str, Any],  # noqa: ARG002
        artifact_path: str,  # noqa: ARG002
    ) -> None:
        """Remove the file."""
        self._file.unlink(missing_ok=True)

    @property
    def _file(self) -> Path:
        return Path(self.directory, ".library_hash")
