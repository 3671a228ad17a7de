"""docs/orchestrator.md explains each reason that `orchestrate stuck` gives."""

import re
from pathlib import Path

from taskorch.queue.stuck import WHYS

PAGE = Path(__file__).parents[3] / "docs" / "orchestrator.md"


def test_page_explains_every_reason_of_stuck() -> None:
    section = PAGE.read_text("utf-8").partition("## Stalled items")[2]
    section = section.partition("\n## ")[0]

    explained = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)

    assert sorted(explained) == sorted(WHYS)
