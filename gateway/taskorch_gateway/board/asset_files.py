"""The style sheet, the script and the other files of the board.

They are read once: no path of a request reaches the disk.
"""

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from taskorch.domain.frozen import Frozen

PATH = "/assets/{version}/{name}"
TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
#: A year: the address changes with the content.
FOR_EVER = "public, max-age=31536000, immutable"
#: For the address of another version, whose process serves the same board.
NOT_KEPT = "no-cache"
VERSION_DIGITS = 12


class Asset(Frozen):
    """A file of the board."""

    content: bytes
    version: str
    media_type: str


def address(name: str) -> str:
    """Return the path of a file, which is another one when its content changes."""
    return PATH.format(version=ASSETS[name].version, name=name)


async def respond(request: Request) -> Response:
    """Return a file. Raises HTTPException if there is none of this name."""
    asset = ASSETS.get(request.path_params["name"])
    if asset is None:
        raise HTTPException(404)
    is_current = request.path_params["version"] == asset.version
    return Response(
        asset.content,
        media_type=asset.media_type,
        headers={"Cache-Control": FOR_EVER if is_current else NOT_KEPT},
    )


def _read() -> Mapping[str, Asset]:
    found = {}
    for file in (files("taskorch_gateway.board") / "assets").iterdir():
        content = file.read_bytes()
        found[file.name] = Asset(
            content=content,
            version=sha256(content).hexdigest()[:VERSION_DIGITS],
            media_type=TYPES[file.name.rpartition(".")[2]],
        )
    return found


ASSETS = _read()
