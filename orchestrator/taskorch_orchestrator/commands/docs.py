"""The `docs` command: prints the documentation, which is part of the package."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from taskorch import version
from taskorch.cli import app
from taskorch.cli.output import terminal_width
from taskorch.domain.frozen import Frozen

from taskorch_orchestrator.group import orchestrate


class Topic(Frozen):
    """A page, or a section of one: `worker`, `worker#git-worktrees`."""

    topic: str
    title: str


class TopicText(Frozen):
    """The text of a topic, as Markdown."""

    topic: str
    text: str


@orchestrate.command(epilog="Example: orchestrate docs orchestrator#waiting")
@click.argument("topic", required=False)
def docs(topic: str | None) -> None:
    """Print the documentation of TOPIC as Markdown. Without TOPIC, list the topics."""
    if topic is None:
        app.output().show(topics(), _table)
        return
    text = text_of(topic)
    if text is None:
        raise click.BadParameter(
            f"There is no topic {topic!r}. orchestrate docs lists the topics.",
            param_hint="TOPIC",
        )
    found = TopicText(topic=topic, text=text)
    app.output().show(found, lambda found: found.text.rstrip("\n"))


def topics() -> tuple[Topic, ...]:
    """Return every page, each followed by its sections."""
    found = []
    for page in _pages():
        heading = page.read_text(encoding="utf-8").partition("\n")[0]
        found.append(Topic(topic=page.stem, title=heading.removeprefix("# ")))
        for title, _ in _sections(page):
            found.append(
                Topic(topic=f"{page.stem}#{_anchor(title)}", title=title)
            )
    return tuple(found)


def text_of(topic: str) -> str | None:
    """Return the text of a page or a section; None if there is no such topic."""
    name, _, anchor = topic.partition("#")
    for page in _pages():
        if page.stem == name:
            if not anchor:
                return page.read_text(encoding="utf-8")
            texts = {_anchor(title): text for title, text in _sections(page)}
            return texts.get(anchor)
    return None


def _pages() -> list[Path]:
    """Return the pages of the checkout, or their copies in an installed package."""
    package = Path(version.__file__).parent
    folder = package / "docs"
    if not folder.is_dir():
        folder = package.parents[1] / "docs"
    return sorted(folder.glob("*.md"))


def _sections(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the title and the text of each section of the second level."""
    title = ""
    lines: list[str] = []
    in_fence = False
    for line in page.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.startswith("## ") and not in_fence:
            if title:
                yield title, "".join(lines)
            title = line.removeprefix("## ").strip()
            lines = []
        if line.startswith("```"):
            in_fence = not in_fence
        lines.append(line)
    if title:
        yield title, "".join(lines)


def _anchor(title: str) -> str:
    """Return the anchor that GitHub gives a title."""
    words = re.sub(r"[^\w -]", "", title.lower())
    return words.replace(" ", "-")


def _table(found: Sequence[Topic]) -> str:
    """Return each topic with its title, or without titles on a narrow terminal.

    The topic of a section says its title, too.
    """
    width = max(len(each.topic) for each in found)
    rows = [f"{each.topic:{width}}  {each.title}" for each in found]
    room = terminal_width()
    if room and max(map(len, rows)) > room:
        rows = [_narrow_row(each) for each in found]
    return "\n".join(rows)


def _narrow_row(topic: Topic) -> str:
    is_page = "#" not in topic.topic
    return f"{topic.topic}: {topic.title}" if is_page else f"  {topic.topic}"
