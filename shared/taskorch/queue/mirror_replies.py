"""Turns replies into the `MirrorRecord` and `MirrorStatus` of the file mirror."""

from typing import cast

from taskorch.domain.item import Lease
from taskorch.domain.mirror_record import (
    MirrorRecord,
    MirrorStatus,
    RecordCursor,
)
from taskorch.queue import fields as read
from taskorch.queue import replies
from taskorch.queue.fields import Damage, DamagedField, Reading, readable
from taskorch.queue.port import Reply


def record(view: Reply, damage: Damage) -> MirrorRecord:
    """Read a record: the item with its project, reports, discoveries and token.

    Its shape is `{item view, project view, {report …}, {discovery …}, token or '',
    findings, last report, last discovery, '1' or ''}`; the token is that of the session
    that was asked for, and `1` says that there are more reports or discoveries.
    """
    item_view, project_view, reports, discoveries, token, findings, *end = (
        cast("list[Reply]", view)
    )
    report, discovery, more = cast("list[str]", end)
    item = replies.item(item_view)
    fields = read.fields_of(cast("list[Reply]", item_view)[1])
    number, claim_id = replies.token_parts(str(token))
    with Reading("item", item.id):
        return MirrorRecord(
            item=item,
            project=replies.project_of_item(project_view, damage),
            reports=readable(
                replies.report, cast("list[Reply]", reports), damage
            ),
            discoveries=readable(
                replies.discovery, cast("list[Reply]", discoveries), damage
            ),
            findings=replies.findings(findings, damage),
            sequence=read.number(fields, "seq"),
            event=read.cursor(fields, "event"),
            session=fields.get("holder_session", ""),
            lease=Lease(item=item.id, token=number, claim=claim_id),
            cursor=RecordCursor(report=report, discovery=discovery),
            more=bool(more),
        )


def status(view: Reply) -> MirrorStatus:
    """Read how the files of a root are kept.

    Its shape is `{root, ms of the last pass, status or '', number of events behind,
    service or '', ms when the service was seen or ''}`.
    """
    root, at, written, behind, service, service_at = cast(
        "tuple[str, str, str, int, str, str]", view
    )
    with Reading("mirror", root):
        return MirrorStatus(
            root=root,
            at=int(float(at)),
            status=_written(written, "status"),
            behind=behind,
            service=_written(service, "service"),
            service_at=read.whole(service_at),
        )


def _written(text: str, name: str) -> dict[str, object]:
    """Return a JSON object that a mirror wrote; its `troubles` are texts."""
    written = read.json_value({name: text or "{}"}, name)
    if not isinstance(written, dict):
        raise DamagedField(name)
    troubles = written.get("troubles", {})
    if not isinstance(troubles, dict) or not all(
        map(read.is_text, troubles.values())
    ):
        raise DamagedField(name)
    return written
