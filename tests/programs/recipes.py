"""The command lines of `worker run` in docs/agents.md, as a reader would copy them."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from support.commands import BIN

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"


def recipe(title: str, number: int = 0) -> Sequence[str]:
    """Return the words of a recipe of the section with this title."""
    page = PAGE.read_text(encoding="utf-8")
    _, _, rest = page.partition(f"\n### {title}\n")
    assert rest, f"{PAGE} has no section {title}"
    section = re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL
    )
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = [line for line in lines if line.startswith("worker run ")]
    return shlex.split(found[number])


def once(words: Sequence[str], *options: str) -> Sequence[str]:
    """Return a recipe that ends after one item; `options` are added to it."""
    return one_slot(words, "--once", *options)


def one_slot(words: Sequence[str], *options: str) -> Sequence[str]:
    """Return a recipe that works on one item at a time.

    Of options that are given twice, the last one counts.
    """
    end = words.index("--")
    more = ("--pool", "1", *options)
    return [str(BIN / "worker"), *words[1:end], *more, *words[end:]]
