"""The fields of a form, with what is typed into each and what is wrong with it.

A form has the digest of each field as it was when the form was opened. The digest shows
which fields a person has changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256

from taskorch.domain import errors
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.frozen import Frozen, replace

from taskorch_gateway.board import refusals
from taskorch_gateway.board.forms import Form
from taskorch_gateway.board.refusals import ShownError

#: The field with the digests of all fields when the form was opened.
OPENED = "opened"
DIGEST_CHARACTERS = 12


class Field(Frozen):
    """A field of a form, and the value that it began with."""

    name: str
    label: str
    #: How it is typed: as a "line", a "text", a "list" with a line for each value,
    #: "words", or a "priority".
    kind: str
    value: str
    #: Why it cannot be changed here; "" if it can.
    closed: str = ""
    is_required: bool = False


class FormField(Frozen):
    """A field of a form, with what is in it."""

    field: Field
    typed: str
    hint: str = ""
    #: What is wrong with it, to stand beside it.
    error: ShownError | None = None


def digests(fields: Sequence[Field]) -> str:
    """Return the digests of fields, for the form."""
    return " ".join(f"{each.name}={digest(each.value)}" for each in fields)


def digest(value: str) -> str:
    """Return the digest of a value as a browser sends it back."""
    sent = value.replace("\r\n", "\n").replace("\r", "\n").strip()
    return sha256(sent.encode()).hexdigest()[:DIGEST_CHARACTERS]


def digests_of(form: Form) -> Mapping[str, str]:
    """Return the digests of the fields of a form when it was opened."""
    return dict(
        each.split("=", 1) for each in form.text(OPENED).split() if "=" in each
    )


def is_untouched(name: str, form: Form) -> bool:
    """Return whether a field was sent as it was when the form was opened."""
    return digests_of(form).get(name) == digest(form.text(name))


@contextmanager
def of_field(name: str) -> Iterator[None]:
    """Let the errors of what was typed name the field that they are about.

    One that names its field already keeps it: several fields may be read together.
    """
    try:
        yield
    except (errors.Invalid, errors.Usage) as error:
        error.details = {"field": name, **error.details}
        raise


def with_error(
    fields: Sequence[FormField], error: TaskOrchestratorError | None
) -> tuple[Sequence[FormField], ShownError | None]:
    """Return fields with an error beside its field; else it is returned, too."""
    if error is None:
        return fields, None
    shown = refusals.shown(error)
    name = error.details.get("field")
    if not any(each.field.name == name for each in fields):
        return fields, shown
    beside = [
        replace(each, error=shown) if each.field.name == name else each
        for each in fields
    ]
    return beside, None
