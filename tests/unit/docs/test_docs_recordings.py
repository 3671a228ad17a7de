"""The images of `make recordings`: safe in a page, and not older than what they show."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support.click_commands import context_of, loaded_commands
from support.svg_images import SvgImage
from taskorch_orchestrator.cli import orchestrate
from taskorch_worker.cli import worker

from demo.recordings.__main__ import IMAGES, SCENARIOS

REPOSITORY = Path(__file__).parents[3]
ROLES = {"orchestrate": orchestrate, "worker": worker}
#: Elements that an image in a README may have: no script, no link, no foreign content.
HARMLESS = {
    "svg",
    "title",
    "desc",
    "metadata",
    "style",
    "g",
    "rect",
    "text",
}
LARGEST_KB = 150
MACHINE_PATH = re.compile(r"/(tmp|home|root|work|var|Users|private)\b")

pytestmark = pytest.mark.parametrize(
    "image",
    [SvgImage.read(IMAGES / f"{scenario.name}.svg") for scenario in SCENARIOS],
    ids=[scenario.name for scenario in SCENARIOS],
)


def scenario_of(image: SvgImage) -> str:
    """Return the digest of the scenario with the image's title."""
    return next(
        scenario.digest()
        for scenario in SCENARIOS
        if scenario.title == image.text("title")
    )


def test_image_is_of_its_scenario(image: SvgImage) -> None:
    assert image.kept()["scenario"] == scenario_of(image), (
        "The scenario has changed: make recordings"
    )


def test_typed_commands_and_flags_exist(image: SvgImage) -> None:
    typed = list(role_commands(image.kept()["commands"]))

    for role, name, words in typed:
        command = loaded_commands(role)[name]
        context = context_of(role, name)
        # Raises UsageError for an unknown flag or a missing value.
        command.make_parser(context).parse_args(args=words)

    assert typed


def role_commands(
    typed: list[str],
) -> Iterator[tuple[click.Group, str, list[str]]]:
    """Yield the typed commands of ours: group, name, further words."""
    for line in typed:
        program, *words = shlex.split(line)
        if program in ROLES:
            yield ROLES[program], words[0], words[1:]


def test_typed_commands_are_shown(image: SvgImage) -> None:
    shown = " ".join(image.texts())

    assert all(command in shown for command in image.kept()["commands"])


def test_image_is_safe_in_a_page(image: SvgImage) -> None:
    assert image.names() <= HARMLESS
    assert not any(name.startswith("on") for name in image.attributes())
    assert not {"href", "src"} & image.attributes()
    assert not re.search(r"url\(|@import|javascript:", image.source)
    assert len(image.source) < LARGEST_KB * 1000


def test_image_names_no_machine(image: SvgImage) -> None:
    visible = " ".join(
        [*image.texts(), image.text("desc"), image.text("metadata")]
    )

    assert not MACHINE_PATH.search(visible)
    assert os.uname().nodename not in visible.split()


def test_image_has_title_and_description(image: SvgImage) -> None:
    svg = image.elements("svg")[0]

    assert svg.attrib["role"] == "img"
    assert svg.attrib["aria-labelledby"] == "title description"
    assert image.elements("title")[0].attrib["id"] == "title"
    assert len(image.text("desc")) > 40


def test_image_is_in_a_page_with_other_words(image: SvgImage) -> None:
    names = {scenario.title: scenario.name for scenario in SCENARIOS}
    name = names[image.text("title")]
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]

    shown = [
        alternative
        for page in pages
        for alternative in re.findall(
            rf"!\[([^]]*)\]\((?:docs/)?images/{name}\.svg\)",
            page.read_text(encoding="utf-8"),
        )
    ]

    assert shown
    assert all(len(alternative) > 20 for alternative in shown)
