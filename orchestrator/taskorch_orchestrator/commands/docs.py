"""The command that prints the documentation, which comes with the package: docs."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import taskorch
from taskorch.cli import app
from taskorch.domain.frozen import Frozen

from taskorch_orchestrator.group import orchestrate


class Topic(Frozen):
    """A page, or a section of one: `usage`, `usage#waiting`."""

    topic: str
    title: str


class Text(Frozen):
    """The text of a topic, as Markdown."""

    topic: str
    text: str


@orchestrate.command(epilog="Example: orchestrate docs usage#waiting")
@click.argument("topic", required=False)
def docs(topic: str | None) -> None:
    """Print the documentation of TOPIC as Markdown. Without TOPIC, list the topics."""
    if topic is None:
        app.output().show(topics(), _listed)
        return
    text = text_of(topic)
    if text is None:
        raise click.BadParameter(
            f"There is no topic {topic!r}. orchestrate docs lists them.",
            param_hint="TOPIC",
        )
    app.output().show(
        Text(topic=topic, text=text), lambda shown: shown.text.rstrip("\n")
    )


def topics() -> tuple[Topic, ...]:
    """Return every page, each with its sections behind it."""
    return tuple(topic for page in _pages() for topic in _topics(page))


def text_of(topic: str) -> str | None:
    """Return the text of a page or a section; None if there is no such topic."""
    name, _, anchor = topic.partition("#")
    for page in _pages():
        if page.stem == name:
            sections = {_anchor(title): text for title, text in _sections(page)}
            return sections.get(anchor) if anchor else page.read_text(encoding="utf-8")
    return None


def _pages() -> list[Path]:
    package = Path(taskorch.__file__).parent
    # In a checkout they lie at its top; a wheel has a copy of them.
    folder = next(
        each
        for each in (package / "docs", package.parents[1] / "docs")
        if each.is_dir()
    )
    return sorted(folder.glob("*.md"))


def _topics(page: Path) -> Iterator[Topic]:
    heading = page.read_text(encoding="utf-8").partition("\n")[0]
    yield Topic(topic=page.stem, title=heading.removeprefix("# "))
    for title, _ in _sections(page):
        yield Topic(topic=f"{page.stem}#{_anchor(title)}", title=title)


def _sections(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the title and the text of each section of the second level."""
    title, lines, in_fence = "", list[str](), False
    for line in page.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.startswith("## ") and not in_fence:
            if title:
                yield title, "".join(lines)
            title, lines = line[3:].strip(), []
        in_fence ^= line.startswith("```")
        lines.append(line)
    if title:
        yield title, "".join(lines)


def _anchor(title: str) -> str:
    """Return what GitHub makes of a title in a link."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _listed(found: Sequence[Topic]) -> str:
    width = max(len(each.topic) for each in found)
    return "\n".join(f"{each.topic:{width}}  {each.title}" for each in found)
