"""docs/metrics.md, the dashboard and the alerts name metrics and labels that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from taskorch.queue import stuck
from taskorch_gateway import metrics as of_gateway
from taskorch_orchestrator.metrics import collector, figures
from taskorch_orchestrator.metrics.collector import (
    COUNTER,
    HISTOGRAM,
    Definition,
)

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "metrics.md").read_text(encoding="utf-8")
DASHBOARD = json.loads(
    (DOCS / "grafana" / "taskorch.json").read_text(encoding="utf-8")
)
RULES = yaml.safe_load(
    (DOCS / "prometheus" / "taskorch.rules.yml").read_text(encoding="utf-8")
)
DEFINITIONS = (*collector.DEFINITIONS, *of_gateway.DEFINITIONS)
#: Name of a series -> its labels.
SERIES = {
    name: set(labels)
    for each in DEFINITIONS
    for name, labels in (
        [(each.name, each.labels)]
        if each.type != HISTOGRAM
        else [
            (f"{each.name}_bucket", (*each.labels, "le")),
            (f"{each.name}_sum", each.labels),
            (f"{each.name}_count", each.labels),
        ]
    )
}


def rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith("| `")
    ]


def section(title: str) -> str:
    _, found, rest = PAGE.partition(f"\n## {title}\n")
    assert found
    return rest.partition("\n## ")[0]


def alerts() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for rule in alerts():
        yield rule["expr"]


def row_of(each: Definition) -> list[str]:
    labels = ", ".join(f"`{label}`" for label in each.labels)
    return [f"`{each.name}`", each.type, labels, each.meaning]


def test_page_describes_every_metric() -> None:
    assert rows(section("The metrics")) == [
        row_of(each) for each in DEFINITIONS
    ]


def test_names_follow_the_conventions_of_prometheus() -> None:
    for each in DEFINITIONS:
        assert re.fullmatch("taskorch_[a-z_]+", each.name)
        assert each.name.endswith("_total") == (each.type == COUNTER)
        assert each.type != HISTOGRAM or each.name.endswith("_seconds")


@pytest.mark.parametrize("expression", list(expressions()))
def test_expression_uses_series_and_labels_that_exist(expression: str) -> None:
    used = re.findall(r"\btaskorch_\w+", expression)
    known: set[str] = set()

    assert used
    for name in used:
        assert name in SERIES
        known |= SERIES[name]
    selected = re.findall(r"(\w+)\s*(?:=~|!=|!~|=)\s*\"", expression)
    grouped = re.findall(r"\bby \(([^)]*)\)", expression)
    labels = {*selected, *(", ".join(grouped).split(", ") if grouped else ())}
    assert labels <= known
    assert expression.count("(") == expression.count(")")


def test_dashboard_shows_every_metric() -> None:
    shown = " ".join(
        target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    )

    assert [
        each.name
        for each in DEFINITIONS
        if each.name not in shown and each is not collector.BUILD
    ] == []


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(
            panel["gridPos"]["x"],
            panel["gridPos"]["x"] + panel["gridPos"]["w"],
        )
        for y in range(
            panel["gridPos"]["y"],
            panel["gridPos"]["y"] + panel["gridPos"]["h"],
        )
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_page_names_every_alert() -> None:
    described = [row[0] for row in rows(section("Dashboard and alerts"))]

    assert described == [f"`{rule['alert']}`" for rule in alerts()]


def test_alerts_have_the_fields_of_prometheus() -> None:
    for rule in alerts():
        assert rule.keys() <= {
            "alert",
            "expr",
            "for",
            "labels",
            "annotations",
        }
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0s"))
        assert rule["labels"]["severity"] in ("warning", "critical")
        used = re.findall(
            r"\$labels\.(\w+)", " ".join(rule["annotations"].values())
        )
        by = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
        assert set(used) <= set(", ".join(by).split(", "))


def test_page_states_the_numbers_of_the_source() -> None:
    text = " ".join(PAGE.split())

    assert f"among the {collector.MOST_AGENTS} with the most items" in text
    assert f'`agent="{collector.OTHERS}"`' in text
    assert f"at most every {figures.FRESH_S:.0f} seconds" in text
    assert f"at most {100 / figures.SHARE:.0f} % of the time" in text
    assert f"within {figures.WAIT_S:.0f} seconds" in text
    first = f"first {figures.STUCK_CALLS * stuck.LOOKED_AT:,} open items"
    assert f"{first} and up to {figures.STUCK_ITEMS:,}" in text


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool here")
def test_prometheus_accepts_the_alerts() -> None:
    file = DOCS / "prometheus" / "taskorch.rules.yml"

    checked = subprocess.run(
        ["promtool", "check", "rules", file],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr
