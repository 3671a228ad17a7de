"""The forms of the board: what a person has typed, and what the board replies.

Every form has these hidden fields: `csrf`, which only pages of the board know; `key`, so
that a form that is sent twice acts once; and sometimes `back`, the page that it stood on,
and `confirm`, the answer to a question.
"""

import hmac
import re
from asyncio import to_thread
from collections.abc import Iterable, Sequence
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode

from starlette.requests import ClientDisconnect, Request
from taskorch.domain import errors, limits
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.frozen import Frozen

from taskorch_gateway.exchange import BODY_BYTES, SMALL_BYTES, body_of

CSRF = "csrf"
KEY = "key"
BACK = "back"
CONFIRM = "confirm"
YES = "yes"
#: What the frame reads of a form. The other fields are those of the action.
OF_THE_FRAME = (CSRF, KEY, BACK)
#: The types of the bodies of forms. The second one is for files.
PLAIN = "application/x-www-form-urlencoded"
WITH_FILES = "multipart/form-data"
#: Maximum number of fields; a page of items has a checkbox for each.
MOST_FIELDS = 2_000
#: Maximum size of a form without a valid session.
STRANGERS_BYTES = 1024 * 1024
#: What is read of the head of a part of a form with files.
HEAD_BYTES = 4096
_BOUNDARY = r';\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))'
_NAME = rb'^content-disposition:[^\r\n]*?;[ \t]*name="([^"\r\n]*)"'
#: The longest number and the longest key.
DIGITS = 15
KEY_CHARACTERS = 64

#: What the further lines of a value begin with in a list.
INDENT = " " * 4

Fields = Sequence[tuple[str, str]]


