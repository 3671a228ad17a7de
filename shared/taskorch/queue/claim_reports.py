"""The reports of one claim, in the history of its item."""

from collections.abc import Collection

from taskorch.domain.item import Lease, Package, Report, State

#: The kinds of reports of a holder on its work.
REPORTS = ("progress", "blocker", "withdraw")


def last_report(
    package: Package, lease: Lease, kinds: Collection[str]
) -> Report | None:
    """Return the newest report of these kinds under the token of a lease."""
    for report in reversed(package.history):
        if report.token == lease.token and report.kind in kinds:
            return report
    return None


def last_question(package: Package, lease: Lease) -> str:
    """Return the question that the item is left to when its holder ends, or "".

    That is the oldest open question of a blocked item, or else the holder's last
    report, even if it was answered: the next holder gets the answer.
    """
    item = package.item
    if item.state is State.BLOCKED and item.questions:
        return item.questions[0].text
    last = last_report(package, lease, REPORTS)
    if last is None or last.kind != "blocker":
        return ""
    return last.text