class Form:
    """The fields of a form, in the order of the page."""

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self._all = tuple(fields)
        #: The fields of the action.
        self.fields: Fields = tuple(
            (name, value)
            for name, value in self._all
            if name not in OF_THE_FRAME
        )

    def text(self, name: str) -> str:
        """Return what was typed into a field, without outer blanks; "" for nothing."""
        for field, value in self._all:
            if field == name:
                return _typed(value)
        return ""

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the values of all fields of a name, such as checkboxes."""
        return tuple(
            value.strip()
            for field, value in self._all
            if field == name and value.strip()
        )

    def values(self, name: str) -> tuple[str, ...]:
        """Return the values of a field: a line for each, and the indented lines below."""
        found: list[str] = []
        for line in self.text(name).split("\n"):
            if found and line.startswith(INDENT):
                found[-1] += f"\n{line.removeprefix(INDENT)}"
            elif line.strip():
                found.append(line)
        return tuple(value.strip() for value in found)

    def number(self, name: str) -> int | None:
        """Return a whole number, None for an empty field. Raises errors.Usage."""
        text = self.text(name)
        if not text:
            return None
        digits = text.removeprefix("-")
        if not (
            digits.isascii() and digits.isdigit() and len(digits) <= DIGITS
        ):
            raise errors.Usage(
                reason=f"{name} is {limits.shortened(text)}, which is not a whole "
                "number.",
                field=name,
            )
        return int(text)

    def has(self, name: str) -> bool:
        """Return whether a field was sent, such as a checkbox that is checked."""
        return any(field == name for field, _ in self._all)

    @property
    def is_confirmed(self) -> bool:
        """Whether the question of the action was answered with yes."""
        return self.text(CONFIRM) == YES

    @property
    def digest(self) -> str:
        """The same for a repeat of the request, in whatever order its fields are."""
        key = self.text(KEY)[:KEY_CHARACTERS]
        typed = sorted((name, _typed(value)) for name, value in self.fields)
        words = urlencode([pair for pair in typed if pair[1]])
        return sha256(f"{key} {words}".encode()).hexdigest()

    @property
    def encoded(self) -> str:
        """The fields of the action as a text, which `decoded` reads."""
        return urlencode(self.fields)


class ActionReceipt(Frozen):
    """What the board says after an action."""

    text: str
    #: The page to go to; "" for the page that the form stood on.
    next_path: str = ""


class ActionQuestion(Frozen):
    """What the board asks before an action that is hard to undo.

    An action returns it as long as its form is not confirmed. With the script, the
    button asks it (`parts.asking`); without, a page does.
    """

    #: Such as "Cancel Login form?"
    title: str
    #: What follows.
    why: str
    #: The word of the button, such as "Cancel the item".
    yes: str
    is_dangerous: bool = False
    #: The label of a text to type; "" for none.
    label: str = ""
    #: The field of that text.
    field: str = "text"


def listed(values: Iterable[str]) -> str:
    """Return values as a field has them, which `Form.values` reads."""
    return "\n".join(value.replace("\n", f"\n{INDENT}") for value in values)


def decoded(encoded: str) -> Form:
    """Return a form of some fields. Raises errors.Usage."""
    try:
        fields = parse_qsl(
            encoded,
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise errors.Usage(
            reason="The form has too many fields, or is not valid UTF-8."
        ) from None
    return Form(fields)


async def read(request: Request, most_bytes: int = BODY_BYTES) -> Form:
    """Return the form of a request. Raises errors.Usage and exchange.TooLong."""
    if getattr(
        request.state, "has_form", False
    ):  # what is left of one that failed
        raise errors.Usage(reason="The form was read already.")
    request.state.has_form = True
    header = request.headers.get("content-type", "")
    if _kind(header) not in (PLAIN, WITH_FILES):
        raise errors.Usage(reason="The request is not a form.")
    content = await body_of(request, most_bytes)
    if len(content) <= SMALL_BYTES:
        return _parsed(header, content)
    # it takes seconds if all of it is escaped, in which others are served
    return await to_thread(_parsed, header, content)


async def read_if_possible(
    request: Request, most_bytes: int = BODY_BYTES
) -> Form | None:
    """Return the form of a request that is refused, None if it cannot be read."""
    try:
        return await read(request, most_bytes)
    except (TaskOrchestratorError, ClientDisconnect):
        return None


def csrf_of(token: str) -> str:
    """Return what the forms of a session show: only its own pages can know it."""
    return hmac.new(token.encode(), b"board", sha256).hexdigest()[:32]


def need_csrf(shown: str, token: str) -> None:
    """Raise errors.NotAllowed for a form that is not from a page of the session."""
    if not hmac.compare_digest(shown.encode(), csrf_of(token).encode()):
        raise errors.NotAllowed(
            reason="the form is of another session, or another site has made it. "
            "Look at it, and send it again."
        )


def _typed(value: str) -> str:
    """Return a value without outer blanks, its lines as we write them."""
    return value.replace("\r\n", "\n").strip()


def _kind(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def _parsed(header: str, content: bytes) -> Form:
    if _kind(header) == WITH_FILES:
        return _with_files(header, content)
    return decoded(_ascii(content))


def _ascii(content: bytes) -> str:
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        raise errors.Usage(reason="The form is damaged.") from None


def _with_files(header: str, content: bytes) -> Form:
    """Return a form whose files are fields with their text. Raises errors.Usage."""
    return Form(_field(part) for part in _parts(_boundary(header), content))


def _boundary(header: str) -> bytes:
    """Return what stands between the parts of a form. Raises errors.Usage."""
    match = re.search(_BOUNDARY, header, re.IGNORECASE)
    if not match:
        raise errors.Usage(reason="The form has no boundary.")
    return str(match[1] or match[2]).encode("latin-1", "replace")


def _parts(boundary: bytes, content: bytes) -> Sequence[bytes]:
    """Return the parts of a form. Raises errors.Usage.

    The parsers of `email` take 30 s for such a form, and as long for a long header.
    """
    delimiter = b"\r\n--" + boundary
    _, *parts = (b"\r\n" + content).split(delimiter, MOST_FIELDS + 1)
    if not parts or not parts[-1].startswith(b"--"):
        raise errors.Usage(
            reason="The form is damaged, or has too many fields."
        )
    return parts[:-1]


def _field(part: bytes) -> tuple[str, str]:
    head, end, content = part.partition(b"\r\n\r\n")
    match = re.search(_NAME, head[:HEAD_BYTES], re.IGNORECASE | re.MULTILINE)
    if not (end and match and match[1].isascii()):
        raise errors.Usage(reason="The form is damaged.")
    name = match[1].decode()
    try:
        return name, content.decode()
    except UnicodeDecodeError:
        raise errors.Usage(
            reason=f"The file of {limits.shortened(name)} is not a text in UTF-8."
        ) from None
